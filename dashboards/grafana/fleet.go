package grafana

// byFunction is what the fleet's series are told apart by.
const (
	byFunction     = "namespace, function"
	functionLegend = "{{function}} {{namespace}}"
)

// byReason says what to do about refusals of each reason, which a test compares with
// the reasons that there are.
const byReason = "Refusals a second. max_inflight, queue_full, queue_timeout: too little capacity; so is priority, a place in line given to a more important call. " +
	"rate: more requests in a time than limits.rate, a route or a caller may make; ramp: more at once than may be added in a minute. " +
	"function, account: what a function or an account may run everywhere together is used up; raise that limit, or see which instances hold it (weir_lease_slots). " +
	"caller: one caller has its share already; ask it to slow down, or give it more. " +
	"loop: the function calls itself; see what it calls, and max_loop. " +
	"draining: instances that end are still sent requests; see whether their endpoint is withdrawn in time (drain.delay)."

// fleet shows all functions: how much is refused, how full they are, and which of
// them need somebody.
func fleet() sheet {
	s := several
	return sheet{
		uid:         FleetUID,
		title:       "weir / fleet",
		description: "All functions behind weir: what is refused, how full they are, who is in trouble.",
		variables:   s.variables(),
		annotations: s.annotations(),
		rows: []row{
			{"Now", fleetNow(s)},
			{"Who is in trouble", fleetTrouble(s)},
			{"Load", fleetLoad(s)},
			{"Outcome", fleetOutcome(s)},
			{"The weirs themselves", fleetWeirs(s)},
		},
	}
}

func fleetNow(s selection) []panel {
	return []panel{
		newNumber("Functions",
			"Functions that have an instance now. Fewer than deployed: see whether their scrape works (runbook: WeirAbsent).",
			unitCount, query("A", orZero("count(count by ("+byFunction+") "+s.gauge("weir_inflight_limit", "")+")"), "functions"), plain()),
		newNumber("Instances",
			"Instances of functions, one weir each. If it moves without a deployment or the autoscaler, look at restarts below.",
			unitCount, query("A", orZero("count("+s.gauge("weir_inflight_limit", "")+")"), "instances"), plain()),
		newNumber("Requests",
			"Requests that ran, a second. Those refused are not among them.",
			unitRequests, query("A", sum("", s.rate("weir_requests_total", "")), "requests"), plain()),
		newNumber("Refused",
			"Share of all requests that weir refused. Above 1 % find the function in the table below and open it: raise its limit if it has headroom, add instances if not.",
			unitShare, query("A", orZero(s.refused("")), "refused"), warnAt(0.01, 0.1)),
		newNumber("Failed",
			"Share of requests that ended in a 5xx of the function's or of weir's. Open the function that leads in the table below.",
			unitShare, query("A", orZero(s.failed("", "")), "failed"), warnAt(0.005, 0.05)),
		newNumber("Slots in use",
			"Running requests as a share of all slots. Near 100 % everywhere, there is no spare capacity: add instances. Near 100 % for some, see saturation below.",
			unitShare, query("A", orZero(share(sum("", s.gauge("weir_inflight_requests", "")), sum("", s.gauge("weir_inflight_limit", "")))), "in use"), warnAt(0.8, 0.95)),
		newNumber("Waiting",
			"Requests that wait for a slot, everywhere. A number that stays means that waiting costs latency: see where in the table.",
			unitCount, query("A", sum("", s.gauge("weir_waiting_requests", "")), "waiting"), plain()),
		newNumber("Unreachable",
			"Instances whose weir does not reach its function. Above 0: look at the function's own log; weir answers 502 meanwhile (runbook: WeirUpstreamDown).",
			unitCount, query("A", orZero("sum(1 - "+s.gauge("weir_upstream_up", "")+")"), "unreachable"), zeroIsGood()),
	}
}

func fleetTrouble(s selection) []panel {
	refused := s.refused(byFunction)
	g := newGrid("Which function needs somebody",
		"One line a function; sort by the column that worries you, and click a name to open it. A dash means: nothing to divide by, no requests.",
		[]string{"namespace", "function"},
		column{"Refused", unitShare, refused, warnAt(0.01, 0.1), 2},
		column{"Failed", unitShare, s.failed(byFunction, ""), warnAt(0.005, 0.05), 2},
		column{"Mean slots in use", unitShare, share(sum(byFunction, s.rate("weir_concurrency_seconds_total", "")), sum(byFunction, s.gauge("weir_inflight_limit", ""))), warnAt(0.8, 0.95), 1},
		column{"Waiting", unitCount, sum(byFunction, s.gauge("weir_waiting_requests", "")), nil, 0},
		column{"p95", unitSeconds, s.quantile(0.95, "weir_request_duration_seconds", byFunction), nil, 2},
		column{"Requests", unitRequests, sum(byFunction, s.rate("weir_requests_total", "")), nil, 1},
		column{"Instances", unitCount, "count by (" + byFunction + ") " + s.gauge("weir_inflight_limit", ""), nil, 0},
		column{"Unreachable", unitCount, sum(byFunction, "(1 - "+s.gauge("weir_upstream_up", "")+")"), zeroIsGood(), 0},
	)
	g.OverrideByName("function", properties(property("links", links("${__value.text}"))))
	g.SortBy(sortBy("Refused"))
	return []panel{
		g,
		newGraph("Refused, by function",
			"Share of each function's requests that were refused. One that is alone up there has a limit too low or too few instances; all together, something upstream of them sends more.",
			unitShare, query("A", refused, functionLegend)).limits(warnAt(0.01, 0.1)).linked(),
		newGraph("Saturation, by function",
			"Exact mean concurrency as a share of the limit. From 80 % on, bursts are refused: raise the limit where the function has CPU and memory to spare, add instances where not.",
			unitShare, query("A", share(sum(byFunction, s.rate("weir_concurrency_seconds_total", "")), sum(byFunction, s.gauge("weir_inflight_limit", ""))), functionLegend)).
			limits(warnAt(0.8, 0.95)).linked(),
		newGraph("Failed, by function",
			"Share of each function's requests that ended in a 5xx. Open the function to see whether it answered so itself or weir could not reach it.",
			unitShare, query("A", s.failed(byFunction, ""), functionLegend)).limits(warnAt(0.005, 0.05)).linked(),
	}
}

