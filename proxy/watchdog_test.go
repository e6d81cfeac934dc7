package proxy

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdogBitesOnceWhenATimeoutIsOver(t *testing.T) {
	for _, c := range []struct {
		name  string
		dog   *watchdog
		act   func(*watchdog)
		want  error // nil: never
		after time.Duration
	}{
		{"nothing to watch", &watchdog{}, nil, nil, 0},
		{"the request's timeout", &watchdog{request: 60 * time.Second, read: 30 * time.Second, write: 30 * time.Second}, nil, errRequestTimeout, 60 * time.Second},
		{"the response has not begun", &watchdog{request: 60 * time.Second, responseStart: 5 * time.Second}, nil, errResponseStartTimeout, 5 * time.Second},
		{"the response has begun in time", &watchdog{responseStart: 5 * time.Second}, func(d *watchdog) { d.started.Store(true) }, nil, 0},
		{"nothing moves", &watchdog{idle: 10 * time.Second}, nil, errIdle, 10 * time.Second},
		{"something moved", &watchdog{idle: 10 * time.Second}, func(d *watchdog) {
			time.Sleep(7 * time.Second)
			d.moved.Store(d.now())
		}, errIdle, 17 * time.Second},
		{"a read of the client's body blocks", &watchdog{read: 30 * time.Second}, func(d *watchdog) {
			time.Sleep(20 * time.Second)
			d.begin(&d.reading)
		}, errClientSlowToSend, 50 * time.Second},
		{"reads go on", &watchdog{read: 30 * time.Second}, func(d *watchdog) {
			for range 100 {
				d.begin(&d.reading)
				time.Sleep(29 * time.Second)
				d.end(&d.reading, 1)
			}
		}, nil, 0},
		{"a write to the client blocks", &watchdog{write: 30 * time.Second}, func(d *watchdog) { d.begin(&d.writing) }, errClientSlowToRead, 30 * time.Second},
		{"the exchange is over", &watchdog{request: time.Second}, func(d *watchdog) { d.stop() }, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dog := c.dog
				began := time.Now()
				var bites []error
				var at time.Duration
				dog.watch(func(err error) { bites, at = append(bites, err), time.Since(began) })
				defer dog.stop()
				if c.act != nil {
					c.act(dog)
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if c.want == nil {
					if len(bites) > 0 {
						t.Fatalf("bit with %v after %v", bites, at)
					}
					return
				}
				// A timer that was set before the operation began may look once too early
				// and then again: never early, at most one period late.
				if len(bites) != 1 || !errors.Is(bites[0], c.want) || at < c.after || at > c.after+30*time.Second {
					t.Fatalf("bit with %v after %v, want %v after %v", bites, at, c.want, c.after)
				}
			})
		})
	}
}
