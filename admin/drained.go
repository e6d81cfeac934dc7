package admin

import (
	"net/http"
	"time"
)

// mostWaiters bounds what GET /wait-for-drain holds at once. A pod needs one for
// each container that has to outlive the drain; beyond that somebody plays.
const mostWaiters = 32

// WaitForDrain answers 200 once the drain is over, however it ended, and not
// before: whoever must not end before the last request asks it first. It begins
// nothing. The kubelet asks it as the function's preStop hook; that client knows
// no timeout but the pod's grace period.
//
// Beyond 32 at once the answer is 503.
func (h *Health) WaitForDrain(w http.ResponseWriter, r *http.Request) {
	if h.waiters.Add(1) > mostWaiters {
		h.waiters.Add(-1)
		text(w, http.StatusServiceUnavailable, "too many wait already")
		return
	}
	defer h.waiters.Add(-1)
	// The server's bounds are made for answers that come at once. An error says
	// that there are none to lift.
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
	select {
	case <-h.Drained:
		text(w, http.StatusOK, "drained")
	case <-r.Context().Done():
	}
}
