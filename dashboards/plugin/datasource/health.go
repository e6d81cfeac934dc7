package datasource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"weir/admin/api"
)

// CheckHealth asks every sidecar for its state. It is well where all answer.
func (d *Datasource) CheckHealth(ctx context.Context, _ *backend.CheckHealthRequest) (*backend.CheckHealthResult, error) {
	said := make([]string, len(d.sidecars))
	well := make([]bool, len(d.sidecars))
	each(d.sidecars, func(i int, s *sidecar) {
		ctx, cancel := s.within(ctx)
		defer cancel()
		state, err := s.client.State(ctx)
		switch {
		case err != nil:
			said[i] = s.name + ": " + explain(err)
		case state.Version == "" || state.Time.IsZero():
			said[i] = s.name + ": what answers is no weir, or one of another version: its state has neither version nor time"
		default:
			well[i] = true
			said[i] = fmt.Sprintf("%s: weir %s in front of %s", s.name, state.Version, state.Function.Name)
		}
	})
	result := &backend.CheckHealthResult{Status: backend.HealthStatusOk}
	var failed []string
	for i := range said {
		if !well[i] {
			failed = append(failed, said[i])
		}
	}
	switch {
	case len(failed) > 0:
		result.Status = backend.HealthStatusError
		result.Message = fmt.Sprintf("%d of %d sidecars cannot be asked. %s", len(failed), len(said), strings.Join(failed, ". "))
	case len(said) == 1:
		result.Message = said[0]
	default:
		result.Message = fmt.Sprintf("all %d sidecars answer", len(said))
	}
	if clear := d.settings.inClear(); len(clear) > 0 {
		result.Message += fmt.Sprintf(". Mind that the token crosses the network in clear text to %s: use https", strings.Join(clear, ", "))
	}
	var err error
	result.JSONDetails, err = json.Marshal(map[string]string{"verboseMessage": strings.Join(said, "\n")})
	return result, err
}

// each does something for every sidecar at once, and waits.
func each(sidecars []*sidecar, do func(i int, s *sidecar)) {
	var group sync.WaitGroup
	for i, s := range sidecars {
		group.Go(func() { do(i, s) })
	}
	group.Wait()
}

// problemOf gives what a sidecar answered, nil where none did.
func problemOf(err error) *api.Problem {
	var problem *api.Problem
	errors.As(err, &problem)
	return problem
}

// explain says what to do about an error of a sidecar.
func explain(err error) string {
	problem := problemOf(err)
	var unreachable *api.UnreachableError
	switch {
	case problem != nil && problem.Status == http.StatusUnauthorized:
		return "it refuses the token (401): set the one of its --admin-token-file"
	case problem != nil && problem.Status == http.StatusMisdirectedRequest:
		return "it answers loopback addresses only (421), since it has no token: set --admin-token-file, and the token here"
	case problem != nil:
		return problem.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time: is the address right, and may Grafana reach it?"
	case errors.As(err, &unreachable):
		return unreachable.Error()
	}
	return err.Error()
}
