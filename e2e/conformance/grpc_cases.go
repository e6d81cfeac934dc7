package conformance

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// gRPC passes with a real client, and is refused in its own terms.

// emptyCall is the target of a unary call.
const emptyCall = "/grpc.testing.TestService/EmptyCall"

// grpcClient dials weir with grpc-go.
func (s *Stage) grpcClient(t testing.TB, options ...grpc.DialOption) (testgrpc.TestServiceClient, context.Context) {
	t.Helper()
	creds := insecure.NewCredentials()
	if s.Carrier.TLS {
		creds = credentials.NewTLS(s.tlsConfig())
	}
	conn, err := grpc.NewClient("passthrough:///"+s.Weir.Addr, append(options, grpc.WithTransportCredentials(creds), grpc.WithNoProxy())...)
	if err != nil {
		t.Fatalf("grpc: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() {
		cancel()
		conn.Close()
	})
	return testgrpc.NewTestServiceClient(conn), ctx
}

// grpcFields are the fields of a gRPC request as a client sends them.
func (s *Stage) grpcFields(target string, more ...string) []string {
	return s.request("POST "+target, append([]string{"content-type: application/grpc", "te: trailers"}, more...)...)
}

func grpcCases() []Case {
	cases := slices.Concat(grpcCallCases(), grpcRefusalCases())
	for i := range cases {
		cases[i].Over = http2Carriers
		if cases[i].Behind == FunctionHTTP {
			cases[i].Behind = FunctionH2C
		}
	}
	return cases
}

func sized(sizes ...int32) *testgrpc.StreamingOutputCallRequest {
	in := &testgrpc.StreamingOutputCallRequest{}
	for _, size := range sizes {
		in.ResponseParameters = append(in.ResponseParameters, &testgrpc.ResponseParameters{Size: size})
	}
	return in
}

func grpcCallCases() []Case {
	return []Case{
		{
			Name: "grpc/a unary call with metadata both ways",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				ctx = metadata.AppendToOutgoingContext(ctx, echoInitial, "one", echoTrailing, "\x00\xff")
				var header, trailer metadata.MD
				out, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: 314159, Payload: payload(271828)}, grpc.Header(&header), grpc.Trailer(&trailer))
				if err != nil || len(out.GetPayload().GetBody()) != 314159 {
					t.Fatalf("got %d bytes, %v", len(out.GetPayload().GetBody()), err)
				}
				if got := header.Get(echoInitial); !slices.Equal(got, []string{"one"}) {
					t.Errorf("header %v", header)
				}
				if got := trailer.Get(echoTrailing); !slices.Equal(got, []string{"\x00\xff"}) {
					t.Errorf("trailer %v", trailer)
				}
			},
		},
		{
			Name: "grpc/a status of the function, with its message",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
				for _, code := range []codes.Code{codes.Unknown, codes.ResourceExhausted, codes.Unavailable, codes.Unauthenticated} {
					_, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseStatus: &testgrpc.EchoStatus{Code: int32(code), Message: message}})
					if got := status.Convert(err); got.Code() != code || got.Message() != message {
						t.Errorf("got %v, want %v", err, code)
					}
				}
				if v := s.Metric(t, "weir_throttles_total"); v != 0 {
					t.Errorf("the function's RESOURCE_EXHAUSTED was counted as weir's throttle")
				}
			},
		},
		{
			Name: "grpc/a method that is unknown",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				if _, err := client.UnimplementedCall(ctx, &testgrpc.Empty{}); status.Code(err) != codes.Unimplemented {
					t.Errorf("got %v", err)
				}
			},
		},
		{
			Name: "grpc/a client stream",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				stream, err := client.StreamingInputCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, size := range []int32{27182, 8, 1828, 45904} {
					if err := stream.Send(&testgrpc.StreamingInputCallRequest{Payload: payload(size)}); err != nil {
						t.Fatal(err)
					}
				}
				if out, err := stream.CloseAndRecv(); err != nil || out.GetAggregatedPayloadSize() != 74922 {
					t.Errorf("got %v, %v", out, err)
				}
			},
		},
		{
			Name: "grpc/a server stream",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				stream, err := client.StreamingOutputCall(ctx, sized(31415, 9, 2653, 58979))
				if err != nil {
					t.Fatal(err)
				}
				for _, size := range []int{31415, 9, 2653, 58979} {
					if out, err := stream.Recv(); err != nil || len(out.GetPayload().GetBody()) != size {
						t.Fatalf("got %d bytes, %v", len(out.GetPayload().GetBody()), err)
					}
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v, want the end", err)
				}
			},
		},
		{
			Name: "grpc/a stream in both directions, ping by pong, then half-closed",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				stream, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, size := range []int32{31415, 9, 2653, 58979} {
					if err := stream.Send(sized(size)); err != nil {
						t.Fatal(err)
					}
					if out, err := stream.Recv(); err != nil || len(out.GetPayload().GetBody()) != int(size) {
						t.Fatalf("got %d bytes, %v", len(out.GetPayload().GetBody()), err)
					}
				}
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v, want the end", err)
				}
			},
		},
		{
			Name: "grpc/a stream without a message",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				stream, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v, want the end", err)
				}
			},
		},
		{
			Name: "grpc/a status in the middle of a stream",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				stream, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(sized(1)); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseStatus: &testgrpc.EchoStatus{Code: 9, Message: "why"}}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "why" {
					t.Errorf("got %v", err)
				}
			},
		},
		{
			Name: "grpc/a cancelled stream frees its slot",
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				stream, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(sized(1)); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatal(err)
				}
				if v := s.Metric(t, "weir_inflight_requests"); v != 1 {
					t.Errorf("%v in flight, want the stream", v)
				}
				cancel()
				if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
					t.Errorf("got %v", err)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
			},
		},
		{
			Name: "grpc/a deadline of the client's frees the slot",
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				stream, err := client.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("got %v", err)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
			},
		},
		{
			Name: "grpc/an upstream that is down is UNAVAILABLE", Behind: Nothing,
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}); status.Code(err) != codes.Unavailable {
					t.Errorf("got %v", err)
				}
			},
		},
		{
			Name: "grpc/many calls at once",
			Run: func(t testing.TB, s *Stage) {
				client, ctx := s.grpcClient(t)
				errs := make(chan error)
				for range 50 {
					go func() {
						_, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: 1000, Payload: payload(1000)})
						errs <- err
					}()
				}
				for range 50 {
					if err := await(t, "a call", errs); err != nil {
						t.Error(err)
					}
				}
			},
		},
	}
}

