package h1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"weir/proxy/h1"
)

func BenchmarkParseRequest(b *testing.B) {
	for _, c := range []struct{ name, raw string }{{"small", smallRequest}, {"typical", typicalRequest}} {
		b.Run(c.name, func(b *testing.B) {
			raw := []byte(c.raw)
			lim := &h1.Limits{}
			var r h1.Request
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				r.Reset()
				if n, err := r.Parse(raw, lim); n != len(raw) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// For comparison.
func BenchmarkNetHTTPReadRequest(b *testing.B) {
	from := strings.NewReader(typicalRequest)
	br := bufio.NewReader(from)
	b.SetBytes(int64(len(typicalRequest)))
	b.ReportAllocs()
	for b.Loop() {
		from.Reset(typicalRequest)
		br.Reset(from)
		if _, err := http.ReadRequest(br); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseResponse(b *testing.B) {
	raw := []byte(typicalResponse)
	lim := &h1.Limits{}
	var r h1.Response
	b.SetBytes(int64(len(raw) - 50))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if n, err := r.Parse(raw, h1.GET, lim); n != len(raw)-50 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	var r h1.Request
	if _, err := r.Parse([]byte(typicalRequest), &h1.Limits{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r.Get("Idempotency-Key") != nil || r.Get("Cookie") == nil {
			b.Fatal("found or not found")
		}
	}
}

func BenchmarkSerialiseRequest(b *testing.B) {
	var r h1.Request
	if _, err := r.Parse([]byte(typicalRequest), &h1.Limits{}); err != nil {
		b.Fatal(err)
	}
	r.DropLike("X-Forwarded-For")
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendLine(buf[:0], "function")
		buf = r.AppendFields(buf, h1.Framing{})
		buf = h1.AppendField(buf, "X-Forwarded-For", "192.0.2.1")
		buf = h1.AppendField(buf, "Via", "1.1 weir")
		buf = h1.AppendEnd(buf)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkExchange is all of h1's part in one request and its response, but for
// the system calls.
func BenchmarkExchange(b *testing.B) {
	for _, c := range exchanges {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			e := &engine{client: newConn(&replay{says: []byte(c.request)}), upstream: newConn(&replay{says: []byte(c.response)})}
			b.ReportAllocs()
			for b.Loop() {
				if err := e.exchange(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRelayChunks(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"1B", 1}, {"100B", 100}, {"8KiB", 8 << 10}} {
		b.Run(c.name, func(b *testing.B) {
			var body bytes.Buffer
			for body.Len() < 64<<10 {
				fmt.Fprintf(&body, "%x\r\n%s\r\n", c.size, strings.Repeat("x", c.size))
			}
			body.WriteString("0\r\n\r\n")
			k := newConn(&replay{says: body.Bytes()})
			k.dst.Reset(io.Discard, make([]byte, 16<<10))
			lim := &h1.Limits{}
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				k.relay.Start(&k.src, &k.dst, byChunks, byChunks, lim)
				if err := k.relay.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRelayConnections moves bodies between real connections, inside the
// kernel and by copying. The processor time of sender and receiver is part of it.
func BenchmarkRelayConnections(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int64
	}{{"64KiB", 64 << 10}, {"1MiB", 1 << 20}, {"10MiB", 10 << 20}} {
		for _, how := range []struct {
			name  string
			least int64
		}{{"spliced", 1}, {"copied", -1}} {
			b.Run(size.name+"/"+how.name, func(b *testing.B) {
				sender, in := pair(b, "tcp")
				out, receiver := pair(b, "tcp")
				k := newConn(in)
				k.dst.Reset(out, make([]byte, 4<<10))
				k.relay.SpliceMin = how.least
				piece := make([]byte, 64<<10)
				stop := make(chan bool)
				go func() {
					for {
						if _, err := sender.Write(piece); err != nil {
							return
						}
					}
				}()
				go func() {
					defer close(stop)
					io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{receiver}) //nolint:errcheck
				}()
				lim := &h1.Limits{}
				b.SetBytes(size.n)
				b.ReportAllocs()
				for b.Loop() {
					k.relay.Start(&k.src, &k.dst, byLength(size.n), byLength(size.n), lim)
					if err := k.relay.Run(); err != nil {
						b.Fatal(err)
					}
				}
				sender.Close() //nolint:errcheck
				out.Close()    //nolint:errcheck
				<-stop
			})
		}
	}
}
