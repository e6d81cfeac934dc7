//go:build !linux

package jetstream

import "golang.org/x/sys/unix"

// unsafeFilesystem knows Linux' file systems only.
func unsafeFilesystem(int) string { return "" }

// works knows Linux' file systems only.
func works(int) error { return nil }

// pathOf is the path that a directory was opened by: to an open one there is no other.
func pathOf(_ int, openedBy string) string { return openedBy }

// retire closes a directory.
func retire(fd int) { _ = unix.Close(fd) } // it was not written to
