package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// busyConfig is the configuration of the processor "busy".
type busyConfig struct {
	// File says how spans are refused: the name of a gRPC status and a duration, as in
	// "RESOURCE_EXHAUSTED 2s", which is 0s for none. While it is not there, they pass.
	File string `mapstructure:"file"`
}

// newBusyFactory makes the processor "busy", which stands for whatever behind the receiver
// is at its end. How that is told to who sends is the receiver's business, as ever.
func newBusyFactory() processor.Factory {
	return processor.NewFactory(component.MustNewType("busy"), func() component.Config { return &busyConfig{} },
		processor.WithTraces(func(_ context.Context, _ processor.Settings, config component.Config, next consumer.Traces) (processor.Traces, error) {
			return &busy{Traces: next, file: config.(*busyConfig).File}, nil
		}, component.StabilityLevelDevelopment))
}

type busy struct {
	consumer.Traces
	component.StartFunc
	component.ShutdownFunc
	file string
}

// ConsumeTraces implements consumer.Traces.
func (b *busy) ConsumeTraces(ctx context.Context, spans ptrace.Traces) error {
	text, err := os.ReadFile(b.file)
	if errors.Is(err, fs.ErrNotExist) {
		return b.Traces.ConsumeTraces(ctx, spans)
	}
	if err != nil {
		return err
	}
	var name, pause string
	if _, err := fmt.Sscan(string(text), &name, &pause); err != nil {
		return fmt.Errorf("busy: %s: %w", b.file, err)
	}
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		return fmt.Errorf("busy: %s: %w", b.file, err)
	}
	after, err := time.ParseDuration(pause)
	if err != nil {
		return fmt.Errorf("busy: %s: %w", b.file, err)
	}
	s := status.New(code, "busy")
	if after > 0 {
		if s, err = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err != nil {
			return err
		}
	}
	return s.Err()
}
