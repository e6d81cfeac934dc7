package limits_test

import (
	"context"
	"errors"
	"fmt"

	"weir/limits"
)

func ExampleGate() {
	gate, err := limits.NewGate(limits.Policy{MaxInflight: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	var first, second limits.Slot
	fmt.Println("first:", gate.Enter(context.Background(), &limits.Call{}, &first))

	var refused *limits.Throttle
	if err := gate.Enter(context.Background(), &limits.Call{}, &second); errors.As(err, &refused) {
		fmt.Println("second:", refused.Reason, "limit", refused.Limit)
	}
	first.Leave(limits.Succeeded)
	fmt.Println("in flight:", gate.Snapshot().Inflight)
	// Output:
	// first: <nil>
	// second: max_inflight limit 1
	// in flight: 0
}
