package metrics

import "slices"

// Type is a metric's Prometheus type.
type Type string

const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Definition is one row of the catalogue: what dashboards, alerts and the
// documentation may rely on. Every series also carries the label function.
type Definition struct {
	Name   string
	Type   Type
	Labels []string // beside function
	Help   string
}

// Catalogue lists every metric of weir's own, in order of documentation. The Go
// runtime's and the process's standard metrics are exported beside them.
func Catalogue() []Definition { return slices.Clone(catalogue) }

const (
	nameRequests          = "weir_requests_total"
	nameThrottles         = "weir_throttles_total"
	nameDryRun            = "weir_throttles_dry_run_total"
	nameInflight          = "weir_inflight_requests"
	nameLimit             = "weir_inflight_limit"
	nameRunning           = "weir_running_instances"
	nameConcurrency       = "weir_concurrency_seconds_total"
	nameHighWater         = "weir_inflight_high_water"
	nameWaiting           = "weir_waiting_requests"
	nameLeaseSlots        = "weir_lease_slots"
	nameLeaseLimit        = "weir_lease_limit"
	nameLeaseMembers      = "weir_lease_members"
	nameLeaseStoreUp      = "weir_lease_store_up"
	nameRequestDuration   = "weir_request_duration_seconds"
	nameUpstreamDuration  = "weir_upstream_duration_seconds"
	nameQueueWait         = "weir_queue_wait_seconds"
	nameProxyOverhead     = "weir_proxy_overhead_seconds"
	nameUpstreamUp        = "weir_upstream_up"
	nameReloadSuccessful  = "weir_config_last_reload_successful"
	nameReloadSuccessTime = "weir_config_last_reload_success_timestamp_seconds"
	nameBuildInfo         = "weir_build_info"
	nameTraceSpans        = "weir_trace_spans_total"

	nameAsyncDepth        = "weir_async_depth"
	nameAsyncOldestAge    = "weir_async_oldest_age_seconds"
	nameAsyncRunning      = "weir_async_running"
	nameDeadLetters       = "weir_dead_letters"
	nameAsyncEnqueued     = "weir_async_enqueued_total"
	nameAsyncAttempts     = "weir_async_attempts_total"
	nameAsyncSucceeded    = "weir_async_succeeded_total"
	nameAsyncFailed       = "weir_async_failed_total"
	nameAsyncRetried      = "weir_async_retried_total"
	nameAsyncExpired      = "weir_async_expired_total"
	nameAsyncCancelled    = "weir_async_cancelled_total"
	nameAsyncDeadLettered = "weir_async_dead_lettered_total"
	nameQueueUp           = "weir_queue_up"
	nameCallbacks         = "weir_callbacks_total"
	nameCallbacksPending  = "weir_callbacks_pending"
)

