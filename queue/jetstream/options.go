package jetstream

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Options says where the calls of one function are kept.
type Options struct {
	// Function names the stream: letters, digits, ".", "_" and "-".
	Function string
	Log      *slog.Logger

	// Dir is the directory of the server within this process. One process at a
	// time can use it.
	Dir string
	// AnyFilesystem allows Dir on file systems that lose data with a reboot, or
	// on which locks or fsync do not hold what they promise.
	AnyFilesystem bool

	// NoSync leaves out the fsyncs: what was acknowledged is lost with the power. It is
	// for measuring what they cost, and for tests of tests.
	NoSync bool

	// URL is that of an external server or cluster, several separated by commas;
	// Dir is then not used.
	URL string
	// Credentials is a file with a user's JWT and key, CA one with the authorities
	// to trust; both are for external servers, and empty for none.
	Credentials, CA string
	// Replicas is the number of servers of a cluster that keep each call; 0 is 1.
	Replicas int

	// MaxBytes bounds what is kept, in bytes; 0 is DefaultMaxBytes. Half of it is
	// for bodies that are kept apart. New calls are refused before it is reached,
	// so that those accepted can still be settled.
	MaxBytes int64

	// HoldTime is queue.Store's; 0 is 30 s.
	HoldTime time.Duration
	// WriteTimeout bounds the wait for a write's acknowledgement; 0 is 5 s. After
	// it the store counts as down.
	WriteTimeout time.Duration
}

// DefaultMaxBytes is 4 GiB: room for some three million calls of 1 KiB, and for as
// much in large bodies.
const DefaultMaxBytes = 4 << 30

// minBytes is what the smallest useful store takes.
const minBytes = 16 << 20

func (o *Options) complete() error {
	switch {
	case o.Function == "":
		return fmt.Errorf("jetstream: no function is named")
	case strings.ContainsAny(o.Function, "*> \t\r\n/\\="):
		return fmt.Errorf("jetstream: function %q cannot be part of a subject", o.Function)
	case o.URL == "" && o.Dir == "":
		return fmt.Errorf("jetstream: neither a directory nor a URL is set")
	case o.MaxBytes != 0 && o.MaxBytes < minBytes:
		return fmt.Errorf("jetstream: a store of %d bytes; it takes at least %d", o.MaxBytes, minBytes)
	case o.Replicas < 0 || o.Replicas > 5:
		return fmt.Errorf("jetstream: %d replicas; 1 to 5 are possible", o.Replicas)
	case o.URL == "" && o.Replicas > 1:
		return fmt.Errorf("jetstream: %d replicas need an external cluster", o.Replicas)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.HoldTime == 0 {
		o.HoldTime = 30 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 5 * time.Second
	}
	return nil
}
