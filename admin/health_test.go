package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbes(t *testing.T) {
	why := ""
	h := (&Health{NotReady: func() string { return why }}).Handler(http.NotFoundHandler())
	for _, c := range []struct {
		method, path, why, body string
		status                  int
	}{
		{"GET", "/healthz", "", "ok", 200},
		{"GET", "/readyz", "", "ready", 200},
		{"GET", "/readyz", "draining", "draining", 503},
		{"GET", "/healthz", "draining", "ok", 200}, // alive all the same
		{"POST", "/readyz", "", "", 405},
		{"GET", "/", "", "", 404},
	} {
		why = c.why
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.body) {
			t.Errorf("%s %s with %q: %d %q, want %d %q", c.method, c.path, c.why, w.Code, w.Body, c.status, c.body)
		}
	}
}
