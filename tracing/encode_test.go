package tracing

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func text(v string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}
}

// What is written by hand is what the official types read, whole and nothing else.
func TestEncode(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=some,other=thing")
	if err != nil {
		t.Fatal(err)
	}
	id, span, parent := trace.TraceID{1, 2, 15: 16}, trace.SpanID{1, 7: 8}, trace.SpanID{9, 7: 9}
	began := time.Unix(1_700_000_000, 123)
	stub := tracetest.SpanStub{
		Name:        "GET /a",
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: 3, TraceState: state}),
		Parent:      trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: parent, TraceFlags: 3, Remote: true}),
		SpanKind:    trace.SpanKindServer, StartTime: began, EndTime: began.Add(time.Second),
		Attributes: []attribute.KeyValue{
			attribute.String("s", "ü"), attribute.String("empty", ""), attribute.Int("i", -1), attribute.Bool("b", true), attribute.Bool("no", false),
		},
		DroppedAttributes:    2,
		Status:               sdktrace.Status{Code: codes.Error, Description: "why"},
		Resource:             resource.NewWithAttributes("https://schema", attribute.String("service.name", "weir")),
		InstrumentationScope: instrumentation.Scope{Name: "scope", Version: "1"},
	}
	root := stub
	root.Parent, root.SpanKind, root.Status = trace.SpanContext{}, trace.SpanKindClient, sdktrace.Status{Code: codes.Ok}
	root.SpanContext = trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: parent, TraceFlags: 1})
	root.Attributes, root.DroppedAttributes = nil, 0

	want := &collector.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: text("weir")}}},
		ScopeSpans: []*tracepb.ScopeSpans{{
			Scope: &common.InstrumentationScope{Name: "scope", Version: "1"},
			Spans: []*tracepb.Span{
				{
					TraceId: id[:], SpanId: span[:], ParentSpanId: parent[:], TraceState: "vendor=some,other=thing", Name: "GET /a", Kind: tracepb.Span_SPAN_KIND_SERVER,
					StartTimeUnixNano: uint64(began.UnixNano()), EndTimeUnixNano: uint64(began.Add(time.Second).UnixNano()),
					Attributes: []*common.KeyValue{
						{Key: "s", Value: text("ü")},
						{Key: "empty", Value: text("")},
						{Key: "i", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -1}}},
						{Key: "b", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: true}}},
						{Key: "no", Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{}}},
					},
					DroppedAttributesCount: 2,
					Status:                 &tracepb.Status{Message: "why", Code: tracepb.Status_STATUS_CODE_ERROR},
					Flags:                  3 | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
				},
				{
					TraceId: id[:], SpanId: parent[:], Name: "GET /a", Kind: tracepb.Span_SPAN_KIND_CLIENT,
					StartTimeUnixNano: uint64(began.UnixNano()), EndTimeUnixNano: uint64(began.Add(time.Second).UnixNano()),
					Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK},
					Flags:  1 | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK),
				},
			},
		}},
		SchemaUrl: "https://schema",
	}}}
	var got collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(encode(tracetest.SpanStubs{stub, root}.Snapshots()), &got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&got, want) {
		t.Errorf("got  %v\nwant %v", &got, want)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(`{"partialSuccess":{}}`))
	partial, err := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 7, ErrorMessage: "too old"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(partial)
	f.Fuzz(func(t *testing.T, b []byte) {
		rejected, why := parseAnswer(b)
		if rejected < 0 || len(why) > maxWhy {
			t.Errorf("%d, %q", rejected, why)
		}
		var official collector.ExportTraceServiceResponse
		if proto.Unmarshal(b, &official) != nil || official.GetPartialSuccess().GetRejectedSpans() < 0 || len(official.GetPartialSuccess().GetErrorMessage()) > maxWhy {
			return
		}
		if p := official.GetPartialSuccess(); p.GetRejectedSpans() != rejected || p.GetErrorMessage() != why {
			t.Errorf("%x: %d, %q; by the official types %d, %q", b, rejected, why, p.GetRejectedSpans(), p.GetErrorMessage())
		}
	})
}
