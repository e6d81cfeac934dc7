package rules

import "time"

// leases is about limits that instances share.
func leases() group {
	return group{"weir.leases", []any{
		newAlert("WeirLeasesUnreachable", warning, 2*time.Minute,
			"weir_lease_store_up == 0",
			"{{ $labels.instance }} of "+where+" cannot settle the limit that its {{ $labels.scope }} shares",
			"weir of "+where+" on {{ $labels.instance }} has not reached the NATS server that keeps the leases of its {{ $labels.scope }}'s limit for two minutes. It goes by limits.on_outage: what runs may be less or more than the limit."),
	}}
}
