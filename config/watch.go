package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"time"
)

// DefaultWatchInterval is the time between two looks at the file.
const DefaultWatchInterval = time.Second

// settleTime is how long a file must have been left alone before its size and
// time of change are enough to tell that it has not changed: the clocks of file
// systems tick in steps of up to 2 s.
const settleTime = 2 * time.Second

// Change is one difference between two configurations. From and To are the
// values as Loaded.Print writes them; those of routes, and secrets, are left out.
type Change struct {
	Key      string
	From, To string
}

// Reload is the outcome of one attempt to take over the configuration file.
type Reload struct {
	// Err says why what ran before runs on: Errors for a file that is wrong or
	// changes what needs a restart, or what apply returned. Nil on success.
	Err error
	// Time is when the attempt ended.
	Time time.Time
	// Changes are what a successful attempt changed: none where the file says
	// the same in other words, or where Trigger found nothing new.
	Changes []Change
	// Triggered is set where Trigger asked for the attempt.
	Triggered bool
}

// Watcher follows the configuration file and hands over each new configuration,
// whole or not at all. Create it with NewWatcher.
//
// It polls. Notification by the kernel (inotify) is about inodes, and the file
// is seldom changed in place: a ConfigMap swaps a symlink two directories up, an
// editor renames, and each replaces the inode that was watched. On network and
// overlay file systems no event comes at all, and the number of inotify
// instances on a node is bounded, so that a busy one has none left. One stat a
// second costs nothing and misses nothing.
type Watcher struct {
	apply    func(*Loaded) error
	report   func(Reload)
	interval time.Duration
	trigger  chan struct{}

	// The rest belongs to Run.

	running *Loaded
	stat    os.FileInfo // of the file when it was last read, nil if it was not
	read    time.Time   // when that was
	latest  observation // what was seen last
	acted   observation // what was last tried to take over
	content []byte      // of acted, kept while it may be tried again
	retry   bool        // acted may become valid by itself: what it names may be mended
	failed  string      // the error last reported; "" after a success
}

// observation is what one look at the file finds: its content, or why it cannot
// be read.
type observation struct {
	sum     [sha256.Size]byte
	problem string
}

// NewWatcher prepares to follow the file of running. For each new configuration
// Run calls apply, which takes it over as a whole or returns an error and leaves
// the old one in force; then report, unless it is nil. It calls them one after
// the other from its own goroutine.
//
// The interval is the time between two looks; 0 is DefaultWatchInterval. A
// change counts once two looks have found the same, so that a file that is being
// written is not taken over half-way.
func NewWatcher(running *Loaded, interval time.Duration, apply func(*Loaded) error, report func(Reload)) *Watcher {
	if interval <= 0 {
		interval = DefaultWatchInterval
	}
	if report == nil {
		report = func(Reload) {}
	}
	seen := observation{sum: running.sum}
	return &Watcher{
		apply: apply, report: report, interval: interval,
		trigger: make(chan struct{}, 1),
		running: running, latest: seen, acted: seen,
	}
}

// Trigger makes Run read the file at once, whether it has changed or not, and
// report the outcome in any case: what SIGHUP asks for. It does not wait.
// Triggers that come while one is pending are one. Without a file, the
// environment and the flags are validated again, which cannot change anything.
func (w *Watcher) Trigger() {
	select {
	case w.trigger <- struct{}{}:
	default:
	}
}

// Run follows the file until ctx is done. Call it once.
func (w *Watcher) Run(ctx context.Context) {
	var tick <-chan time.Time // never, where there is no file to look at
	if w.running.File != "" {
		ticker := time.NewTicker(w.interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-w.trigger:
			w.reread()
		case <-tick:
			w.poll()
		}
	}
}

// reread takes over the file as it is now.
func (w *Watcher) reread() {
	if w.running.File == "" {
		w.attempt(nil, nil, attemptTriggered)
		return
	}
	w.stat = nil // read it in any case
	seen, content, err := w.look()
	w.latest, w.acted = seen, seen
	w.attempt(content, err, attemptTriggered)
}

