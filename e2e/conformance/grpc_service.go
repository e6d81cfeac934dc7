package conformance

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// testService is the function's gRPC side: gRPC's interoperability service.
type testService struct {
	testgrpc.UnimplementedTestServiceServer
}

func newTestService() *grpc.Server {
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, testService{})
	return server
}

// The metadata that a call sends is given back: the first in the header, the
// second in the trailer.
const (
	echoInitial  = "x-grpc-test-echo-initial"
	echoTrailing = "x-grpc-test-echo-trailing-bin"
)

func echoMetadata(ctx context.Context, header, trailer func(metadata.MD) error) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(echoInitial); len(v) > 0 {
		if err := header(metadata.Pairs(echoInitial, v[0])); err != nil {
			return err
		}
	}
	if v := md.Get(echoTrailing); len(v) > 0 {
		return trailer(metadata.Pairs(echoTrailing, v[0]))
	}
	return nil
}

func echoStream(stream grpc.ServerStream) error {
	return echoMetadata(stream.Context(), stream.SetHeader, func(md metadata.MD) error {
		stream.SetTrailer(md)
		return nil
	})
}

func (testService) EmptyCall(context.Context, *testgrpc.Empty) (*testgrpc.Empty, error) {
	return &testgrpc.Empty{}, nil
}

func (testService) UnaryCall(ctx context.Context, in *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	err := echoMetadata(ctx,
		func(md metadata.MD) error { return grpc.SetHeader(ctx, md) },
		func(md metadata.MD) error { return grpc.SetTrailer(ctx, md) })
	if err != nil {
		return nil, err
	}
	if st := in.GetResponseStatus(); st.GetCode() != 0 {
		return nil, status.Error(codes.Code(st.GetCode()), st.GetMessage())
	}
	return &testgrpc.SimpleResponse{Payload: payload(in.GetResponseSize())}, nil
}

func (testService) StreamingOutputCall(in *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	if err := echoStream(stream); err != nil {
		return err
	}
	return respond(in, stream.Send)
}

func (testService) StreamingInputCall(stream testgrpc.TestService_StreamingInputCallServer) error {
	sum := 0
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&testgrpc.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(in.GetPayload().GetBody())
	}
}

func (testService) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	if err := echoStream(stream); err != nil {
		return err
	}
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if st := in.GetResponseStatus(); st.GetCode() != 0 {
			return status.Error(codes.Code(st.GetCode()), st.GetMessage())
		}
		if err := respond(in, stream.Send); err != nil {
			return err
		}
	}
}

func respond(in *testgrpc.StreamingOutputCallRequest, send func(*testgrpc.StreamingOutputCallResponse) error) error {
	for _, p := range in.GetResponseParameters() {
		if err := send(&testgrpc.StreamingOutputCallResponse{Payload: payload(p.GetSize())}); err != nil {
			return err
		}
	}
	return nil
}

func payload(size int32) *testgrpc.Payload {
	return &testgrpc.Payload{Body: make([]byte, size)}
}
