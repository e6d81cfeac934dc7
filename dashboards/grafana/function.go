package grafana

// function shows one function: rate, errors and duration; how its concurrency
// stands to its limit; what is refused and why; where the time goes.
func function() sheet {
	s := one
	return sheet{
		uid:         FunctionUID,
		title:       "weir / function",
		description: "One function behind weir: rate, errors, duration; concurrency and limit; refusals; where the time goes.",
		variables:   s.variables(),
		annotations: s.annotations(),
		rows: []row{
			{"Now", functionNow(s)},
			{"Rate, errors, duration", functionRED(s)},
			{"Concurrency", functionConcurrency(s)},
			{"Refusals and waiting", functionRefusals(s)},
			{"Where the time goes", functionTime(s)},
			{"The function, as weir sees it", functionUpstream(s)},
			{"The weir itself", functionRuntime(s)},
		},
	}
}

func functionNow(s selection) []panel {
	return []panel{
		newNumber("Requests", "Requests that ran, a second; those refused are not among them.",
			unitRequests, query("A", sum("", s.rate("weir_requests_total", "")), "requests"), plain()),
		newNumber("Failed", "Share of requests that ended in a 5xx. See below who made them: the function, or weir that could not reach it.",
			unitShare, query("A", orZero(s.failed("", "")), "failed"), warnAt(0.005, 0.05)),
		newNumber("p95 duration", "95 % of admitted requests took less, waiting included. See below whether it is the function or the line.",
			unitSeconds, query("A", s.quantile(0.95, "weir_request_duration_seconds", ""), "p95"), plain()),
		newNumber("Refused", "Share of all requests that were refused. Above 1 %: raise the limit if the function has headroom, add instances if not (runbook: WeirThrottling).",
			unitShare, query("A", orZero(s.refused("")), "refused"), warnAt(0.01, 0.1)),
		newNumber("Slots in use", "Running requests as a share of the limit, over all instances. Near 100 % the next burst is refused.",
			unitShare, query("A", share(sum("", s.gauge("weir_inflight_requests", "")), sum("", s.gauge("weir_inflight_limit", ""))), "in use"), warnAt(0.8, 0.95)),
		newNumber("Waiting", "Requests in line for a slot now. Only with overflow wait.",
			unitCount, query("A", sum("", s.gauge("weir_waiting_requests", "")), "waiting"), plain()),
		newNumber("Instances", "Instances of the function, one weir each.",
			unitCount, query("A", "count("+s.gauge("weir_inflight_limit", "")+")", "instances"), plain()),
		newNumber("Unreachable", "Instances whose weir does not reach the function. Above 0: its own log says why it does not answer (runbook: WeirUpstreamDown).",
			unitCount, query("A", "sum(1 - "+s.gauge("weir_upstream_up", "")+")", "unreachable"), zeroIsGood()),
	}
}

func functionRED(s selection) []panel {
	return []panel{
		newGraph("Requests, by outcome",
			"Requests a second by class of status and by who made the outcome: the function, weir (no answer to be had) or the client (left early). Many clients that leave early: it is too slow for them.",
			unitRequests, query("A", sum("code_class, origin", s.rate("weir_requests_total", ""))+" > 0", "{{code_class}} {{origin}}")).stacked(),
		newGraph("Failed, by who failed",
			"Share of requests that ended in a 5xx. By the function: its own log. By weir: it could not connect, the connection broke, or a timeout passed; weir's log has each with its reason.",
			unitShare, query("A", sum("origin", s.rate("weir_requests_total", `code_class="5xx"`))+" / on () group_left () ("+sum("", s.rate("weir_requests_total", ""))+" > 0)", "{{origin}}")).
			limits(warnAt(0.005, 0.05)),
		newGraph("Duration",
			"Of admitted requests, from the complete head to the last byte, waiting included. p99 far above p50: see below whether requests wait, or the function is slow for some.",
			unitSeconds, withExemplars(queries(
				[2]string{s.quantile(0.5, "weir_request_duration_seconds", ""), "p50"},
				[2]string{s.quantile(0.95, "weir_request_duration_seconds", ""), "p95"},
				[2]string{s.quantile(0.99, "weir_request_duration_seconds", ""), "p99"}))...),
	}
}