func fleetLoad(s selection) []panel {
	return []panel{
		newGraph("Running instances, by function",
			"Slots that execute a request now, the busiest functions on top. What autoscaling and billing by concurrency go by.",
			unitCount, query("A", sum(byFunction, s.gauge("weir_running_instances", "")), functionLegend)).stacked().linked(),
		newGraph("Requests, by function",
			"Requests that ran, a second. A step without a deployment: ask who calls.",
			unitRequests, query("A", sum(byFunction, s.rate("weir_requests_total", "")), functionLegend)).stacked().linked(),
		newGraph("Waiting, by function",
			"Requests in line for a slot. A line that never falls back to 0 is latency that callers feel: add slots or instances, or refuse earlier (overflow reject).",
			unitCount, query("A", sum(byFunction, s.gauge("weir_waiting_requests", "")), functionLegend)).linked(),
	}
}

func fleetOutcome(s selection) []panel {
	return []panel{
		newGraph("Refused, by reason",
			byReason,
			unitRequests, query("A", sum("reason", s.rate("weir_throttles_total", "")), "{{reason}}")).stacked(),
		newGraph("Requests, by outcome",
			"Requests a second by class of status and by who made the outcome: the function, weir (no answer to be had) or the client (left early).",
			unitRequests, query("A", sum("code_class, origin", s.rate("weir_requests_total", ""))+" > 0", "{{code_class}} {{origin}}")).stacked(),
		newGraph("p95 duration, by function",
			"95 % of admitted requests took less, waiting included. One function above the others is its own matter; all at once, look at nodes and network.",
			unitSeconds, withExemplars(queries([2]string{s.quantile(0.95, "weir_request_duration_seconds", byFunction), functionLegend}))...).linked(),
	}
}

func fleetWeirs(s selection) []panel {
	return []panel{
		newGrid("Builds of weir",
			"Instances by weir's version and Go's. More than one version for longer than a rollout takes: find what was not deployed again.",
			[]string{"version", "goversion"},
			column{"Instances", unitCount, "count by (version, goversion) " + s.gauge("weir_build_info", ""), nil, 0}).narrow(),
		newGraph("Memory of weir, by function",
			"Resident memory of the largest weir of each function. It grows with open connections and large heads; near the container's limit raise that, and GOMEMLIMIT with it.",
			unitBytes, query("A", aggregate("max", byFunction, s.gauge("process_resident_memory_bytes", "")), functionLegend)).linked(),
		newGraph("CPU of weir, by function",
			"What the weirs of a function use together; 100 % is one core. Tens of microseconds a request are normal; much more: TLS, HTTP/2, or the net/http engine.",
			unitShare, query("A", sum(byFunction, s.rate("process_cpu_seconds_total", "")), functionLegend)).linked(),
		newGraph("Configurations refused, by function",
			"Instances that run on an older configuration, since the newer one has a mistake. Above 0: weir's log names file, line and mistake (runbook: WeirReloadFailed).",
			unitCount, query("A", sum(byFunction, "(1 - "+s.gauge("weir_config_last_reload_successful", "")+")"), functionLegend)).limits(zeroIsGood()).linked(),
		newGraph("Functions unreachable, by function",
			"Instances whose weir does not reach its function. A short bump is a start; one that stays is a function that is down (runbook: WeirUpstreamDown).",
			unitCount, query("A", sum(byFunction, "(1 - "+s.gauge("weir_upstream_up", "")+")"), functionLegend)).limits(zeroIsGood()).linked(),
		newGraph("Starts of weir, by function",
			"How often the process was started anew within the interval, in the same place. Restarts that go on: the container's last state says why (runbook: WeirRestarting).",
			unitCount, query("A", sum(byFunction, s.version("changes("+s.series("process_start_time_seconds", "")+"[$__rate_interval])")), functionLegend)).limits(zeroIsGood()).linked(),
	}
}
