package tracing

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Options is what a Tracer is made of. Endpoint, Service and Log are required.
type Options struct {
	// Endpoint is the URL that spans are posted to, whole.
	Endpoint string
	// TLS is for an https one; nil has the system's authorities.
	TLS *tls.Config
	// Header gives what each request to the receiver carries besides, anew for each, for
	// what is secret in it changes; nil is nothing.
	Header func() (http.Header, error)
	// Sample is the share of the traces that begin here which are recorded, 0 to 1.
	Sample float64

	Service                   string // name of what records, as traces show it
	Function, FunctionVersion string // what it stands in front of
	Version                   string // of weir
	Instance                  string // tells those of one service apart
	// Attributes are further ones of the resource, keys and values. They do not replace
	// the above.
	Attributes [][2]string
	// Upstream is the function's address, host:port or a socket's path, and UpstreamURL
	// what a path is appended to for the URL of a call.
	Upstream, UpstreamURL string

	// What is 0 is as the constants below have it.
	QueueSize, BatchSize     int
	BatchDelay, GiveUp, Wait time.Duration

	Log *slog.Logger
}

const (
	queueSize  = 2048             // spans that wait or are being sent, at most
	batchSize  = 512              // spans sent at once, at most
	batchDelay = 5 * time.Second  // that a span waits for others
	giveUp     = time.Minute      // in which a batch is tried again
	wait       = 10 * time.Second // for the receiver's answer
)

func (o *Options) setDefaults() {
	if o.QueueSize == 0 {
		o.QueueSize = queueSize
	}
	if o.BatchSize == 0 {
		o.BatchSize = batchSize
	}
	if o.BatchDelay == 0 {
		o.BatchDelay = batchDelay
	}
	if o.GiveUp == 0 {
		o.GiveUp = giveUp
	}
	if o.Wait == 0 {
		o.Wait = wait
	}
}

// Tracer records requests. Make one with New; it is safe for concurrent use.
type Tracer struct {
	sampler  atomic.Pointer[sdktrace.Sampler]
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	bound    *bound
	exporter *exporter
	upstream []attribute.KeyValue // of each call to the function
	url      string
}

// scope names what makes the spans.
const scope = "weir/tracing"

// New makes a Tracer. It connects to nothing before there are spans.
func New(o Options) *Tracer {
	o.setDefaults()
	var attributes []attribute.KeyValue
	for _, a := range o.Attributes {
		attributes = append(attributes, attribute.String(a[0], a[1]))
	}
	attributes = append(attributes,
		semconv.ServiceName(o.Service), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(o.Instance), semconv.FaaSName(o.Function),
		semconv.TelemetrySDKName("opentelemetry"), semconv.TelemetrySDKLanguageGo, semconv.TelemetrySDKVersion(sdk.Version()),
	)
	if o.FunctionVersion != "" {
		attributes = append(attributes, semconv.FaaSVersion(o.FunctionVersion))
	}
	t := &Tracer{exporter: newExporter(&o), upstream: upstreamAttributes(o.Upstream), url: o.UpstreamURL}
	t.SetSample(o.Sample)
	t.bound = &bound{
		// All that the environment could say of these is said here.
		SpanProcessor: sdktrace.NewBatchSpanProcessor(t.exporter,
			sdktrace.WithMaxQueueSize(o.QueueSize), sdktrace.WithMaxExportBatchSize(o.BatchSize),
			sdktrace.WithBatchTimeout(o.BatchDelay), sdktrace.WithExportTimeout(o.GiveUp)),
		most: int64(o.QueueSize),
	}
	t.exporter.settled = func(n int) { t.bound.pending.Add(-int64(n)) }
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // whoever is asked for spans is to record them
		sdktrace.WithIDGenerator(givenIDs{}),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: maxAttribute, AttributeCountLimit: 64,
			EventCountLimit: 1, LinkCountLimit: 1, AttributePerEventCountLimit: 1, AttributePerLinkCountLimit: 1,
		}),
		sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL, attributes...)), // the last of a key counts
		sdktrace.WithSpanProcessor(t.bound),
	)
	t.tracer = t.provider.Tracer(scope, trace.WithInstrumentationVersion(o.Version))
	return t
}

// maxAttribute bounds an attribute, in bytes: paths may be as long as a head.
const maxAttribute = 1024

// SetSample sets the share of the traces that begin here which are recorded.
func (t *Tracer) SetSample(share float64) {
	s := sdktrace.TraceIDRatioBased(share)
	t.sampler.Store(&s)
}

func (t *Tracer) samples(id trace.TraceID) bool {
	s := *t.sampler.Load()
	return s.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: id}).Decision == sdktrace.RecordAndSample
}

// Counts says what has become of spans.
type Counts struct {
	Exported uint64 // the receiver has taken them
	Dropped  uint64 // the queue was full
	Failed   uint64 // the receiver has not taken them
}

// Counts gives those since the start.
func (t *Tracer) Counts() Counts {
	return Counts{Exported: t.exporter.exported.Load(), Dropped: t.bound.dropped.Load(), Failed: t.exporter.failed.Load()}
}

// Flush sends what waits, and waits for that.
func (t *Tracer) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Close sends what waits, each batch once, for as long as ctx has not ended.
func (t *Tracer) Close(ctx context.Context) error {
	t.exporter.close()
	defer t.exporter.cancel()
	// Not the provider's, which leaves it running where ctx has ended already.
	if err := t.bound.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: spans that were not sent yet are lost: %w", err)
	}
	return nil
}

// bound keeps the queue's bound, and counts what does not fit: the SDK's own count is
// nobody's to read.
type bound struct {
	sdktrace.SpanProcessor
	most    int64
	pending atomic.Int64 // in the queue, or in a batch that is being sent
	dropped atomic.Uint64
}

func (b *bound) OnEnd(s sdktrace.ReadOnlySpan) {
	if b.pending.Add(1) > b.most {
		b.pending.Add(-1)
		b.dropped.Add(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// givenIDs takes a span's id from the context.
type givenIDs struct{}

// NewIDs implements sdktrace.IDGenerator.
func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	g := ctx.(*given)
	return g.trace, g.span
}

// NewSpanID implements sdktrace.IDGenerator.
func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	return ctx.(*given).span
}

// given is a context that says which ids a span gets.
type given struct {
	context.Context
	trace trace.TraceID
	span  trace.SpanID
}
