package jetstream

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// lockFile keeps a directory for one process.
const lockFile = "weir.lock"

// directory is a server's directory, locked. It is the same one whatever is mounted or
// moved to its path meanwhile, until renew. It is safe for concurrent use.
type directory struct {
	path          string
	anyFilesystem bool

	mu       sync.Mutex
	fd       int // of the directory
	lock     int // of the file in it
	identity unix.Stat_t
}

// errNotThere says that there is nothing, or no directory of calls, under the path.
var errNotThere = errors.New("jetstream: the directory for calls is not there any more")

// openDirectory makes the directory where there is none, and locks it.
func openDirectory(path string, anyFilesystem bool) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: making the directory for calls: %w", err)
	}
	d := &directory{path: path, anyFilesystem: anyFilesystem}
	var err error
	if d.fd, err = d.open(); err != nil {
		return nil, fmt.Errorf("jetstream: opening the directory for calls: %w", err)
	}
	if d.lock, err = d.lockIn(d.fd, unix.O_CREAT); err == nil {
		err = unix.Fstat(d.fd, &d.identity)
	}
	if err != nil {
		_ = unix.Close(d.fd) // nothing was written
		return nil, err
	}
	return d, nil
}

// open opens what is under the path now.
func (d *directory) open() (fd int, err error) {
	for {
		fd, err = unix.Open(d.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	return fd, nil
}

// lockIn locks the file in a directory that is open. What it opens is in that one, though
// there be another under the path by now.
func (d *directory) lockIn(fd, flags int) (lock int, err error) {
	if !d.anyFilesystem {
		if kind := unsafeFilesystem(fd); kind != "" {
			return 0, fmt.Errorf("jetstream: %s is on %s: %s; use a local disk, or allow any file system", d.path, kind, unsafeBecause[kind])
		}
	}
	name := filepath.Join(d.path, lockFile)
	lock, err = unix.Openat(fd, lockFile, unix.O_RDWR|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return 0, fmt.Errorf("jetstream: locking the directory for calls: %w", &os.PathError{Op: "open", Path: name, Err: err})
	}
	if err := unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = unix.Close(lock) // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return 0, fmt.Errorf("jetstream: %s is in use by another process: two would destroy each other's calls; stop that one or choose another directory", d.path)
		}
		return 0, fmt.Errorf("jetstream: locking %s: %w", name, err)
	}
	return lock, nil
}

// place is a path to the directory which, where the system has such paths, leads to it
// also when another one has taken its place.
func (d *directory) place() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return pathOf(d.fd, d.path)
}

// there is nil while the directory is the one under its path and its file system works.
// Else what was written may not be found by who opens the path next, fsynced or not.
func (d *directory) there() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var now unix.Stat_t
	if err := unix.Stat(d.path, &now); err != nil {
		return fmt.Errorf("%w: %w", errNotThere, &os.PathError{Op: "stat", Path: d.path, Err: err})
	}
	if !d.is(&now) {
		return fmt.Errorf("jetstream: there is another directory at %s than the one that was opened: was a disk mounted or replaced?", d.path)
	}
	if err := works(d.lock); err != nil {
		return fmt.Errorf("jetstream: the file system of %s: %w", d.path, err)
	}
	return nil
}

// is reports whether s is the status of the directory. It needs the lock.
func (d *directory) is(s *unix.Stat_t) bool {
	return d.identity.Dev == s.Dev && d.identity.Ino == s.Ino
}

// renew takes the directory that is there now in the place of the one that was, for which
// no server may run any more. One without a lock is no directory of calls: the disk is not
// there, calls would be written below it, and be gone once it is.
func (d *directory) renew() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fd, err := d.open()
	if err != nil {
		return fmt.Errorf("%w: %w", errNotThere, err)
	}
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil || d.is(&now) {
		_ = unix.Close(fd) // it was not written to
		return err
	}
	lock, err := d.lockIn(fd, 0)
	if err != nil {
		_ = unix.Close(fd) // nor here
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w: %w", errNotThere, err)
		}
		return err
	}
	_ = d.close() // of a directory that nobody can reach any more
	d.fd, d.lock, d.identity = fd, lock, now
	return nil
}

// unlock gives the directory up; the end of the process does, too.
func (d *directory) unlock() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.close()
}

// close needs the lock.
func (d *directory) close() error {
	retire(d.fd)
	return unix.Close(d.lock)
}

var unsafeBecause = map[string]string{
	"tmpfs": "what is written there is gone after a reboot",
	"ramfs": "what is written there is gone after a reboot",
	"NFS":   "locks and fsync cannot be relied on there",
	"CIFS":  "locks and fsync cannot be relied on there",
	"SMB2":  "locks and fsync cannot be relied on there",
}