func functionConcurrency(s selection) []panel {
	exact := sum("", s.rate("weir_concurrency_seconds_total", ""))
	little := sum("", s.rate("weir_upstream_duration_seconds_sum", "")) + " + " + sum("", s.rate("weir_proxy_overhead_seconds_sum", ""))
	return []panel{
		newGraph("Limit, running, high water, waiting",
			"Over all instances. Running is sampled at each scrape and misses what lies between; the high water is the most within the minute before (of several instances the sum, which is more than was at once). High water at the limit: bursts are refused or wait. No limit line: it only meters.",
			unitCount, queries(
				[2]string{sum("", s.gauge("weir_inflight_limit", "")) + " > 0", "limit"},
				[2]string{sum("", s.gauge("weir_inflight_requests", "")), "running"},
				[2]string{sum("", s.gauge("weir_inflight_high_water", `window="1m"`)), "high water, 1 m"},
				[2]string{sum("", s.gauge("weir_waiting_requests", "")), "waiting"})...).
			colour("limit", "red", true).colour("running", "green", false).
			colour("high water, 1 m", "orange", false).colour("waiting", "blue", false).wide(12),
		newGraph("Mean concurrency: exact, and rate times duration",
			"Exact is the integral of what ran, whatever the scrape interval: plan capacity and limits by it. Rate times duration is the estimate of Little's law, which counts a request when it ends. A difference that comes and goes is long requests; one that stays means that requests do not end.",
			unitCount, queries(
				[2]string{exact, "exact"},
				[2]string{little, "rate times duration"},
				[2]string{exact + " - (" + little + ")", "difference"})...).
			colour("exact", "green", false).colour("rate times duration", "blue", true).
			colour("difference", "purple", false).wide(12),
		newGraph("Saturation, by instance",
			"Exact mean concurrency of each instance as a share of its limit. One far from the others: the load balancer does not spread evenly, or that instance is slow.",
			unitShare, query("A", s.rate("weir_concurrency_seconds_total", "")+" / ("+s.gauge("weir_inflight_limit", "")+" > 0)", "{{instance}}")).limits(warnAt(0.8, 0.95)),
		newGraph("High water, by instance",
			"Most requests at once within the minute before each scrape, as a share of the limit. At 100 % it has refused or made wait, even if the mean is low: bursts.",
			unitShare, query("A", s.gauge("weir_inflight_high_water", `window="1m"`)+" / on (job, instance) ("+s.gauge("weir_inflight_limit", "")+" > 0)", "{{instance}}")).limits(warnAt(0.9, 1)).upTo(1),
		newGraph("Running, by version",
			"Slots that execute a request now, by version of the function. In a rollout the new version takes over; one that takes more than its share is slower.",
			unitCount, query("A", sum("version", `label_replace(`+s.gauge("weir_running_instances", "")+`, "version", "(none)", "version", "")`), "{{version}}")).stacked(),
	}
}

func functionRefusals(s selection) []panel {
	return []panel{
		newGraph("Refused, by reason",
			byReason,
			unitRequests, query("A", sum("reason", s.rate("weir_throttles_total", "")), "{{reason}}")).stacked().wide(12),
		newGraph("Would be refused, by reason",
			"Requests a second that limits in dry run (enforce: false) would have refused, and let in. Where it is what you want, enforce them.",
			unitRequests, query("A", sum("reason", s.rate("weir_throttles_dry_run_total", "")), "{{reason}}")).stacked().wide(12),
		newGraph("Refused, by instance",
			"Share of each instance's requests that it refused. One that refuses while others have slots free: balance by least requests, or let callers try again elsewhere.",
			unitShare, query("A", s.refused("instance"), "{{instance}}")).limits(warnAt(0.01, 0.1)).wide(12),
		newGraph("Shared limits: held, and the limit",
			"Slots that all instances hold of a limit that they share (limits.function_max_inflight, limits.account_max_inflight), and the limit. Held near the limit: it is used up. Nothing: none is shared.",
			unitCount, queries(
				[2]string{sum("scope", s.gauge("weir_lease_slots", "")), "{{scope}} held"},
				[2]string{"max by (scope) (" + s.gauge("weir_lease_limit", "") + ")", "{{scope}} limit"})...).wide(12),
		newGraph("Shared limits: members, and those that reach NATS",
			"Instances that share a limit, as the one knows that counts most, and how many reach the server that keeps their leases. Those that do not go by limits.on_outage once their lease has ended (runbook: WeirLeasesUnreachable).",
			unitCount, queries(
				[2]string{"max by (scope) (" + s.gauge("weir_lease_members", "") + ")", "{{scope}} members"},
				[2]string{sum("scope", s.gauge("weir_lease_store_up", "")), "{{scope}} reach NATS"})...).wide(12),
		newGraph("Time waiting for a slot",
			"Of requests that had to wait, admitted or refused in the end; nothing where none waited. p95 near queue.timeout: they wait in vain; lower the queue's depth, or add capacity (runbook: WeirWaitingTooLong).",
			unitSeconds, queries(
				[2]string{s.quantile(0.5, "weir_queue_wait_seconds", ""), "p50"},
				[2]string{s.quantile(0.95, "weir_queue_wait_seconds", ""), "p95"},
				[2]string{s.quantile(0.99, "weir_queue_wait_seconds", ""), "p99"})...).wide(12),
	}
}

