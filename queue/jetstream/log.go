package jetstream

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog passes the server's log on. What a server says about itself at each
// start is of no interest to who runs weir: notices become debug.
type serverLog struct {
	log   *slog.Logger
	start *startLog
	paths *strings.Replacer // to those that who runs weir knows
}

func (l serverLog) text(format string, v []any) string {
	return "nats: " + l.paths.Replace(fmt.Sprintf(format, v...))
}

// startLog keeps why a server cannot start, for the error that says so: it tells its
// log alone.
type startLog struct {
	mu     sync.Mutex
	over   bool
	reason string
}

// end returns why the server did not start, "" where it did.
func (l *startLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	return l.reason
}

// keep reports whether the text is a reason that end will return.
func (l *startLog) keep(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && l.reason == "" {
		l.reason = text
		return true
	}
	return false
}

func (l serverLog) Noticef(format string, v ...any) {
	l.log.Debug(l.text(format, v))
}

func (l serverLog) Warnf(format string, v ...any) { l.log.Warn(l.text(format, v)) }

func (l serverLog) Errorf(format string, v ...any) { l.log.Error(l.text(format, v)) }

func (l serverLog) Fatalf(format string, v ...any) {
	if text := l.paths.Replace(fmt.Sprintf(format, v...)); !l.start.keep(text) {
		l.log.Error("nats: " + text)
	}
}

func (l serverLog) Debugf(format string, v ...any) {}
func (l serverLog) Tracef(format string, v ...any) {}
