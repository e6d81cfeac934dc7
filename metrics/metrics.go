package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/limits"
)

// Options says what the metrics are about.
type Options struct {
	Function        string // the label function of every series
	FunctionVersion string // the label version of weir_running_instances
	BuildVersion    string // weir's own version
	// OpenFaaS adds of-watchdog's http_* metrics beside weir's own.
	OpenFaaS bool
	// Gate is read at scrape time.
	Gate func() limits.Snapshot
	// Async is read at scrape time; nil where there is no queue, and then none of its
	// metrics.
	Async func() AsyncSnapshot
	// Leases is read at scrape time; nil where nothing can be shared.
	Leases func() []LeaseSnapshot
	// Traces is read at scrape time; nil where none are kept.
	Traces func() TraceSnapshot
}

// Metrics counts for one function. Make one with New; it is safe for concurrent
// use.
type Metrics struct {
	registry *prometheus.Registry
	openfaas *openfaas // nil where not asked for

	requests  [modes][classes][origins]prometheus.Counter
	throttles map[limits.Reason]prometheus.Counter

	requestDuration  prometheus.Histogram
	upstreamDuration prometheus.Histogram
	queueWait        prometheus.Observer
	proxyOverhead    prometheus.Observer
	exemplars        exemplars

	upstreamUp        prometheus.Gauge
	reloadSuccessful  prometheus.Gauge
	reloadSuccessTime prometheus.Gauge
}

// buckets are the classic histogram's upper bounds in seconds, from a fast
// function to a long report; the native histogram beside it has its own.
var buckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 300}

// New registers the whole catalogue on a registry of its own. Every child with
// a known label value exists from the start, so that rates have a beginning.
func New(o Options) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), throttles: map[limits.Reason]prometheus.Counter{}}
	r := prometheus.WrapRegistererWith(prometheus.Labels{"function": o.Function}, m.registry)
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newGateCollector(o.Gate, o.FunctionVersion),
	)

	if o.Leases != nil {
		r.MustRegister(newLeaseCollector(o.Leases))
	}
	if o.Async != nil {
		r.MustRegister(newAsyncCollector(o.Async))
	}
	if o.Traces != nil {
		r.MustRegister(newTraceCollector(o.Traces))
	}

	requests := counterVec(r, nameRequests)
	for mode := range modes {
		for class := range classes {
			for origin := range origins {
				m.requests[mode][class][origin] = requests.WithLabelValues(mode.String(), class.String(), origin.String())
			}
		}
	}
	throttles := counterVec(r, nameThrottles)
	for _, reason := range limits.Reasons() {
		m.throttles[reason] = throttles.WithLabelValues(string(reason))
	}
	m.requestDuration = histogram(r, nameRequestDuration)
	m.upstreamDuration = histogram(r, nameUpstreamDuration)
	m.queueWait = histogram(r, nameQueueWait)
	m.proxyOverhead = histogram(r, nameProxyOverhead)
	m.upstreamUp = gauge(r, nameUpstreamUp)
	m.reloadSuccessful = gauge(r, nameReloadSuccessful)
	m.reloadSuccessTime = gauge(r, nameReloadSuccessTime)
	d := definition(nameBuildInfo)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
	r.MustRegister(build)
	build.WithLabelValues(o.BuildVersion, runtime.Version()).Set(1)
	if o.OpenFaaS {
		m.openfaas = newOpenFaaS(r, o.Gate)
	}
	return m
}

func counterVec(r prometheus.Registerer, name string) *prometheus.CounterVec {
	d := definition(name)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
	r.MustRegister(v)
	return v
}

func gauge(r prometheus.Registerer, name string) prometheus.Gauge {
	d := definition(name)
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: d.Name, Help: d.Help})
	r.MustRegister(g)
	return g
}

func histogram(r prometheus.Registerer, name string) prometheus.Histogram {
	d := definition(name)
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: d.Name, Help: d.Help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	})
	r.MustRegister(h)
	return h
}

// Request is one ended request: admitted, or one that weir itself had to answer
// for another reason than a limit.
type Request struct {
	Mode   Mode
	Origin Origin
	Status int // the response's status, or what stands for it (499 for a client that left)
	Method string
	// Admitted is false for a request that never took a slot: it has no
	// durations.
	Admitted bool
	Duration time.Duration // from a complete head to the last byte
	Waited   time.Duration // for a slot
	Upstream time.Duration // from handing it to the function to the end of its answer; 0 if it got none of it
	// Traceparent is the field of that name (W3C Trace Context), "" where there is
	// none: for exemplars of traces that are recorded.
	Traceparent string
}

// Ended counts one request.
func (m *Metrics) Ended(r Request) {
	m.requests[r.Mode][classOf(r.Status)][r.Origin].Inc()
	if m.openfaas != nil {
		m.openfaas.ended(r.Method, r.Status, r.Duration)
	}
	if !r.Admitted {
		return
	}
	var exemplar prometheus.Labels
	if r.Traceparent != "" {
		exemplar = m.exemplars.labels(r.Traceparent, time.Now())
	}
	observe(m.requestDuration, r.Duration.Seconds(), exemplar)
	if r.Waited > 0 {
		m.queueWait.Observe(r.Waited.Seconds())
	}
	if r.Upstream > 0 {
		observe(m.upstreamDuration, r.Upstream.Seconds(), exemplar)
	}
	m.proxyOverhead.Observe(max(r.Duration-r.Waited-r.Upstream, 0).Seconds())
}

// Throttled counts one refused request, answered with status.
func (m *Metrics) Throttled(t *limits.Throttle, method string, status int) {
	c, ok := m.throttles[t.Reason]
	if !ok {
		panic("metrics: throttle reason " + string(t.Reason) + " is not listed by limits.Reasons")
	}
	c.Inc()
	if t.Waited > 0 {
		m.queueWait.Observe(t.Waited.Seconds())
	}
	if m.openfaas != nil {
		m.openfaas.ended(method, status, t.Waited)
	}
}

// LeftQueue counts a request whose client left while it waited.
func (m *Metrics) LeftQueue(method string, waited time.Duration) {
	m.Ended(Request{Origin: OriginClient, Status: StatusClientClosedRequest, Method: method, Duration: waited})
	m.queueWait.Observe(waited.Seconds())
}

// UpstreamUp sets the outcome of the last probe.
func (m *Metrics) UpstreamUp(up bool) { m.upstreamUp.Set(number(up)) }

// Reloaded sets the outcome of a load of the configuration.
func (m *Metrics) Reloaded(at time.Time, ok bool) {
	m.reloadSuccessful.Set(number(ok))
	if ok {
		m.reloadSuccessTime.Set(float64(at.UnixMilli()) / 1000)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Registry is where everything is registered, for tests and for collectors of
// further rooms.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves the metrics in the text, OpenMetrics or protobuf format that
// the scraper asks for. A collector that fails makes the scrape fail: a partial
// one would look like zeros.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return compressed(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		DisableCompression: true,
		EnableOpenMetrics:  true,
		ErrorLog:           slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:      promhttp.HTTPErrorOnError,
		// Scrapes must not pile up on a small sidecar.
		MaxRequestsInFlight: 8,
	}))
}
