package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"

	"weir/limits"
	"weir/metrics"
	"weir/tracing"
)

// Options is what a Proxy is made of. All fields are required but OpenFaaS.
type Options struct {
	Gate     *limits.Gate
	Metrics  *metrics.Metrics
	Upstream *Upstream
	Settings Settings
	Log      *slog.Logger
	// OpenFaaS answers /_/health and /_/ready on the data port with Ready, as
	// of-watchdog does, without taking a slot.
	OpenFaaS bool
	Ready    http.Handler
	// Enqueuer takes requests that are to be run later, where Settings.Async says
	// which; nil where there is no queue.
	Enqueuer Enqueuer
	// Tracer keeps traces; nil keeps none.
	Tracer *tracing.Tracer
	// Calls answers what lies below /_weir/calls/, without a slot; nil leaves that to
	// the function.
	Calls http.Handler
}

// Proxy forwards admitted requests to the function and refuses the others. It
// is an http.Handler; Serve gives it its listener.
type Proxy struct {
	gate     *limits.Gate
	metrics  *metrics.Metrics
	upstream *Upstream
	log      *slog.Logger
	openfaas bool
	ready    http.Handler
	enqueuer Enqueuer
	calls    http.Handler
	tracer   *tracing.Tracer
	bodies   budget // of requests that are being accepted

	settings  atomic.Pointer[Settings]
	refusals  refusals
	draining  atomic.Bool
	forwarder *httputil.ReverseProxy

	mu       sync.Mutex
	tunnels  map[*tunnel]struct{} // connections that the server has given away
	stopping bool
}

// New makes a Proxy; it serves nothing yet.
func New(o Options) *Proxy {
	p := &Proxy{
		gate: o.Gate, metrics: o.Metrics, upstream: o.Upstream, log: o.Log,
		openfaas: o.OpenFaaS, ready: o.Ready, enqueuer: o.Enqueuer, calls: o.Calls, tracer: o.Tracer,
		tunnels: map[*tunnel]struct{}{},
	}
	p.Configure(o.Settings)
	p.forwarder = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      o.Upstream.transport,
		ModifyResponse: p.responded,
		ErrorHandler:   p.failed,
		BufferPool:     buffers{},
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return p
}

// Configure replaces the settings for requests from now on.
func (p *Proxy) Configure(s Settings) {
	if s.Async != nil {
		// Room for the largest one, and then some.
		p.bodies.most.Store(max(4*s.Async.MaxBody, 64<<20))
	}
	if s.LoopName == "" {
		s.LoopName = "weir"
	}
	p.settings.Store(&s)
}

// ServeHTTP takes a request all its way, through net/http.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.openfaas && (r.URL.Path == "/_/health" || r.URL.Path == "/_/ready") {
		p.health(w, r)
		return
	}
	if p.calls != nil && strings.HasPrefix(r.URL.Path, callsPrefix) {
		p.calls.ServeHTTP(w, r)
		return
	}
	x := p.begin(w, r)
	defer x.finish()
	if err := x.loop(); err != nil {
		x.answer(err)
		return
	}
	if x.async {
		x.accept(false)
		return
	}
	if err := x.admit(); err != nil {
		if x.spill && !x.grpc && spills(err) {
			x.accept(true)
			return
		}
		x.answer(err)
		return
	}
	x.forward()
}

// callsPrefix is where callers ask for the calls that they have made.
const callsPrefix = "/_weir/calls/"

// health answers of-watchdog's probes.
func (p *Proxy) health(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_/ready" {
		p.ready.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("OK"))
}

// begin describes the request and starts its books.
func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	s := p.settings.Load()
	x := &exchange{p: p, settings: s, began: clock(), r: r}
	x.w.ResponseWriter, x.w.x = w, x
	x.description = describe(s, r.Method, r.RequestURI, r.Header)
	if p.tracer != nil {
		x.spans = &tracing.Request{}
		p.tracer.Begin(x.spans, headerLines{r.Header})
	}
	if s.identifies() {
		addr, _ := peerAddr(r.RemoteAddr)
		from := s.peer(addr)
		s.identify(&x.call, r.Header, sender{
			peer:        &from,
			certificate: func() string { return certificateName(r.TLS) },
			last: func(name string) string {
				if values := r.Header[name]; len(values) > 0 {
					return values[len(values)-1]
				}
				return ""
			},
		})
	}
	return x
}

// admit checks the message and takes a slot, or says why not.
func (x *exchange) admit() error {
	if x.r.Method == http.MethodConnect {
		return errConnect
	}
	if !isToken(x.r.Method) {
		return errMethod // net/http lets those of HTTP/2 pass
	}
	if x.r.RequestURI == "*" && x.r.Method != http.MethodOptions {
		return errTarget
	}
	if limit := x.settings.MaxBodyBytes; limit > 0 && x.r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	err := x.p.gate.Enter(x.r.Context(), &x.call, &x.slot)
	if err != nil && errors.Is(err, context.Canceled) {
		return errClientGone
	}
	x.admitted = err == nil
	return err
}

