package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"weir/config"
	"weir/metrics"
	"weir/tracing"
)

// newTracer gives what keeps traces, nil where none are to be kept.
func newTracer(c *config.Config, log *slog.Logger) (*tracing.Tracer, error) {
	if c.Tracing.Endpoint == "" {
		return nil, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming the source of traces: %w", err)
	}
	o := tracing.Options{
		Endpoint: c.Tracing.Endpoint, Sample: c.Tracing.Sample, Log: log,
		Service: c.Tracing.Service, Instance: host, Version: buildVersion(),
		Function: c.Function.Name, FunctionVersion: c.Function.Version,
		Upstream: c.Upstream.Address, UpstreamURL: "http://" + c.Upstream.Address,
	}
	switch c.Upstream.Scheme {
	case "https":
		o.UpstreamURL = "https://" + c.Upstream.Address
	case "unix":
		o.UpstreamURL = "http://localhost"
	}
	for _, a := range c.Tracing.Attributes {
		o.Attributes = append(o.Attributes, [2]string{a.Key, a.Value})
	}
	if path := c.Tracing.HeadersFile; path != "" {
		o.Header = func() (http.Header, error) { return readHeaders(path) }
	}
	if path := c.Tracing.CA; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities of the receiver of spans: %w", err)
		}
		o.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", path)
		}
	}
	log.Info("spans are sent", "endpoint", o.Endpoint, "sample", o.Sample)
	return tracing.New(o), nil
}

func readHeaders(path string) (http.Header, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	headers, err := config.ParseHeaders(content)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", path, err)
	}
	h := http.Header{}
	for _, f := range headers {
		h.Add(f.Name, f.Value)
	}
	return h, nil
}

func traceMetrics(t *tracing.Tracer) func() metrics.TraceSnapshot {
	if t == nil {
		return nil
	}
	return func() metrics.TraceSnapshot { return metrics.TraceSnapshot(t.Counts()) }
}

// traceFlush bounds what the end of the process waits for the receiver of spans.
const traceFlush = 2 * time.Second

// closeTracer sends what is left.
func (s *sidecar) closeTracer() {
	if s.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceFlush)
	defer cancel()
	if err := s.tracer.Close(ctx); err != nil {
		s.log.Warn("not all spans were sent", "err", err)
	}
}
