package jetstream

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// unsafeFilesystem names the file system of an open directory if calls are not safe on it.
func unsafeFilesystem(fd int) string {
	var s unix.Statfs_t
	if unix.Fstatfs(fd, &s) != nil {
		return "" // what follows fails, too, and says why
	}
	switch uint32(s.Type) { //nolint:gosec // the magic numbers are of 32 bits
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case 0xff534d42:
		return "CIFS"
	case unix.SMB2_SUPER_MAGIC:
		return "SMB2"
	}
	return ""
}

// works returns an error if the file system of an open file has given up. An fsync that
// reported success just before is not believed then: ext4 reports it for a moment for what
// a journal that was just aborted (jbd2) has not written.
//
// What tells is an attribute that is to be removed and is not there: that changes nothing,
// yet begins a change in the journal, which an aborted one refuses before anything else
// shows that it is.
func works(fd int) error {
	err := unix.Fremovexattr(fd, "user.weir.none")
	for _, over := range []error{unix.EIO, unix.EROFS, unix.ENXIO, unix.ENODEV, unix.EUCLEAN} {
		if errors.Is(err, over) {
			return err
		}
	}
	return nil // there are no attributes, or may not be any
}

// pathOf is a path that leads to an open directory whatever is under the path that it was
// opened by; that one where /proc is not mounted.
func pathOf(fd int, openedBy string) string {
	var held, there unix.Stat_t
	through := fmt.Sprintf("/proc/self/fd/%d", fd)
	if unix.Fstat(fd, &held) != nil || unix.Stat(through, &there) != nil || held.Dev != there.Dev || held.Ino != there.Ino {
		return openedBy
	}
	return through
}

// retire closes a directory, but keeps its number, so that pathOf leads nowhere from now
// on: a server that has been stopped may still be about to write.
func retire(fd int) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it stays what it is, which is as safe
	}
	_ = unix.Dup3(null, fd, unix.O_CLOEXEC) // then, too
	_ = unix.Close(null)                    // nothing was written
}
