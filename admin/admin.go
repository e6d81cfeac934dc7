package admin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/admin/api"
	"weir/config"
	"weir/limits"
	"weir/metrics"
)

// Options is what the management API tells of and acts on. All fields are
// required but where it says otherwise.
type Options struct {
	Version  string // of weir
	Function api.Function
	Upstream string // its URL

	Gate   func() limits.Snapshot
	Totals func() metrics.Totals
	// Running gives the running requests, the oldest first.
	Running func() []api.Request
	// NotReady returns why the sidecar should get no traffic, "" if it should.
	NotReady func() string
	// Failure returns what is wrong with the function, "" if nothing is.
	Failure func() string
	Limits  func() api.Limits
	// SharedLimits gives those that are shared with other sidecars; nil for none.
	SharedLimits func() []api.SharedLimit
	// ChangeLimits changes limits, all or none. An error of a value's is
	// config.Errors.
	ChangeLimits func(api.LimitsChange) error
	// Drain begins to drain and returns at once. Once is enough.
	Drain func()

	// TopCallers tells who uses most, nil where nobody can tell.
	TopCallers func() []api.Caller

	// Queue is that of asynchronous calls, nil where they are switched off.
	Queue Queue

	// Token is what operators have to show, nil for none.
	Token *TokenFile
	// ClientCertificates is true where TLS has asked for them.
	ClientCertificates bool
	Log                *slog.Logger
}

// Admin is the management API of one sidecar, and an api.Service. Make one with
// New, let Run run while Handler serves.
type Admin struct {
	o       Options
	started time.Time
	watch   *watch

	eventMu   sync.Mutex
	lastEvent *event
}

var _ api.Service = (*Admin)(nil)

// New makes the management API; nothing is served yet.
func New(o Options) *Admin {
	return &Admin{o: o, started: time.Now(), watch: newWatch(o.Gate, o.Totals)}
}

// Run keeps the history until ctx ends, and then ends the streams of events, so
// that a server can be shut down.
func (a *Admin) Run(ctx context.Context) { a.watch.run(ctx) }

// Handler serves the API and the status page.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, h := range api.Handlers(a, http.HandlerFunc(a.events), a.failed) {
		mux.Handle(h.Method+" "+h.Path, h)
	}
	servePage(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allow := allowed(mux, r); allow != "" {
			w.Header().Set("Allow", allow)
			api.WriteProblem(r.Context(), api.ErrMethod, w)
			return
		}
		api.WriteProblem(r.Context(), api.ErrNotFound, w)
	})
	return &guard{token: a.o.Token, known: a.o.ClientCertificates, cross: http.NewCrossOriginProtection(), next: mux}
}

// allowed lists the methods that mux knows for a path, "" for none.
func allowed(mux *http.ServeMux, r *http.Request) string {
	var methods []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" {
			methods = append(methods, method)
		}
	}
	return strings.Join(methods, ", ")
}

// failed tells the log of an error that is nobody's request's.
func (a *Admin) failed(err error) { a.o.Log.Error("management API failed", "err", err) }

// State implements api.Service.
func (a *Admin) State(ctx context.Context) (*api.State, error) {
	g, t, why, failure := a.o.Gate(), a.o.Totals(), a.o.NotReady(), a.o.Failure()
	return &api.State{
		Time: time.Now().UTC(), StartedAt: a.started.UTC(), Version: a.o.Version, Function: a.o.Function,
		Upstream: api.Upstream{URL: a.o.Upstream, Up: failure == "", Failure: failure},
		Ready:    why == "", NotReadyReason: why, Draining: g.Draining,
		Inflight: g.Inflight, Limit: g.Limit, HighWater: g.HighWater, Waiting: g.Waiting, QueueDepth: g.QueueDepth,
		ConcurrencySeconds: g.ConcurrencySeconds, MeanDurationSeconds: g.MeanDuration.Seconds(),
		Requests:  api.Requests{Total: t.Requests, ByCodeClass: t.ByCodeClass, ByOrigin: t.ByOrigin},
		Throttles: throttles(t.Throttles),
		Limits:    a.o.Limits(), SharedLimits: a.sharedLimits(), TopCallers: a.topCallers(), Async: a.async(ctx),
		Second: a.watch.latest(),
	}, nil
}

func (a *Admin) topCallers() []api.Caller {
	if a.o.TopCallers == nil {
		return nil
	}
	return a.o.TopCallers()
}

func (a *Admin) sharedLimits() []api.SharedLimit {
	if a.o.SharedLimits == nil {
		return nil
	}
	return a.o.SharedLimits()
}

// History implements api.Service.
func (a *Admin) History(context.Context) (*api.History, error) { return a.watch.history(), nil }

// Inflight implements api.Service.
func (a *Admin) Inflight(_ context.Context, q api.InflightQuery) (*api.Inflight, error) {
	table := &api.Inflight{Time: time.Now().UTC(), Requests: []api.Request{}}
	running := a.o.Running()
	table.Total = len(running)
	most := q.Limit
	if most == 0 {
		most = api.DefaultInflightRows
	}
	for _, r := range running[:min(most, len(running))] {
		r.AgeSeconds = max(table.Time.Sub(r.StartedAt).Seconds(), 0)
		table.Requests = append(table.Requests, r)
	}
	return table, nil
}

// Limits implements api.Service.
func (a *Admin) Limits(context.Context) (*api.Limits, error) {
	l := a.o.Limits()
	return &l, nil
}

// ChangeLimits implements api.Service.
func (a *Admin) ChangeLimits(ctx context.Context, change api.LimitsChange) (*api.Limits, error) {
	if err := a.o.ChangeLimits(change); err != nil {
		return nil, invalid(err, change)
	}
	return a.Limits(ctx)
}

// invalid turns the mistakes that the configuration found in a change into what the API
// says of them.
func invalid(err error, change api.LimitsChange) error {
	mistakes, ok := err.(config.Errors) //nolint:errorlint // as promised
	if !ok {
		return err
	}
	e := &api.InvalidError{}
	for _, m := range mistakes {
		f := api.FieldError{Detail: m.Key + ": " + m.What}
		if name, ok := strings.CutPrefix(m.Key, "limits."); ok {
			f = api.FieldAt(name, m.What)
		} else if _, ok := change[m.Key]; ok {
			f = api.FieldAt(m.Key, m.What)
		}
		e.Fields = append(e.Fields, f)
	}
	return e
}

// Drain implements api.Service.
func (a *Admin) Drain(context.Context) (*api.Draining, error) {
	a.o.Drain()
	g := a.o.Gate()
	return &api.Draining{Draining: true, Inflight: g.Inflight, Waiting: g.Waiting}, nil
}
