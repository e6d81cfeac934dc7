package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// HTTP/2's own ways of going wrong.

func http2Cases() []Case {
	one := Settings{Flags: Flags{"max-inflight": "1"}}
	return []Case{
		{
			Name: "http2/a reset stream frees its slot", Over: http2Carriers, With: one,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				f := s.Frames(t)
				for range 3 {
					st := f.Open(true, s.request("GET /hold")...)
					held := gate.Next(t)
					st.Reset()
					held.AwaitDone(t)
					s.awaitMetric(t, 0, "weir_inflight_requests")
				}
				f.Exchange(s.request("GET /")...).want(t, 200) // the connection lives on
			},
		},
		{
			Name: "http2/a connection that closes frees the slots of all its streams", Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				f := s.Frames(t)
				for range 20 {
					f.Open(true, s.request("GET /hold")...)
				}
				for range 20 {
					gate.Next(t)
				}
				f.conn.Close()
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
			},
		},
		{
			Name: "http2/streams of one connection are limited one by one", Over: http2Carriers,
			With: Settings{Flags: Flags{"max-inflight": "3"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				f := s.Frames(t)
				var streams []*Stream
				var held []*Held
				for range 3 {
					streams = append(streams, f.Open(true, s.request("GET /hold")...))
					held = append(held, gate.Next(t))
				}
				for range 5 {
					wantRefusal(t, f.Exchange(s.request("GET /hold")...), 429, "max_inflight", 3)
				}
				for i, h := range held {
					h.Release()
					streams[i].Response().wantBody(t, 200, "held")
				}
			},
		},
		{
			Name: "http2/streams at once are bounded", Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				if v, ok := s.Frames(t).Setting(http2.SettingMaxConcurrentStreams); !ok || v == 0 || v > 10000 {
					t.Errorf("SETTINGS_MAX_CONCURRENT_STREAMS is %d (sent: %v), which bounds nothing", v, ok)
				}
			},
		},
		{
			Name: "http2/a rapid reset flood is bounded", Over: http2Carriers, RunsOn: true,
			With: Settings{Flags: Flags{"max-inflight": "10"}},
			Run: func(t testing.TB, s *Stage) {
				s.Function.Hold("/hold")
				before := s.Weir.Memory(t, "VmRSS")
				f := s.Frames(t)
				lines := s.request("GET /hold")
				f.wmu.Lock()
				for range 10_000 {
					id := f.next
					f.next += 2
					err := f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.encode(lines), EndHeaders: true, EndStream: true})
					if err == nil {
						err = f.fr.WriteRSTStream(id, http2.ErrCodeCancel)
					}
					if err != nil {
						break // weir closed the connection, as it may
					}
				}
				f.wmu.Unlock()
				s.roundTrip(t, "GET /other")
				// Some of the flood may be unread yet when its slots are free for a moment.
				eventually(t, "requests let in again", func() (bool, string) {
					r := s.roundTrip(t, "GET /other")
					return r.Status == 200, fmt.Sprintf("status %d", r.Status)
				})
				eventually(t, "the flood's slots free", func() (bool, string) {
					v := s.Metric(t, "weir_inflight_requests")
					return v == 0, fmt.Sprintf("%v in flight", v)
				})
				s.Function.awaitIdle(t)
				// How much of the flood is garbage at once depends on how fast it is read.
				if grown := s.Weir.Memory(t, "VmHWM") - before; grown > 2*memoryBound && !s.Weir.Race {
					t.Errorf("weir grew by %d MiB", grown>>20)
				}
			},
		},
		{
			Name: "http2/a CONTINUATION flood is cut off", Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.roundTrip(t, "GET /").want(t, 200)
				before := s.Weir.Memory(t, "VmRSS")
				f := s.Frames(t)
				f.wmu.Lock()
				err := f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.encode(s.request("GET /flood")), EndStream: true})
				sent := 0
				for err == nil && sent < 64<<20 {
					block := f.encode([]string{"x-a: " + strings.Repeat("b", 16000)})
					err = f.fr.WriteContinuation(1, false, block)
					sent += len(block)
				}
				f.wmu.Unlock()
				if err == nil {
					t.Errorf("weir took %d MiB of CONTINUATION frames", sent>>20)
				}
				await(t, "weir closing the connection", f.closed)
				if n := len(s.Function.Seen()); n > 1 {
					t.Errorf("the function saw the flood")
				}
				s.roundTrip(t, "GET /").want(t, 200)
				if grown := s.Weir.Memory(t, "VmHWM") - before; grown > memoryBound && !s.Weir.Race {
					t.Errorf("weir grew by %d MiB", grown>>20)
				}
			},
		},
		{
			Name: "http2/floods of SETTINGS and PING do not harm others", Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				before := s.Weir.Memory(t, "VmRSS")
				f := s.Frames(t)
				f.wmu.Lock()
				f.conn.SetWriteDeadline(time.Now().Add(patience)) //nolint:errcheck // a deadline on an open connection
				for i := range 20_000 {
					err := f.fr.WritePing(false, [8]byte{byte(i)})
					if err == nil && i%2 == 0 {
						err = f.fr.WriteSettings()
					}
					if err != nil {
						break // weir closed the connection, as it may
					}
				}
				f.wmu.Unlock()
				s.roundTrip(t, "GET /").want(t, 200)
				if grown := s.Weir.Memory(t, "VmHWM") - before; grown > memoryBound && !s.Weir.Race {
					t.Errorf("weir grew by %d MiB", grown>>20)
				}
			},
		},
		{
			Name: "http2/both versions share the data port", Over: []Carrier{H2C, H2TLS},
			Run: func(t testing.TB, s *Stage) {
				s.roundTrip(t, "GET /2").want(t, 200)
				other := &Stage{Weir: s.Weir, Function: s.Function, certs: s.certs}
				other.Carrier = H1
				if s.Carrier.TLS {
					other.Carrier = H1TLS
				}
				other.roundTrip(t, "GET /1").want(t, 200)
				if seen := s.Function.Seen(); !slices.EqualFunc(seen, []string{"/2", "/1"}, func(s Seen, want string) bool { return s.Target == want }) {
					t.Errorf("the function saw %v", seen)
				}
			},
		},
	}
}
