package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"weir/admin/api"
)

// A script that gives a function room while a batch runs, and takes it back.
func ExampleClient() {
	sidecar := httptest.NewServer(http.HandlerFunc(standIn)) // a weir's --admin-listen
	defer sidecar.Close()

	c, err := api.NewClient(api.ClientOptions{Address: sidecar.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	limits, err := c.ChangeLimits(context.Background(), api.LimitsChange{"max_inflight": 50})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("now", limits.InForce["max_inflight"], "configured", limits.Configured["max_inflight"])
	_, err = c.ChangeLimits(context.Background(), api.LimitsChange{"max_inflight": "many"})
	fmt.Println(err)
	// Output:
	// now 50 configured 10
	// max_inflight: "many" is not a number, "auto" or 0
}

// standIn answers as a sidecar would.
func standIn(w http.ResponseWriter, r *http.Request) {
	var change api.LimitsChange
	if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
		api.WriteProblem(r.Context(), err, w)
		return
	}
	if text, ok := change["max_inflight"].(string); ok {
		api.WriteProblem(r.Context(), &api.InvalidError{Fields: []api.FieldError{
			{Pointer: "/max_inflight", Detail: fmt.Sprintf("%q is not a number, \"auto\" or 0", text)},
		}}, w)
		return
	}
	_ = json.NewEncoder(w).Encode(api.Limits{InForce: change, Configured: map[string]any{"max_inflight": 10}})
}
