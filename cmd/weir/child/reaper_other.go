//go:build !linux

package child

import "log/slog"

// Only Linux has PID namespaces, in which weir can be process 1.

type reaper struct{}

func startReaper(*slog.Logger) *reaper { return nil }

func (*reaper) wake()  {}
func (*reaper) close() {}

func startOwned(start func() (pid int, err error)) error {
	_, err := start()
	return err
}

func disown(int) {}
