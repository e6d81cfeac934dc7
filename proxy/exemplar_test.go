package proxy

import (
	"bufio"
	"net"
	"net/http"
	"testing"

	"weir/limits"
	"weir/metrics"
)

func TestARecordedTraceBecomesAnExemplar(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, netHTTP := range []bool{false, true} {
		name := "own engine"
		if netHTTP {
			name = "net/http"
		}
		t.Run(name, func(t *testing.T) {
			var m *metrics.Metrics
			s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{}, Settings{}, func(o *Options, so *ServerOptions) { m, so.NetHTTP = o.Metrics, netHTTP })
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: f\r\ntraceparent: 00-" + id + "-00f067aa0ba902b7-01\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "both histograms have it", func() bool {
				families, err := m.Registry().Gather()
				if err != nil {
					t.Fatal(err)
				}
				found := 0
				for _, f := range families {
					for _, metric := range f.GetMetric() {
						for _, b := range metric.GetHistogram().GetBucket() {
							for _, l := range b.GetExemplar().GetLabel() {
								if l.GetName() != "trace_id" || l.GetValue() != id {
									t.Fatalf("exemplar %v", l)
								}
								found++
							}
						}
					}
				}
				return found == 2
			})
		})
	}
}
