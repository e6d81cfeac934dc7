package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A response that is cut short upstream is aborted downstream, in a way that no
// client can take for its end.

// cutShort asserts a body that began and did not end in order.
func cutShort(t testing.TB, resp *Response, begins string) {
	t.Helper()
	if resp.Status != 200 {
		t.Fatalf("status %d, want the function's 200 that had begun; body %.200q", resp.Status, resp.Body)
	}
	if resp.BodyErr == nil {
		t.Errorf("the body seems complete with %.200q", resp.Body)
	}
	if !strings.HasPrefix(begins, string(resp.Body)) {
		t.Errorf("the body %.200q holds what the function has not sent (%q)", resp.Body, begins)
	}
}

// cutAtOnce asks for a response that is cut short so soon that weir may have
// begun none: then it is aborted with nothing at all, or 502.
func cutAtOnce(t testing.TB, s *Stage, path, begins string) {
	t.Helper()
	resp, err := s.tryRoundTrip(t, "GET "+path)
	if err != nil {
		return
	}
	if resp.Status == http.StatusBadGateway {
		wantMade(t, resp, http.StatusBadGateway)
		return
	}
	cutShort(t, resp, begins)
}

func truncationCases() []Case {
	cut := func(name, raw, begins string) Case {
		return Case{
			Name: "truncation/" + name, Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.AnswerAndClose(raw)
				cutAtOnce(t, s, "/", begins)
			},
		}
	}
	cases := []Case{
		cut("a body shorter than its content-length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "hello"),
		cut("a chunked body without its last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"),
		cut("a chunk shorter than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello", "hello"),
		cut("a last chunk without its empty line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello"),
		cut("a malformed chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "hello"),
		cut("a trailer section cut short", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b", "hello"),
	}
	return append(cases, forBehind([]Behind{FunctionHTTP, FunctionH2C}, []Case{
		{
			Name: "truncation/a panic of the function in the middle of a body",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/cut", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "hello") //nolint:errcheck // seen by the case
					flush(w)
					panic(http.ErrAbortHandler)
				})
				cutAtOnce(t, s, "/cut", "hello")
			},
		},
		{
			Name: "truncation/a large body cut in the middle",
			Run: func(t testing.TB, s *Stage) {
				whole := strings.Repeat("0123456789abcdef", 64<<10)
				s.Function.Handle("/cut", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "2097152")
					io.WriteString(w, whole) //nolint:errcheck // seen by the case
					flush(w)
					panic(http.ErrAbortHandler)
				})
				resp := s.roundTrip(t, "GET /cut")
				cutShort(t, resp, whole)
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "truncation/after the head was seen by the client",
			Run: func(t testing.TB, s *Stage) {
				cut := make(chan struct{})
				s.Function.Handle("/cut", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "hello") //nolint:errcheck // seen by the case
					flush(w)
					s.Function.wait(cut)
					panic(http.ErrAbortHandler)
				})
				resp := s.Open(t, "GET /cut", nil)
				readSome(t, resp.Body, 5)
				close(cut)
				if rest, err := readRest(t, resp.Body); err == nil || rest != "" {
					t.Errorf("the body ended in order, after %q more", rest)
				}
			},
		},
		{
			Name: "truncation/a panic of the function before the response is 502",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
				wantMade(t, s.Do(t, "POST /cut", "x"), http.StatusBadGateway)
			},
		},
		{
			Name: "truncation/the client's half of a cut upload is no complete body",
			Run: func(t testing.TB, s *Stage) {
				got := make(chan error, 1)
				s.Function.Handle("/up", func(_ http.ResponseWriter, r *http.Request) {
					_, err := readAllLen(r.Body)
					got <- err
					panic(http.ErrAbortHandler)
				})
				abortUpload(t, s, "/up", "hello")
				if err := await(t, "the function's read ending", got); err == nil {
					t.Errorf("the function was given a cut upload as a complete body")
				}
			},
		},
	})...)
}