var catalogue = []Definition{
	{nameRequests, Counter, []string{"mode", "code_class", "origin"}, "Requests that were admitted and ended, or that weir could not forward, by mode (sync, async), class of the status code and origin of the outcome: function, weir (could not reach it, timed out) or client (left early). Refused requests are not in it."},
	{nameThrottles, Counter, []string{"reason"}, "Requests that were refused, by reason."},
	{nameDryRun, Counter, []string{"reason"}, "Requests that a limit in dry run would have refused, by reason: max_inflight, rate, ramp, caller, function, account. They were let in, and count as all others do."},
	{nameInflight, Gauge, nil, "Requests running now."},
	{nameLimit, Gauge, nil, "Requests that may run at once; 0 means that there is no limit."},
	{nameRunning, Gauge, []string{"version"}, "Slots executing a request now, by version of the function."},
	{nameConcurrency, Counter, nil, "Exact integral of running requests over time; its rate is the mean concurrency of the interval, however short the requests."},
	{nameHighWater, Gauge, []string{"window"}, "Most requests running at once within the window before the scrape."},
	{nameWaiting, Gauge, nil, "Requests waiting for a slot now."},
	{nameRequestDuration, Histogram, nil, "Time from a complete request head to the last byte of the response, of admitted requests."},
	{nameUpstreamDuration, Histogram, nil, "Time from handing a request to the function to the end of its answer."},
	{nameQueueWait, Histogram, nil, "Time spent waiting for a slot, of requests that had to wait, admitted or refused in the end."},
	{nameProxyOverhead, Histogram, nil, "Time that weir itself added: the request's duration less waiting and the function's."},
	{nameLeaseSlots, Gauge, []string{"scope"}, "Slots that this sidecar holds of a limit that it shares, by scope: function, account. What all hold adds up to no more than the limit. With such a limit only, as all of weir_lease_*."},
	{nameLeaseLimit, Gauge, []string{"scope"}, "The shared limit in force: the lowest that one of those who share it is configured with."},
	{nameLeaseMembers, Gauge, []string{"scope"}, "Sidecars that share the limit, as this one last knew."},
	{nameLeaseStoreUp, Gauge, []string{"scope"}, "Whether the NATS server that keeps the leases of the limit can be reached: 1 or 0."},
	{nameUpstreamUp, Gauge, nil, "Whether the last probe reached the function: 1 or 0."},
	{nameReloadSuccessful, Gauge, nil, "Whether the last load of the configuration succeeded: 1 or 0."},
	{nameReloadSuccessTime, Gauge, nil, "When the configuration in force was loaded, in seconds since the epoch."},
	{nameBuildInfo, Gauge, []string{"version", "goversion"}, "Constant 1, labelled with the build."},
	{nameTraceSpans, Counter, []string{"result"}, "Spans of requests that are recorded, by what became of them: exported, dropped (the queue to the receiver was full) or failed (the receiver did not take them). With tracing.endpoint only."},

	{nameAsyncDepth, Gauge, nil, "Asynchronous calls that wait: for their turn, their time or their next attempt. Of all that share the queue. With --async only, as all of weir_async_*, weir_dead_letters and weir_queue_up."},
	{nameAsyncOldestAge, Gauge, nil, "Age of the oldest asynchronous call that is due and waits; 0 where none does."},
	{nameAsyncRunning, Gauge, nil, "Attempts at asynchronous calls under way in this process."},
	{nameDeadLetters, Gauge, nil, "Dead letters: calls that failed or expired, and are kept."},
	{nameAsyncEnqueued, Counter, nil, "Asynchronous calls accepted: on disk, and answered with 202."},
	{nameAsyncAttempts, Counter, nil, "Attempts at asynchronous calls that ended."},
	{nameAsyncSucceeded, Counter, nil, "Asynchronous calls that ended with an answer of the function."},
	{nameAsyncFailed, Counter, nil, "Asynchronous calls that ended without an attempt left, or with an answer that allows no other."},
	{nameAsyncRetried, Counter, nil, "Attempts at asynchronous calls that failed and are followed by another."},
	{nameAsyncExpired, Counter, nil, "Asynchronous calls that became too old."},
	{nameAsyncCancelled, Counter, nil, "Asynchronous calls that were taken back."},
	{nameAsyncDeadLettered, Counter, nil, "Asynchronous calls that were put among the dead letters."},
	{nameCallbacks, Counter, []string{"result"}, "Attempts to tell receivers of asynchronous calls that ended, callbacks and destinations, by what came of them: delivered, retried (failed, another follows), gone (the receiver answered 410 and is not told) or failed (given up)."},
	{nameCallbacksPending, Gauge, nil, "Receivers that are still to be told of calls that ended. Of all that share the queue."},
	{nameQueueUp, Gauge, nil, "Whether the queue takes asynchronous calls: 1 or 0."},
}

// definition returns the catalogue's row; a name that is not in it is a
// programming error.
func definition(name string) Definition {
	i := slices.IndexFunc(catalogue, func(d Definition) bool { return d.Name == name })
	if i < 0 {
		panic("metrics: " + name + " is not in the catalogue")
	}
	return catalogue[i]
}
