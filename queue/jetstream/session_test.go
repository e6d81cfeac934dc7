package jetstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestPlacedWaitsForAServerThatIsOffline(t *testing.T) {
	offline := &jetstream.APIError{Code: 400, ErrorCode: noPeers, Description: "no suitable peers for placement, peer offline"}
	few := &jetstream.APIError{Code: 400, ErrorCode: noPeers, Description: "no suitable peers for placement"}
	for _, c := range []struct {
		name  string
		given []error // the last one again and again
		want  error
		tries int
		took  time.Duration
	}{
		{"at once", []error{nil}, nil, 1, 0},
		{"it comes back", []error{offline, offline, nil}, nil, 3, 2 * placementPause},
		{"too few servers", []error{few}, few, 1, 0},
		{"another error", []error{offline, context.DeadlineExceeded}, context.DeadlineExceeded, 2, placementPause},
		{"it stays away", []error{offline}, offline, int(placement/placementPause) + 2, placement + placementPause},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, began := 0, time.Now()
				err := placed(t.Context(), func() error {
					tries++
					return c.given[min(tries, len(c.given))-1]
				})
				if !errors.Is(err, c.want) || tries != c.tries || time.Since(began) != c.took {
					t.Errorf("%v after %d tries and %v, want %v, %d, %v", err, tries, time.Since(began), c.want, c.tries, c.took)
				}
			})
		})
	}
}
