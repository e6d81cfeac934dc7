package jetstream

import "golang.org/x/sys/unix"

// unsafeFilesystem names the file system of path if calls are not safe on it.
func unsafeFilesystem(path string) string {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
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
