package metrics

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCompressed(t *testing.T) {
	body := strings.Repeat("weir_requests_total 1\n", 5000) // more than one block
	good := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for part := range strings.SplitAfterSeq(body, "\n") {
			_, _ = io.WriteString(w, part)
		}
	})
	bad := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "a collector failed", http.StatusInternalServerError)
	})
	for _, c := range []struct {
		accept  string
		gzipped bool
	}{
		{"", false},
		{"gzip", true},
		{"zstd;q=1, GZIP ;q=0.5", true},
		{"gzip;q=0, identity", false},
		{"gzip;q=nonsense", false},
		{"*", true},
		{"*;q=0", false},
		{"*, gzip;q=0.000", false},
		{"identity", false},
		{"xgzip", false},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		if c.accept != "" {
			r.Header.Set("Accept-Encoding", c.accept)
		}
		w := httptest.NewRecorder()
		compressed(good).ServeHTTP(w, r)
		var in io.Reader = w.Body
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != c.gzipped {
			t.Errorf("Accept-Encoding %q: gzip is %v", c.accept, got)
			continue
		} else if got {
			if 10*w.Body.Len() > len(body) {
				t.Errorf("%d bytes of %d", w.Body.Len(), len(body))
			}
			var err error
			if in, err = gzip.NewReader(in); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != body {
			t.Errorf("Accept-Encoding %q: %d bytes, %v", c.accept, len(got), err)
		}

		w = httptest.NewRecorder()
		compressed(bad).ServeHTTP(w, r)
		if got := w.Body.String(); w.Code != 500 || got != "a collector failed\n" || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: an error is %d, %q, %v", c.accept, w.Code, got, w.Header())
		}
	}
}
