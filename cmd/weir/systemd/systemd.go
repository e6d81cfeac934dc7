// Package systemd tells the service manager what weir is doing, where weir is a
// unit of Type=notify: that it serves, that it is stopping and how long that may
// take, and, with WatchdogSec, that it still answers. Elsewhere it does nothing.
//
// See sd_notify(3) and sd_watchdog_enabled(3).
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A Manager is the one that started weir. The zero value is none.
type Manager struct {
	log      *slog.Logger
	notify   bool
	watchdog time.Duration // 0 for none
}

// New finds the service manager in the environment. Failures to reach it are
// logged: they end in its own timeouts, and are no reason not to serve.
func New(log *slog.Logger) *Manager {
	m := &Manager{log: log, notify: os.Getenv("NOTIFY_SOCKET") != ""}
	if !m.notify {
		return m
	}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog cannot be read", "err", err)
	}
	m.watchdog = interval
	return m
}

func (m *Manager) tell(state string) {
	if !m.notify {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager cannot be told", "state", state, "err", err)
	}
}

// Ready says that weir serves.
func (m *Manager) Ready(status string) { m.tell(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// Stopping says that weir drains, and for how long at most, so that the unit's own
// TimeoutStopSec does not cut it short.
func (m *Manager) Stopping(most time.Duration) {
	m.tell(daemon.SdNotifyStopping + "\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=" + strconv.FormatInt(most.Microseconds(), 10))
}

// Watch tells the watchdog that weir is alive for as long as alive says so, twice
// in its interval, until ctx ends. A weir that does not answer is killed and
// started again by the manager.
func (m *Manager) Watch(ctx context.Context, alive func(context.Context) error) {
	if m.watchdog <= 0 {
		return
	}
	tick := time.NewTicker(m.watchdog / 2)
	defer tick.Stop()
	for {
		// Once before the first tick: the interval began when weir was ready.
		probe, cancel := context.WithTimeout(ctx, m.watchdog/2)
		err := alive(probe)
		cancel()
		switch {
		case err == nil:
			m.tell(daemon.SdNotifyWatchdog)
		case ctx.Err() == nil:
			m.log.Error("weir does not answer itself; the service manager is not told that it lives", "err", fmt.Errorf("watchdog: %w", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
