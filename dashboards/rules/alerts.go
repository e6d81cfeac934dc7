package rules

import (
	"fmt"
	"time"
)

// budget is the share of requests that may be refused, and that may fail, within a
// month.
const budget = 0.005

// where names a function in a text.
const where = `{{ $labels.function }}{{ with $labels.namespace }} in {{ . }}{{ end }}`

// share and seconds write the value of an alert.
const (
	share   = `{{ $value | humanizePercentage }}`
	seconds = `{{ $value | humanizeDuration }}`
)

func alerts() []group {
	return []group{throttling(), leases(), function(), async(), weir()}
}

// throttling is about too little capacity.
func throttling() group {
	const text = share + " of the requests to " + where
	rules := []any{
		newAlert("WeirThrottling", warning, 10*time.Minute,
			throttled("5m")+" > 0.01",
			where+" refuses requests",
			text+" were refused over five minutes for want of slots; more than 1 % for ten minutes."),
		newAlert("WeirThrottlingHigh", critical, 5*time.Minute,
			throttled("5m")+" > 0.1",
			where+" refuses many requests",
			text+" were refused over five minutes for want of slots; more than 10 % for five minutes."),
	}
	rules = append(rules, burn("WeirThrottlingBudgetBurn", throttled, "weir_throttles_total{"+forWantOfSlots+"}",
		"refuses too much for its budget", "were refused for want of slots")...)
	rules = append(rules,
		newAlert("WeirNearLimit", warning, 15*time.Minute,
			fmt.Sprintf("%s\n/\n(sum by (%s) (weir_inflight_limit) > 0)\n> 0.9", concurrency, by),
			where+" is near its limit",
			"The slots of "+where+" were in use for "+share+" on average over five minutes, for fifteen minutes. The next burst is refused."),
		newAlert("WeirWaitingTooLong", warning, 10*time.Minute,
			fmt.Sprintf("histogram_quantile(0.95, sum by (%s, le) (rate(weir_queue_wait_seconds_bucket[5m]))) > 1", by),
			"Requests to "+where+" wait too long for a slot",
			"Of the requests to "+where+" that had to wait, one in twenty waited more than "+seconds+", over five minutes, for ten minutes."),
	)
	return group{"weir.throttling", rules}
}

// burn is a pair of alerts on a budget for a month: one that pages where it would
// be gone in two days, one that waits until morning where in five. A window long
// enough to matter, and a short one so that it ends when its cause does (Site
// Reliability Workbook, chapter 5). And at least ten requests of counted, so that a
// single one of a function that is hardly called wakes nobody.
func burn(name string, ratio func(window string) string, counted, what, how string) []any {
	var rules []any
	for _, b := range []struct {
		severity, long, short string
		factor                float64
		hold                  time.Duration
	}{
		{critical, "1h", "5m", 14.4, 2 * time.Minute},
		{warning, "6h", "30m", 6, 15 * time.Minute},
	} {
		above := fmt.Sprintf("%.3f", b.factor*budget)
		a := newAlert(name, b.severity, b.hold,
			fmt.Sprintf("%s > %s\nand\n%s > %s\nand\nsum by (%s) (increase(%s[%s])) >= 10",
				ratio(b.long), above, ratio(b.short), above, by, counted, b.long),
			where+" "+what,
			fmt.Sprintf("%s of the requests to %s %s over %s, and it goes on: %g times what a budget of %g %% a month allows.",
				share, where, how, b.long, b.factor, 100*budget))
		a.Labels["window"] = b.long
		rules = append(rules, a)
	}
	return rules
}

// function is about the function, as weir sees it.
func function() group {
	rules := []any{
		newAlert("WeirUpstreamDown", warning, 2*time.Minute,
			"weir_upstream_up == 0",
			"weir does not reach "+where+" on {{ $labels.instance }}",
			"The probe of "+where+" on {{ $labels.instance }} has failed for two minutes; weir answers 502 there."),
		newAlert("WeirUpstreamDownEverywhere", critical, time.Minute,
			fmt.Sprintf("count by (%s) (weir_upstream_up == 0)\n==\ncount by (%s) (weir_upstream_up)", by, by),
			"No weir reaches "+where,
			"All instances of "+where+", {{ $value }}, are unreachable for their weir: nobody is served."),
	}
	rules = append(rules, burn("WeirUpstreamErrorsBurn", failed, `weir_requests_total{code_class="5xx"}`,
		"fails too much for its budget", "ended in a 5xx")...)
	return group{"weir.function", rules}
}

// weir is about the sidecar itself.
func weir() group {
	// The label function tells weir's own processes from others.
	return group{"weir.weir", []any{
		newAlert("WeirReloadFailed", warning, 5*time.Minute,
			"weir_config_last_reload_successful == 0",
			"A configuration of "+where+" was refused",
			`weir on {{ $labels.instance }} goes on with the configuration before, since the newer one has a mistake. It would not start with it. Its log names the line.`),
		newAlert("WeirRestarting", warning, 0,
			"changes(process_start_time_seconds{function!=\"\"}[15m]) > 2\nand on (job, instance)\nweir_build_info",
			"weir of "+where+" restarts again and again",
			"weir of "+where+" on {{ $labels.instance }} was started {{ $value }} times within fifteen minutes."),
		newAlert("WeirDown", warning, 5*time.Minute,
			"up == 0\nand on (job, instance)\nlast_over_time(weir_build_info[1h])",
			"weir on {{ $labels.instance }} is not scraped",
			"{{ $labels.instance }} of the job {{ $labels.job }} served weir's metrics within the last hour, and has not for five minutes."),
		newAlert("WeirAbsent", warning, 10*time.Minute,
			"absent(weir_build_info)",
			"No weir is scraped",
			"Prometheus has had no metrics of any weir for ten minutes: weir's other alerts are silent whatever happens."),
	}}
}
