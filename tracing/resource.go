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
	return appendServer(nil, host, port)
}

func appendServer(all []attribute.KeyValue, host, port string) []attribute.KeyValue {
	all = append(all, semconv.ServerAddress(host))
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		all = append(all, semconv.ServerPort(int(n)))
	}
	return all
}

// appendHost appends the attributes of the server that a client has asked, by its Host.
func appendHost(all []attribute.KeyValue, host string) []attribute.KeyValue {
	if host == "" {
		return all
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		return appendServer(all, name, port)
	}
	return appendServer(all, strings.Trim(host, "[]"), "")
}
