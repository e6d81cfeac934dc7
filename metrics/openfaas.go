package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/limits"
)

// openfaas keeps the names that dashboards and autoscalers of OpenFaaS know
// from of-watchdog. Refused requests count there too, as they did.
type openfaas struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newOpenFaaS(r prometheus.Registerer, gate func() limits.Snapshot) *openfaas {
	labels := []string{"code", "method"}
	o := &openfaas{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Total number of HTTP requests, refused ones included.",
		}, labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Seconds spent serving HTTP requests.", Buckets: prometheus.DefBuckets,
		}, labels),
	}
	r.MustRegister(o.total, o.duration, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "http_requests_in_flight", Help: "Number of HTTP requests running now.",
	}, func() float64 { return float64(gate().Inflight) }))
	return o
}

func (o *openfaas) ended(method string, status int, took time.Duration) {
	method = knownMethod(method)
	code := knownCode(status)
	o.total.WithLabelValues(code, method).Inc()
	o.duration.WithLabelValues(code, method).Observe(took.Seconds())
}

// knownCode bounds the label's values: functions may answer with any number. Those that
// IANA has registered are themselves, and so is 499, which weir gives to calls whose client
// has left; the others are their class.
func knownCode(status int) string {
	switch {
	case http.StatusText(status) != "" || status == 499:
		return strconv.Itoa(status)
	case status >= 100 && status <= 599:
		return strconv.Itoa(status/100) + "xx"
	}
	return "other"
}

// knownMethod bounds the label's values: clients may send any token.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "OTHER"
}