func grpcRefusalCases() []Case {
	one := Settings{Flags: Flags{"max-inflight": "1"}}
	queue := Settings{Flags: Flags{"max-inflight": "1", "overflow": "wait", "queue-timeout": "60s"}}
	return []Case{
		{
			Name: "grpc/a refusal is RESOURCE_EXHAUSTED with pushback, to a real client",
			With: one,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				client, ctx := s.grpcClient(t)
				var trailer metadata.MD
				_, err := client.EmptyCall(ctx, &testgrpc.Empty{}, grpc.Trailer(&trailer))
				if status.Code(err) != codes.ResourceExhausted {
					t.Fatalf("got %v, want ResourceExhausted", err)
				}
				if ms, err := strconv.Atoi(strings.Join(trailer.Get("grpc-retry-pushback-ms"), ",")); err != nil || ms < 1 {
					t.Errorf("grpc-retry-pushback-ms %q", trailer.Get("grpc-retry-pushback-ms"))
				}
				stream, err := client.FullDuplexCall(ctx)
				if err == nil {
					_, err = stream.Recv()
				}
				if status.Code(err) != codes.ResourceExhausted {
					t.Errorf("a stream got %v, want ResourceExhausted", err)
				}
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
				s.awaitMetric(t, 2, "weir_throttles_total", "reason", "max_inflight")
			},
		},
		{
			Name: "grpc/a refusal is trailers-only",
			With: one,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				f := s.Frames(t)
				st := f.Open(false, s.grpcFields(emptyCall)...)
				wantGRPCRefusal(t, st, int(codes.ResourceExhausted), "max_inflight")
				proto := f.Open(true, s.request("POST "+emptyCall, "content-type: application/grpc+proto", "te: trailers")...)
				wantGRPCRefusal(t, proto, int(codes.ResourceExhausted), "max_inflight")
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "grpc/a content type that only begins alike is refused with 429",
			With: one,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				resp := s.Frames(t).Exchange(s.request("POST "+emptyCall, "content-type: application/grpc-web")...)
				wantRefusal(t, resp, 429, "max_inflight", 1)
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "grpc/a client with a retry policy comes back when told, and is served",
			With: one,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				first := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				client, ctx := s.grpcClient(t, grpc.WithDefaultServiceConfig(`{"methodConfig":[{"name":[{}],"retryPolicy":{
					"maxAttempts":2,"initialBackoff":"0.001s","maxBackoff":"0.001s","backoffMultiplier":1,"retryableStatusCodes":["RESOURCE_EXHAUSTED"]}}]}`))
				done := make(chan error, 1)
				go func() {
					_, err := client.EmptyCall(ctx, &testgrpc.Empty{})
					done <- err
				}()
				// Without pushback the second and last attempt would follow in a
				// millisecond, and be refused as well.
				s.awaitMetric(t, 1, "weir_throttles_total", "reason", "max_inflight")
				held.Release()
				first.Response(t).wantBody(t, 200, "held")
				if err := await(t, "the call", done); err != nil {
					t.Errorf("the second attempt got %v", err)
				}
			},
		},
		{
			Name: "grpc/grpc-timeout bounds the wait",
			With: queue,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				st := s.Frames(t).Open(true, s.grpcFields(emptyCall, "grpc-timeout: 300m")...)
				resp := st.Response().want(t, 200) // long before the queue's own timeout of 60 s
				if got := resp.Get("Grpc-Status"); got != "8" && got != "4" {
					t.Errorf("grpc-status %q, want 8 (or 4, DEADLINE_EXCEEDED)", got)
				}
				if !st.single() {
					t.Errorf("the answer is not trailers-only")
				}
				s.awaitMetric(t, 0, "weir_waiting_requests")
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "grpc/a waiting call is served when there is room",
			With: queue,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				client, ctx := s.grpcClient(t)
				done := make(chan error, 1)
				go func() {
					_, err := client.EmptyCall(ctx, &testgrpc.Empty{})
					done <- err
				}()
				s.awaitMetric(t, 1, "weir_waiting_requests")
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
				if err := await(t, "the call", done); err != nil {
					t.Error(err)
				}
			},
		},
		{
			Name: "grpc/queue reasons are told",
			With: Settings{Flags: Flags{"max-inflight": "1", "overflow": "wait", "queue-depth": "1", "queue-timeout": "3s"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				f := s.Frames(t)
				waiting := f.Open(true, s.grpcFields(emptyCall)...)
				s.awaitMetric(t, 1, "weir_waiting_requests")
				wantGRPCRefusal(t, f.Open(true, s.grpcFields(emptyCall)...), int(codes.ResourceExhausted), "queue_full")
				wantGRPCRefusal(t, waiting, int(codes.ResourceExhausted), "queue_timeout")
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
	}
}
