package conformance

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Trailers pass in both directions, announced or not (RFC 9110 section 6.5).

// postTrailers posts "hello" with trailer lines over whichever carrier.
func (s *Stage) postTrailers(t testing.TB, fields []string, trailers ...string) *Response {
	t.Helper()
	if s.Carrier.H2 {
		f := s.Frames(t)
		lines := s.request("POST /echo")
		for _, field := range fields {
			name, value, _ := strings.Cut(field, ": ")
			lines = append(lines, strings.ToLower(name)+": "+value)
		}
		st := f.Open(false, lines...)
		st.Data("hello", false)
		for i, line := range trailers {
			name, value, _ := strings.Cut(line, ": ")
			trailers[i] = strings.ToLower(name) + ": " + value
		}
		st.Trailers(trailers...)
		return st.Response()
	}
	return s.Dial(t).Exchange("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + joinLines(fields) + "\r\n" +
		chunked([]string{"hello"}, trailers...))
}

func trailerCases() []Case {
	both := []Behind{FunctionHTTP, FunctionH2C}
	return slices.Concat(forBehind(both, []Case{
		{
			Name: "trailers/announced ones of a request",
			Run: func(t testing.TB, s *Stage) {
				seen := s.postTrailers(t, []string{"Trailer: X-Sum, X-More"}, "X-Sum: 1", "X-More: 2").echoed(t)
				if seen.Trailer.Get("X-Sum") != "1" || seen.Trailer.Get("X-More") != "2" || seen.Body != "hello" {
					t.Errorf("the function got body %q, trailers %v", seen.Body, seen.Trailer)
				}
			},
		},
		{
			Name: "trailers/announced ones of a response",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/t", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Trailer", "X-Sum, X-More")
					io.WriteString(w, "body") //nolint:errcheck // seen by the case
					w.Header().Set("X-Sum", "1")
					w.Header().Set("X-More", "2")
				})
				resp := s.roundTrip(t, "GET /t", "TE: trailers").wantBody(t, 200, "body")
				if resp.Trailer.Get("X-Sum") != "1" || resp.Trailer.Get("X-More") != "2" {
					t.Errorf("trailers %v", resp.Trailer)
				}
				if v := resp.Get("X-Sum"); v != "" {
					t.Errorf("a trailer came as a field of the head as well")
				}
			},
		},
		{
			Name: "trailers/unannounced ones of a response",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/t", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "body") //nolint:errcheck // seen by the case
					flush(w)
					w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
				})
				resp := s.roundTrip(t, "GET /t", "TE: trailers").wantBody(t, 200, "body")
				if resp.Trailer.Get("X-Sum") != "1" {
					t.Errorf("trailers %v", resp.Trailer)
				}
			},
		},
		{
			Name: "trailers/those of a response without a body",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/t", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Trailer", "X-Sum")
					w.WriteHeader(200)
					flush(w)
					w.Header().Set("X-Sum", "1")
				})
				resp := s.roundTrip(t, "GET /t", "TE: trailers").wantBody(t, 200, "")
				if resp.Trailer.Get("X-Sum") != "1" {
					t.Errorf("trailers %v", resp.Trailer)
				}
			},
		},
	}), []Case{
		{
			Name: "trailers/unannounced ones of a request",
			Run: func(t testing.TB, s *Stage) {
				seen := s.postTrailers(t, nil, "X-Sum: 1").echoed(t)
				if seen.Trailer.Get("X-Sum") != "1" || seen.Body != "hello" {
					t.Errorf("the function got body %q, trailers %v", seen.Body, seen.Trailer)
				}
			},
		},
		{
			// RFC 9110 6.5.1: such fields have no place in a trailer section, and
			// a function that merges trailers into the head would believe them.
			Name: "trailers/no framing, routing or identity fields",
			Run: func(t testing.TB, s *Stage) {
				for _, line := range []string{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "Host: spoofed", "Content-Length: 99"} {
					resp := s.postTrailers(t, nil, line, "X-Sum: 1")
					if resp.Status == http.StatusBadRequest {
						continue
					}
					seen := resp.echoed(t)
					name, _, _ := strings.Cut(line, ":")
					if v, ok := seen.Trailer[http.CanonicalHeaderKey(name)]; ok {
						t.Errorf("the function got %s: %q as a trailer", name, v)
					}
					unspoofed(t, seen)
				}
			},
		},
	})
}
