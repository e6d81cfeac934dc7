package conformance

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Bodies flow as they come, in both directions, and weir holds none of them.

const (
	largeBody   = 64 << 20
	memoryBound = 32 << 20 // how much weir may grow while a large body passes
)

// noise is a reader of n reproducible bytes that no compression helps with.
func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{7}), n)
}

func noiseSum(n int64) string {
	sum := sha256.New()
	io.Copy(sum, noise(n)) //nolint:errcheck // neither side fails
	return hex.EncodeToString(sum.Sum(nil))
}

// largeFor is a body's size far above what weir may hold. Under the race detector
// memory is not asserted, and every byte dear.
func largeFor(s *Stage) int64 {
	if s.Weir.Race {
		return largeBody / 8
	}
	return largeBody
}

// bounded asserts how far weir's memory grew while play ran.
func bounded(t testing.TB, s *Stage, play func()) {
	t.Helper()
	s.Do(t, "POST /", strings.NewReader(strings.Repeat("warm", 64<<10))).want(t, 200)
	before := s.Weir.Memory(t, "VmRSS")
	play()
	if grown := s.Weir.Memory(t, "VmHWM") - before; grown > memoryBound && !s.Weir.Race {
		t.Errorf("weir grew by %d MiB, above %d MiB, while the body passed", grown>>20, memoryBound>>20)
	}
}

func streamCases() []Case {
	both := []Behind{FunctionHTTP, FunctionH2C}
	return slices.Concat(forBehind(both, []Case{
		{
			Name: "streams/each server-sent event as it is sent",
			Run: func(t testing.TB, s *Stage) {
				eventByEvent(t, s, "text/event-stream", "data: %d\n\n")
			},
		},
		{
			Name: "streams/each part of a body of unknown length as it is sent",
			Run: func(t testing.TB, s *Stage) {
				eventByEvent(t, s, "application/octet-stream", "%d")
			},
		},
		{
			Name: "streams/the head before there is any body",
			Run: func(t testing.TB, s *Stage) {
				more := make(chan struct{})
				s.Function.Handle("/head", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Early", "yes")
					flush(w)
					s.Function.wait(more)
					io.WriteString(w, "body") //nolint:errcheck // seen by the case
				})
				resp := s.Open(t, "GET /head", nil)
				if resp.Header.Get("X-Early") != "yes" {
					t.Errorf("head %v", resp.Header)
				}
				close(more)
				if body, err := readRest(t, resp.Body); body != "body" || err != nil {
					t.Errorf("body %q, %v", body, err)
				}
			},
		},
		{
			Name: "streams/each part of an upload as it is sent",
			Run: func(t testing.TB, s *Stage) {
				parts := make(chan string)
				s.Function.Handle("/up", func(w http.ResponseWriter, r *http.Request) {
					buf := make([]byte, 1)
					for {
						if _, err := io.ReadFull(r.Body, buf); err != nil {
							close(parts)
							return
						}
						parts <- string(buf)
					}
				})
				pr, pw := io.Pipe()
				call := s.Go(t, "POST /up", pr)
				for _, part := range []string{"a", "b", "c"} {
					go io.WriteString(pw, part) //nolint:errcheck // the pipe is read or closed by the client
					if got := await(t, "a part reaching the function", parts); got != part {
						t.Fatalf("the function got %q, want %q", got, part)
					}
				}
				pw.Close()
				call.Response(t).want(t, 200)
			},
		},
		{
			Name: "streams/a large upload in bounded memory", Alone: true,
			Run: func(t testing.TB, s *Stage) {
				large := largeFor(s)
				bounded(t, s, func() {
					seen := s.Do(t, "POST /echo", noise(large)).echoed(t)
					if seen.Length != large || seen.SHA256 != noiseSum(large) || seen.Error != "" {
						t.Errorf("the function got %d of %d bytes, sum %s, %s", seen.Length, large, seen.SHA256, seen.Error)
					}
				})
			},
		},
		{
			Name: "streams/a large download in bounded memory", Alone: true,
			Run: func(t testing.TB, s *Stage) {
				large := largeFor(s)
				s.Function.Handle("/down", func(w http.ResponseWriter, _ *http.Request) {
					io.Copy(w, noise(large)) //nolint:errcheck // seen by the case
				})
				bounded(t, s, func() {
					resp := s.Open(t, "GET /down", nil)
					sum := sha256.New()
					n, err := io.Copy(sum, resp.Body)
					if n != large || err != nil || hex.EncodeToString(sum.Sum(nil)) != noiseSum(large) {
						t.Errorf("the client got %d of %d bytes, %v", n, large, err)
					}
				})
			},
		},
		{
			Name: "streams/a download that nobody reads stops the function", Alone: true,
			Over: []Carrier{H1, H2C},
			Run: func(t testing.TB, s *Stage) {
				sent := make(chan int64, 1)
				s.Function.Handle("/down", func(w http.ResponseWriter, _ *http.Request) {
					n, _ := io.Copy(w, noise(4*largeBody))
					sent <- n
				})
				bounded(t, s, func() {
					resp, leave := s.OpenCancel(t, "GET /down", nil)
					readSome(t, resp.Body, 1<<20)
					leave()
					if n := await(t, "the function being stopped", sent); n == 4*largeBody {
						t.Errorf("weir took all %d bytes from the function, though nobody read them", n)
					}
				})
			},
		},
	}), duplexCases())
}

