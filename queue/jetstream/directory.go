package jetstream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockFile keeps a directory for one process.
const lockFile = "weir.lock"

// directory is a server's directory, locked.
type directory struct {
	path string
	lock *os.File
}

// openDirectory makes the directory where there is none, and locks it.
func openDirectory(path string, anyFilesystem bool) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: making the directory for calls: %w", err)
	}
	if !anyFilesystem {
		if kind := unsafeFilesystem(path); kind != "" {
			return nil, fmt.Errorf("jetstream: %s is on %s: %s; use a local disk, or allow any file system", path, kind, unsafeBecause[kind])
		}
	}
	lock, err := lockDirectory(path, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return &directory{path, lock}, nil
}

func lockDirectory(path string, flags int) (*os.File, error) {
	name := filepath.Join(path, lockFile)
	f, err := os.OpenFile(name, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("jetstream: locking the directory for calls: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("jetstream: %s is in use by another process: two would destroy each other's calls; stop that one or choose another directory", path)
		}
		return nil, fmt.Errorf("jetstream: locking %s: %w", name, err)
	}
	return f, nil
}

// renew sees to it that the directory which is there now is the locked one. A disk that
// was mounted anew has another file for a lock. Where there is none the disk is not
// there: calls would be written below it, and be gone once it is.
func (d *directory) renew() error {
	held, err := d.lock.Stat()
	if err != nil {
		return fmt.Errorf("jetstream: the lock of %s: %w", d.path, err)
	}
	there, err := os.Stat(filepath.Join(d.path, lockFile))
	if err != nil {
		return fmt.Errorf("jetstream: the directory for calls is not there any more: %w", err)
	}
	if os.SameFile(held, there) {
		return nil
	}
	lock, err := lockDirectory(d.path, 0)
	if err != nil {
		return err
	}
	_ = d.lock.Close() // of a directory that nobody can reach any more
	d.lock = lock
	return nil
}

// unlock gives the directory up; the end of the process does, too.
func (d *directory) unlock() error { return d.lock.Close() }

var unsafeBecause = map[string]string{
	"tmpfs": "what is written there is gone after a reboot",
	"ramfs": "what is written there is gone after a reboot",
	"NFS":   "locks and fsync cannot be relied on there",
	"CIFS":  "locks and fsync cannot be relied on there",
	"SMB2":  "locks and fsync cannot be relied on there",
}
