package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// A server that cannot read one file of a stream as it starts, be it for want of a file
// descriptor, removes the stream with all that is in it, and starts without. So each file
// has a second name, a hard link, while a server of ours starts; what it has removed is
// put back.

// rescueDir is where the second names are, in the directory for calls.
const rescueDir = "rescue"

// rescue keeps what is stored from a server that starts.
type rescue struct {
	place, dir    string   // a path to the directory for calls, and how it is called
	streams, kept string   // directories: where the server has the streams, and the second names
	names         []string // of the streams
	// unable is true where the file system has no hard links.
	unable bool
}

// newRescue gives every file of the streams a second name. If the start before has been
// cut off it first puts back what that one's server had removed.
func newRescue(place, dir string, log *slog.Logger) (*rescue, error) {
	r := rescueOf(place, dir)
	if err := r.restore(); err != nil {
		return nil, err
	}
	if err := r.keep(); err != nil {
		return nil, errors.Join(err, r.end())
	}
	if r.unable {
		log.Warn("the file system of the queue has no hard links: should the queue's server not be able to read what is stored as it starts, that is lost", "dir", dir)
	}
	return r, nil
}

func rescueOf(place, dir string) *rescue {
	return &rescue{
		place: place, dir: dir,
		streams: filepath.Join(place, "jetstream", "$G", "streams"), kept: filepath.Join(place, rescueDir),
	}
}

// failed makes an error of one that may name a path by way of place.
func (r *rescue) failed(doing string, err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		p.Path = strings.Replace(p.Path, r.place, r.dir, 1)
	}
	if l := (*os.LinkError)(nil); errors.As(err, &l) {
		l.Old, l.New = strings.Replace(l.Old, r.place, r.dir, 1), strings.Replace(l.New, r.place, r.dir, 1)
	}
	return fmt.Errorf("jetstream: %s: %w", doing, err)
}

func (r *rescue) keep() error {
	streams, err := os.ReadDir(r.streams)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil // the first start, or the server says what is wrong
	}
	if err != nil {
		return r.failed("looking for what is stored", err)
	}
	for _, s := range streams {
		if !s.IsDir() || strings.HasPrefix(s.Name(), ".") { // being removed for good
			continue
		}
		r.names = append(r.names, s.Name())
		err := r.each(filepath.Join(r.streams, s.Name()), func(file, path string) error {
			if r.unable {
				return nil
			}
			to := filepath.Join(r.kept, s.Name(), file)
			err := link(path, to)
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
				r.unable = true
				return nil
			}
			return err
		})
		if err != nil {
			return r.failed("keeping what is stored while the server starts", err)
		}
	}
	return nil
}

// each calls do for each file that holds something of a stream: not for consumers, which
// are made anew, nor for what the server can work out from the rest.
func (r *rescue) each(dir string, do func(file, path string) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && file == "obs":
			return filepath.SkipDir
		case !e.Type().IsRegular(), derived(file):
			return nil
		}
		return do(file, path)
	})
}

// derived reports whether a server works out a file's content from others where it is
// missing.
func derived(file string) bool {
	return strings.HasSuffix(file, ".db") || strings.HasSuffix(file, ".tmp")
}

// link gives a file a second name.
func link(path, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	return os.Link(path, to)
}

// check returns an error if the server has removed a stream.
func (r *rescue) check(ctx context.Context, js jetstream.JetStream) error {
	for _, name := range r.names {
		_, err := js.Stream(ctx, name)
		if err == nil {
			continue
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("jetstream: the stream %s: %w", name, err)
		}
		// One that is still there is taken over as it is made.
		if _, err := os.Stat(filepath.Join(r.streams, name)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("jetstream: the queue's server could not read the stream %s, the log says why; what is stored was kept", name)
		}
	}
	return nil
}

// restore puts back what a server has removed. None may run.
func (r *rescue) restore() error {
	kept, err := os.ReadDir(r.kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return r.failed("putting back what the server has removed", err)
	}
	for _, s := range kept {
		dir, back := filepath.Join(r.streams, s.Name()), false
		err := r.each(filepath.Join(r.kept, s.Name()), func(file, path string) error {
			err := link(path, filepath.Join(dir, file))
			if errors.Is(err, fs.ErrExist) {
				return nil
			}
			back = back || err == nil
			return err
		})
		if err == nil && back {
			err = r.complete(dir)
		}
		if err != nil {
			return r.failed("putting back what the server has removed", err)
		}
	}
	return r.end()
}

// complete sees to it that a stream that was put back is read as it is now.
func (r *rescue) complete(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			d, err := os.Open(path)
			if err != nil {
				return err
			}
			defer d.Close()
			return d.Sync()
		case derived(path):
			return os.Remove(path)
		}
		return nil
	})
}

// end takes the second names away.
func (r *rescue) end() error {
	if err := os.RemoveAll(r.kept); err != nil {
		return r.failed("after the server's start", err)
	}
	return nil
}