// eventByEvent lets the function send a part only once the client has got the
// one before.
func eventByEvent(t testing.TB, s *Stage, contentType, format string) {
	t.Helper()
	next := make(chan struct{})
	s.Function.Handle("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := range 5 {
			fmt.Fprintf(w, format, i)
			flush(w)
			s.Function.wait(next)
		}
	})
	resp := s.Open(t, "GET /events", nil)
	for i := range 5 {
		want := fmt.Sprintf(format, i)
		if got := readSome(t, resp.Body, len(want)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		offer(t, "the function going on", next, struct{}{})
	}
	if rest, err := readRest(t, resp.Body); rest != "" || err != nil {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
}

// echoLines answers each line of the request body as it comes.
func echoLines(w http.ResponseWriter, r *http.Request) {
	fullDuplex(w, r)
	flush(w)
	lines := bufio.NewReader(r.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			io.WriteString(w, "end of request\n") //nolint:errcheck // seen by the case
			return
		}
		io.WriteString(w, "echo "+line) //nolint:errcheck // seen by the case
		flush(w)
	}
}

// fullDuplex lets a handler answer before it has read the request.
func fullDuplex(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor > 1 {
		return // HTTP/2 always can
	}
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// cutOff ends a response in the middle at once, also where a panic would first
// read what is left of the request's body.
func cutOff(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// duplexCases are about bodies that flow in both directions at once.
func duplexCases() []Case {
	both := []Behind{FunctionHTTP, FunctionH2C}
	duplex := Settings{Routes: []Route{{Path: "/duplex", FullDuplex: true}}}
	return slices.Concat(forBehind(both, []Case{
		{
			Name: "duplex/HTTP/2: request and response flow at the same time",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/lines", echoLines)
				st := s.Frames(t).Open(false, s.request("POST /lines")...)
				st.Began()
				want := ""
				for i := range 5 {
					st.Data(fmt.Sprintf("line %d\n", i), false)
					want += fmt.Sprintf("echo line %d\n", i)
					st.AwaitData(want)
				}
				st.Data("", true)
				st.Response().wantBody(t, 200, want+"end of request\n")
			},
		},
		{
			Name: "duplex/HTTP/1.1: they do where the route says so",
			Over: http1Carriers, With: duplex,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/duplex", echoLines)
				c := s.Dial(t)
				c.Send("POST /duplex HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
				if head := c.Head(); head.Status != 200 {
					t.Fatalf("status %d", head.Status)
				}
				for i := range 5 {
					c.Send(chunk(fmt.Sprintf("line %d\n", i)))
					if got, want := c.Chunk(), fmt.Sprintf("echo line %d\n", i); got != want {
						t.Fatalf("got %q, want %q", got, want)
					}
				}
				c.Send("0\r\n\r\n")
				body, _, err := readChunked(c.r)
				if string(body) != "end of request\n" || err != nil {
					t.Errorf("after the request's end: %q, %v", body, err)
				}
			},
		},
		{
			Name: "duplex/HTTP/1.1: the connection is kept after it",
			Over: http1Carriers, With: duplex,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/duplex", echoLines)
				c := s.Dial(t)
				for range 3 {
					c.Exchange("POST /duplex HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+chunked([]string{"a\n"})).
						wantBody(t, 200, "echo a\nend of request\n")
				}
			},
		},
		{
			Name: "duplex/a response that ends before the request: nothing hangs",
			With: duplex,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/duplex", func(w http.ResponseWriter, r *http.Request) {
					fullDuplex(w, r)
					io.WriteString(w, "enough") //nolint:errcheck // seen by the case
				})
				pr, pw := io.Pipe()
				defer pw.Close()
				resp := s.Open(t, "POST /duplex", pr)
				if body, err := readRest(t, resp.Body); resp.StatusCode != 200 || body != "enough" || err != nil {
					t.Errorf("status %d, body %q, %v", resp.StatusCode, body, err)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "duplex/a response to an upload that is never read reaches the client",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/full", func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(413)
					io.WriteString(w, "too much") //nolint:errcheck // seen by the case
				})
				if s.Carrier.H2 {
					st := s.Frames(t).Open(false, s.request("POST /full", "content-length: 10000000")...)
					st.Data(strings.Repeat("x", 16<<10), false)
					resp, err := st.TryResponse()
					if err != nil || resp.Status != 413 || string(resp.Body) != "too much" {
						t.Errorf("got %+v, %v", resp, err)
					}
				} else {
					c := s.Dial(t)
					c.Send("POST /full HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 16<<10))
					c.Response("POST").wantBody(t, 413, "too much")
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "duplex/an answer that begins before the request's body has come is whole, and so is the body",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/early", func(w http.ResponseWriter, r *http.Request) {
					fullDuplex(w, r)
					io.WriteString(w, "begun ") //nolint:errcheck // seen by the case
					flush(w)
					body, err := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%s, %v", body, err)
				})
				c := s.Dial(t)
				c.Send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nre")
				head := c.Head()
				if got := c.Chunk(); head.Status != 200 || got != "begun " {
					t.Errorf("status %d, chunk %q before the body was whole", head.Status, got)
				}
				c.Send("st of it")
				if got, want := c.Chunk(), "rest of it, <nil>"; got != want {
					t.Errorf("chunk %q, want %q", got, want)
				}
			},
		},
		{
			Name: "duplex/a client that leaves in the middle is felt on both sides",
			Run: func(t testing.TB, s *Stage) {
				ended := make(chan error, 1)
				s.Function.Handle("/duplex", func(_ http.ResponseWriter, r *http.Request) {
					_, err := readAllLen(r.Body)
					ended <- err
				})
				abortUpload(t, s, "/duplex", "part")
				if err := await(t, "the function's read ending", ended); err == nil {
					t.Errorf("the request's body seemed complete to the function")
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
			With: duplex,
		},
		{
			Name: "duplex/a function that leaves in the middle is felt by the client",
			With: duplex,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/duplex", func(w http.ResponseWriter, r *http.Request) {
					fullDuplex(w, r)
					flush(w)
					io.ReadFull(r.Body, make([]byte, 4)) //nolint:errcheck // seen by the case
					cutOff(w, r)
				})
				if s.Carrier.H2 {
					st := s.Frames(t).Open(false, s.request("POST /duplex")...)
					st.Began()
					st.Data("part", false)
					if resp, err := st.TryResponse(); err == nil && resp.BodyErr == nil {
						t.Errorf("the response seems complete")
					}
				} else {
					c := s.Dial(t)
					c.Send("POST /duplex HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
					if head := c.Head(); head.Status != 200 {
						t.Fatalf("status %d", head.Status)
					}
					c.Send(chunk("part"))
					if rest := c.AwaitClose(); strings.Contains(rest, "0\r\n\r\n") {
						t.Errorf("the response seems complete: %q", rest)
					}
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
	}))
}
