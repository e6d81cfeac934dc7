package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weir/limits"
)

// Totals are counters as a scrape at this moment would find them, for those who
// show them without one.
type Totals struct {
	// Requests counts as weir_requests_total does; the sums are by the label of
	// that name.
	Requests    uint64
	ByCodeClass map[string]uint64 // "1xx" to "5xx"
	ByOrigin    map[string]uint64 // "function", "weir", "client"
	// Throttles counts as weir_throttles_total does.
	Throttles map[limits.Reason]uint64
	// Duration is weir_request_duration_seconds.
	Duration Distribution
}

// Totals reads the counters without disturbing them.
func (m *Metrics) Totals() Totals {
	t := Totals{ByCodeClass: map[string]uint64{}, ByOrigin: map[string]uint64{}, Throttles: map[limits.Reason]uint64{}}
	for mode := range modes {
		for class := range classes {
			for origin := range origins {
				n := count(m.requests[mode][class][origin])
				t.Requests += n
				t.ByCodeClass[class.String()] += n
				t.ByOrigin[origin.String()] += n
			}
		}
	}
	for reason, counter := range m.throttles {
		t.Throttles[reason] = count(counter)
	}
	t.Duration = distribution(read(m.requestDuration).GetHistogram())
	return t
}

func count(c prometheus.Counter) uint64 { return uint64(read(c).GetCounter().GetValue()) }

func read(m prometheus.Metric) *dto.Metric {
	d := &dto.Metric{}
	if err := m.Write(d); err != nil {
		panic(fmt.Sprintf("metrics: reading a metric of weir's own: %v", err)) // its labels are constants
	}
	return d
}
