// Package admin answers those who operate a sidecar: whether it lives, whether
// it should get traffic.
package admin

import (
	"net/http"
	"sync/atomic"
)

// Health answers liveness and readiness probes.
type Health struct {
	// NotReady returns why the sidecar should get no traffic, "" if it should.
	NotReady func() string
	// Drained is closed once a drain is over. Nil never is.
	Drained <-chan struct{}

	waiters atomic.Int32
}

// Live always answers 200: a sidecar that can answer lives. Neither overload
// nor a function that is down is a reason to restart it.
func (h *Health) Live(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }

// Ready answers 200, or 503 with the reason.
func (h *Health) Ready(w http.ResponseWriter, _ *http.Request) {
	if why := h.NotReady(); why != "" {
		text(w, http.StatusServiceUnavailable, why)
		return
	}
	text(w, http.StatusOK, "ready")
}

func text(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(line + "\n")) // a prober that left cannot be told
}

// Handler serves what may be public: nothing secret, nothing that changes
// anything.
func (h *Health) Handler(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", h.Live)
	mux.HandleFunc("GET /readyz", h.Ready)
	mux.HandleFunc("GET /wait-for-drain", h.WaitForDrain)
	return mux
}