// forward hands an admitted request to the function and its answer to the
// client.
func (x *exchange) forward() {
	if x.r.ContentLength != 0 { // HTTP/2 has a body also where there is none to come
		x.body = &x.bodies.request
		if x.r.ProtoMajor == 1 {
			x.body.whole = make(chan struct{})
			// Or net/http would discard, once the answer begins, what the function has not
			// got yet.
			if err := x.control().EnableFullDuplex(); err != nil {
				x.p.log.Error("full duplex is not to be had on this connection", "err", err)
			}
		}
		x.body.x, x.body.body, x.body.left = x, x.r.Body, x.settings.MaxBodyBytes
	}
	ctx := x.r.Context()
	if x.r.ProtoMajor == 1 || x.finishAborted {
		// Over HTTP/1.1 it ends also when the reading of the body is cut short because
		// the answer is there.
		ctx = context.WithoutCancel(ctx)
	}
	ctx, x.cancel = context.WithCancelCause(exchangeContext{ctx, x})
	defer x.cancel(nil)
	if x.r.ProtoMajor == 1 && !x.finishAborted {
		defer context.AfterFunc(x.r.Context(), func() {
			if x.clientLeft() {
				x.cancel(errClientGone)
			}
		})()
	}
	x.dog = watchdog{
		request: x.requestTimeout, responseStart: x.responseStartTimeout, idle: x.settings.IdleTimeout,
		read: x.settings.ClientReadTimeout, write: x.settings.ClientWriteTimeout,
	}
	x.handedOver = clock()
	x.seat = spareSeats.Get().(*seat)
	x.seat.take(x.p, &account{
		method: x.r.Method, target: x.r.RequestURI, proto: x.r.Proto, client: x.r.RemoteAddr, began: x.began,
	}, x.slot.Waited())
	x.dog.watch(x.interrupt)
	r := x.r.WithContext(ctx)
	if x.body != nil {
		r.Body = x.body
	}
	if !x.mayUpgrade(r.Header) {
		delete(r.Header, "Upgrade")
	}
	x.p.forwarder.ServeHTTP(&x.w, r)
}

// exchangeContext tells the forwarder's hooks which exchange they work for.
type exchangeContext struct {
	context.Context
	x *exchange
}

type exchangeKey struct{}

func (c exchangeContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// rewrite makes the request that the function gets.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	out := pr.Out
	p.upstream.aim(out.URL, originForm(pr.In.RequestURI))
	out.Host = pr.In.Host
	// A body that must not be there would answer the connection's next request:
	// net/http sees it only if it comes late.
	out.Close = pr.In.Method == http.MethodHead

	x.forwardPeer(out.Header)
	x.setTrace(out.Header)

	if x.body == nil {
		switch pr.In.Method {
		case http.MethodPut, http.MethodDelete:
			// Idempotent, which net/http takes a field's word for, or its mere presence:
			// without a value it is not sent.
			out.Header["X-Idempotency-Key"] = pr.In.Header["X-Idempotency-Key"]
		}
	} else {
		// The forwarder's own wrapper ignores Close. The transport would wait for a
		// read from a client that has nothing more to send until it has its answer.
		out.Body = x.body
		// Trailers arrive with the body's end, announced or not. The function gets
		// what has come by then.
		out.Trailer = http.Header{}
		for name := range pr.In.Trailer {
			out.Trailer[name] = nil
		}
		x.body.trailer = out.Trailer
	}
}

// forwardPeer sets on out the fields that tell the function who called.
func (x *exchange) forwardPeer(out http.Header) {
	info := connInfoOf(x.r.Context())
	peer := x.settings.peer(info.addr)
	peer.scheme, peer.version = "http", "1.1"
	if x.r.TLS != nil || info.tls {
		peer.scheme = "https"
	}
	switch {
	case x.r.ProtoMajor == 2:
		peer.version = "2.0"
	case x.r.ProtoMinor == 0:
		peer.version = "1.0"
	}
	peer.forward(x.r.Header, out, info.client, x.r.Host, x.settings.LoopName)
}

// responded sees the final head of the function's answer before the client does.
func (p *Proxy) responded(res *http.Response) error {
	x := exchangeOf(res.Request.Context())
	x.dog.started.Store(true)
	x.dog.moved.Store(x.dog.now())
	if x.clientLeft() {
		x.fail(errClientGone) // only where the exchange goes on without its client
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return x.tunnel(res)
	}
	if x.closing() || x.body.early() && !x.fullDuplex {
		res.Header.Set("Connection", "close")
	}
	if len(res.Trailer) > 0 && x.r.ProtoMajor == 1 {
		res.Header.Del("Content-Length") // HTTP/1.1 has trailers in chunked bodies only
	}
	x.bodies.response = responseBody{ReadCloser: res.Body, x: x}
	res.Body = &x.bodies.response
	return nil
}

// failed ends an exchange for which there is no answer of the function to send.
func (p *Proxy) failed(_ http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errTunnelled) {
		return
	}
	exchangeOf(r.Context()).answer(err)
}

// buffers lends the forwarder its copy buffers.
type buffers struct{}

const bufferSize = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[bufferSize]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[bufferSize]byte)(b)) }

// clientAddr is the peer's address without its port, for the log.
func clientAddr(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	return host
}
