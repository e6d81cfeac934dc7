package tracing

import (
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// upstreamAttributes name the other end of a call to the function.
func upstreamAttributes(address string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(address)} // a socket
	}
	return serverAttributes(host, port)
}

func serverAttributes(host, port string) []attribute.KeyValue {
	all := []attribute.KeyValue{semconv.ServerAddress(host)}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		all = append(all, semconv.ServerPort(int(n)))
	}
	return all
}

// hostAttributes are those of the server that a client has asked, by its Host.
func hostAttributes(host string) []attribute.KeyValue {
	if host == "" {
		return nil
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		return serverAttributes(name, port)
	}
	return serverAttributes(strings.Trim(host, "[]"), "")
}
