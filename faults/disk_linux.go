package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is a file system of a test's own, which can be filled and whose power can be
// cut.
type Disk struct {
	Dir   string // where it is mounted
	image string
	away  *os.File // on one that was unplugged
}

// NewDisk makes an ext4 of size bytes. The test is skipped where it may not mount one:
// that takes root and loop devices.
func NewDisk(t testing.TB, size int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system takes root")
	}
	d := &Disk{Dir: t.TempDir(), image: filepath.Join(t.TempDir(), "image")}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, size); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", "-e", "remount-ro", d.image}, d.mount()} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system can be mounted here: %v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.Dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return d
}

func (d *Disk) mount() []string { return []string{"mount", "-o", "loop", d.image, d.Dir} }

// Fill takes all the space that there is, until the returned function is called.
func (d *Disk) Fill(t testing.TB) (empty func()) {
	t.Helper()
	path := filepath.Join(d.Dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1 << 10} {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(fmt.Errorf("filling the disk: %w", err))
		}
		err = nil
	}
	if err := f.Sync(); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// shutdownIoctl is EXT4_IOC_SHUTDOWN, with the flag that nothing more is written, not
// even the journal.
const (
	shutdownIoctl = 0x8004587D
	noLogFlush    = 2
)

// CutPower makes the disk lose what was not fsynced. Whoever has files open on it gets
// errors from now on, and must have ended before Restore.
func (d *Disk) CutPower(t testing.TB) {
	t.Helper()
	f, err := os.Open(d.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdownIoctl, noLogFlush); err != nil {
		t.Skipf("the power of a file system cannot be cut here: %v", err)
	}
}

// Break makes the disk read-only and lose what was not fsynced, as ext4 does where it
// meets an error.
func (d *Disk) Break(t testing.TB) {
	t.Helper()
	source, err := exec.Command("findmnt", "-no", "SOURCE", d.Dir).Output()
	if err != nil {
		t.Skipf("which disk is mounted cannot be told: %v", err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(source))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("a test"), 0); err != nil {
		t.Skipf("a file system cannot be made to fail here: %v", err)
	}
}

// Replace puts another disk in the place of one that has lost its power, with the same
// content, while others still have files of that open: those keep answering with errors.
func (d *Disk) Replace(t testing.TB) {
	t.Helper()
	d.Unplug(t)
	d.PlugIn(t)
}

// Unplug takes the disk away; PlugIn puts one with the same content in its place. In
// between there is the empty directory that it was mounted on.
func (d *Disk) Unplug(t testing.TB) {
	t.Helper()
	var err error
	if d.away, err = os.Open(d.Dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(d.Dir, unix.MNT_DETACH); err != nil {
		t.Fatalf("unmounting: %v", err)
	}
}

// PlugIn puts a disk in the place of one that was unplugged, which takes nothing from now
// on.
func (d *Disk) PlugIn(t testing.TB) {
	t.Helper()
	_ = unix.IoctlSetPointerInt(int(d.away.Fd()), shutdownIoctl, noLogFlush) // it may have lost its power
	_ = d.away.Close()                                                       // nothing was written
	other := d.image + "+"
	if out, err := exec.Command("cp", "--sparse=always", d.image, other).CombinedOutput(); err != nil {
		t.Fatalf("copying the disk: %v: %s", err, out)
	}
	d.image = other
	d.mountAnew(t)
}

// Restore mounts the disk anew, as it is after a power cut.
func (d *Disk) Restore(t testing.TB) {
	t.Helper()
	var err error
	for range 500 { // a process that was killed may need a moment to let go
		if err = unix.Unmount(d.Dir, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("unmounting: %v", err)
	}
	d.mountAnew(t)
}

func (d *Disk) mountAnew(t testing.TB) {
	t.Helper()
	if out, err := exec.Command(d.mount()[0], d.mount()[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("mounting anew: %v: %s", err, out)
	}
}