func functionTime(s selection) []panel {
	total := func(metric string) string { return sum("", s.rate(metric+"_sum", "")) }
	inFunction, own := total("weir_upstream_duration_seconds"), total("weir_proxy_overhead_seconds")
	// weir_queue_wait_seconds has the waits of those refused too; what is left of the
	// durations of those admitted has not, so that the three add up to the mean.
	// Where nobody waited it is nothing, whatever a scrape between two sums leaves.
	waiting := "clamp_min(" + total("weir_request_duration_seconds") + " - " + inFunction + " - " + own + ", 0)" +
		" * (" + sum("", s.rate("weir_queue_wait_seconds_count", "")) + " > bool 0)"
	perRequest := func(seconds string) string {
		// To a microsecond: what is left where none waited is nothing but rounding.
		return "round(" + share("("+seconds+")", sum("", s.rate("weir_request_duration_seconds_count", ""))) + ", 0.000001)"
	}
	return []panel{
		newGraph("Mean time of a request, by where it goes",
			"Waiting for a slot, in the function, and weir's own; together the mean of what callers feel. Cut the thickest: waiting by capacity, the function by the function. weir's own grows with a busy CPU and with slow clients.",
			unitSeconds, queries(
				[2]string{perRequest(waiting), "waiting"},
				[2]string{perRequest(inFunction), "function"},
				[2]string{perRequest(own), "weir"})...).
			colour("waiting", "blue", false).colour("function", "green", false).colour("weir", "orange", false).stacked(),
		newGraph("In the function",
			"From handing a request over to the end of the answer. It rises with concurrency: the limit is above what the function can run at once; lower it.",
			unitSeconds, withExemplars(queries(
				[2]string{s.quantile(0.5, "weir_upstream_duration_seconds", ""), "p50"},
				[2]string{s.quantile(0.95, "weir_upstream_duration_seconds", ""), "p95"},
				[2]string{s.quantile(0.99, "weir_upstream_duration_seconds", ""), "p99"}))...),
		newGraph("weir's own",
			"What weir added to a request. The first bucket ends at 5 ms, so a few hundred microseconds show as up to 5 ms. More than 25 ms: weir lacks CPU, or clients take their answers slowly.",
			unitSeconds, queries(
				[2]string{s.quantile(0.5, "weir_proxy_overhead_seconds", ""), "p50"},
				[2]string{s.quantile(0.95, "weir_proxy_overhead_seconds", ""), "p95"},
				[2]string{s.quantile(0.99, "weir_proxy_overhead_seconds", ""), "p99"})...),
	}
}

func functionUpstream(s selection) []panel {
	return []panel{
		newGraph("Reachable, by instance",
			"1 while weir's probe reaches the function, 0 while not. At 0 weir answers 502 and is not ready: the function's log, its memory limit, its port (runbook: WeirUpstreamDown).",
			unitCount, query("A", s.gauge("weir_upstream_up", ""), "{{instance}}")),
		newGraph("5xx of the function, by instance",
			"Answers a second with a 5xx that the function itself gave. One instance alone: end it and look at its node. All of them: look at what was deployed last.",
			unitRequests, query("A", sum("instance", s.rate("weir_requests_total", `code_class="5xx", origin="function"`)), "{{instance}}")),
		newGraph("No answer, by instance",
			"Requests a second that weir answered itself with a 5xx (502, 504), since the function did not. weir's log has the reason of each; a timeout means that the function takes longer than it may.",
			unitRequests, query("A", sum("instance", s.rate("weir_requests_total", `code_class="5xx", origin="weir"`)), "{{instance}}")),
	}
}

func functionRuntime(s selection) []panel {
	byInstance := "instance"
	g := newGrid("What runs where",
		"What runs where. Configurations of different age after a reload: an instance did not take the new one; its log says why. A short uptime without a deployment: it was restarted.",
		[]string{"instance", "version"},
		column{"Running", unitCount, "sum by (instance, version) " + s.gauge("weir_running_instances", ""), nil, 0},
		column{"Limit", unitCount, sum(byInstance, s.gauge("weir_inflight_limit", "")), nil, 0},
		column{"Up for", unitSeconds, sum(byInstance, "(time() - "+s.gauge("process_start_time_seconds", "")+")"), nil, 0},
		column{"Configuration loaded before", unitSeconds, sum(byInstance, "(time() - "+s.gauge("weir_config_last_reload_success_timestamp_seconds", "")+")"), nil, 0},
		column{"Newer one refused", unitCount, sum(byInstance, "(1 - "+s.gauge("weir_config_last_reload_successful", "")+")"), zeroIsGood(), 0},
	)
	return []panel{
		g,
		newGraph("CPU of weir", "What each instance's weir uses; 100 % is one core. Near its limit weir adds latency to every request: raise or remove the limit.",
			unitShare, query("A", s.rate("process_cpu_seconds_total", ""), "{{instance}}")),
		newGraph("Memory of weir", "Resident memory of each instance's weir. It grows with open connections; one that only ever grows is worth a report with its /metrics.",
			unitBytes, query("A", s.gauge("process_resident_memory_bytes", ""), "{{instance}}")),
		newGraph("Goroutines of weir", "About one for each connection that is busy. A number that grows while running and waiting do not is worth a report.",
			unitCount, query("A", s.gauge("go_goroutines", ""), "{{instance}}")),
		newGraph("Spans, by what became of them", "Spans of traces a second, where tracing is on. Dropped: the queue to the receiver was full, because it is slow or away; record fewer (tracing.sample) or give it room. Failed: it did not take them; weir's log says why.",
			unitEach, query("A", sum("result", s.rate("weir_trace_spans_total", "")), "{{result}}")),
	}
}