// poll takes over the file where it has changed and settled.
func (w *Watcher) poll() {
	seen, content, err := w.look()
	switch {
	case seen != w.latest:
		w.latest = seen // changed since the last look: wait until it has settled
	case seen != w.acted:
		w.acted = seen
		w.attempt(content, err, attemptChanged)
	case w.retry:
		w.attempt(w.content, nil, attemptAgain)
	}
}

// look gives what the file is now, with its content unless stat alone tells that
// it is still what was acted on.
func (w *Watcher) look() (observation, []byte, error) {
	path := w.running.File
	now := time.Now()
	info, err := os.Stat(path) // follows symlinks
	if err == nil && w.latest == w.acted && w.unchanged(info) {
		return w.latest, nil, nil
	}
	content, err := readFile(path)
	if err != nil {
		w.stat = nil
		return observation{problem: err.Error()}, nil, err
	}
	w.stat, w.read = info, now
	return observation{sum: sha256.Sum256(content)}, content, nil
}

// unchanged reports whether info says that the file is what was read last.
func (w *Watcher) unchanged(info os.FileInfo) bool {
	return w.stat != nil && os.SameFile(info, w.stat) && info.Size() == w.stat.Size() &&
		info.ModTime().Equal(w.stat.ModTime()) && info.ModTime().Before(w.read.Add(-settleTime))
}

type attemptReason int

const (
	attemptChanged   attemptReason = iota // the file is another
	attemptTriggered                      // Trigger asked
	attemptAgain                          // the file is the same, and was not valid
)

// attempt takes over content, or leaves everything as it is. An outcome is
// reported unless nobody would learn anything from it.
func (w *Watcher) attempt(content []byte, unreadable error, reason attemptReason) {
	changes, retry, err := w.take(content, unreadable)
	w.retry, w.content = retry, nil
	failed := ""
	if err != nil {
		failed = err.Error()
		if retry {
			w.content = content
		}
	}
	news := reason != attemptAgain || failed != w.failed
	w.failed = failed
	if news {
		w.report(Reload{Err: err, Time: time.Now(), Changes: changes, Triggered: reason == attemptTriggered})
	}
}

// take does the work of attempt. It reports whether the same content may be
// valid later: where a file that it names is at fault, yes; where it needs a
// restart, or apply, which may have effects, has refused it, no.
func (w *Watcher) take(content []byte, unreadable error) (changes []Change, retry bool, err error) {
	loaded, err := load(w.running.source, content, unreadable, settings)
	if err != nil {
		return nil, unreadable == nil, err
	}
	if err := needsRestart(w.running, loaded, settings); err != nil {
		return nil, false, err
	}
	changes = differences(w.running.Config, loaded.Config, settings)
	if len(changes) > 0 {
		if err := w.apply(loaded); err != nil {
			return nil, false, fmt.Errorf("apply the configuration: %w", err)
		}
	}
	w.running = loaded
	return changes, false, nil
}

// needsRestart returns Errors that name each setting which is another and cannot
// change while weir runs, nil if there is none.
func needsRestart(running, next *Loaded, table []*setting) error {
	var m mistakes
	for _, s := range table {
		from, to := s.value.get(running.Config), s.value.get(next.Config)
		if !s.fixed || from == to {
			continue
		}
		what := "needs a restart to change"
		if !s.secret {
			what += fmt.Sprintf(" from %s to %s", quote(from), quote(to))
		}
		if next.Origins[s.key].From == FromDefault {
			what += ", the default"
		}
		m.add(s.key, next.Origins[s.key], "%s", what)
	}
	return m.err()
}

// differences gives what differs between two configurations.
func differences(from, to *Config, table []*setting) []Change {
	var changes []Change
	for _, s := range table {
		a, b := s.value.get(from), s.value.get(to)
		if a == b {
			continue
		}
		if s.secret {
			a, b = "", ""
		}
		changes = append(changes, Change{Key: s.key, From: a, To: b})
	}
	if !reflect.DeepEqual(from.Routes, to.Routes) {
		changes = append(changes, Change{Key: routesKey})
	}
	return changes
}
