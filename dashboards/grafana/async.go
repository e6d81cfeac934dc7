package grafana

// async shows the asynchronous calls of a function: what waits, what becomes of it,
// and whether the queue takes any.
func async() sheet {
	s := one
	return sheet{
		uid:         AsyncUID,
		title:       "weir / asynchronous calls",
		description: "Asynchronous calls of one function: backlog and its age, what comes in and what becomes of it, retries, dead letters, the queue.",
		variables:   s.variables(),
		annotations: s.annotations(),
		rows: []row{
			{"Now", asyncNow(s)},
			{"In and out", asyncFlow(s)},
			{"What goes wrong", asyncTrouble(s)},
			{"Callbacks and destinations", asyncCallbacks(s)},
		},
	}
}

// Weirs that share a queue each tell all of what is in it: their greatest figure
// is it.
func shared(s selection, metric string) string { return "max(" + s.gauge(metric, "") + ")" }

func asyncNow(s selection) []panel {
	return []panel{
		newNumber("Waiting", "Calls that wait: for their turn, their time or their next attempt. Weirs with a queue of their own: the greatest of theirs.",
			unitCount, query("A", shared(s, "weir_async_depth"), "waiting"), plain()),
		newNumber("Oldest", "Age of the oldest call that is due. It grows without end: less is run than comes in (runbook: WeirAsyncBacklog).",
			unitSeconds, query("A", shared(s, "weir_async_oldest_age_seconds"), "oldest"), warnAt(60, 600)),
		newNumber("Running", "Attempts under way, over all instances.",
			unitCount, query("A", sum("", s.gauge("weir_async_running", "")), "running"), plain()),
		newNumber("Dead letters", "Calls that failed or expired and wait for somebody to look (runbook: WeirDeadLetters).",
			unitCount, query("A", shared(s, "weir_dead_letters"), "dead letters"), zeroIsGood()),
		newNumber("Queues down", "Instances whose queue takes no calls: they answer 503 to whoever asks for one (runbook: WeirQueueDown).",
			unitCount, query("A", "sum(1 - "+s.gauge("weir_queue_up", "")+")", "down"), zeroIsGood()),
	}
}

func asyncFlow(s selection) []panel {
	perSecond := func(metric string) string { return sum("", s.rate(metric, "")) }
	return []panel{
		newGraph("Accepted and ended",
			"Calls a second: accepted with 202, and ended, each way. Accepted above ended for long: the backlog grows; add instances, or a greater share (async.max_share).",
			unitRequests, queries(
				[2]string{perSecond("weir_async_enqueued_total"), "accepted"},
				[2]string{perSecond("weir_async_succeeded_total"), "succeeded"},
				[2]string{perSecond("weir_async_failed_total"), "failed"},
				[2]string{perSecond("weir_async_expired_total"), "expired"},
				[2]string{perSecond("weir_async_cancelled_total"), "cancelled"})...).
			colour("accepted", "blue", true).colour("succeeded", "green", false).colour("failed", "red", false).colour("expired", "orange", false).wide(12),
		newGraph("Backlog",
			"Calls that wait. It absorbs a burst and goes back to none; one that only grows is too little capacity.",
			unitCount, query("A", "max by (instance) ("+s.gauge("weir_async_depth", "")+")", "{{instance}}")).wide(12),
		newGraph("Age of the oldest",
			"How late the queue is: the age of the oldest call that is due. Calls older than async.max_age expire.",
			unitSeconds, query("A", "max by (instance) ("+s.gauge("weir_async_oldest_age_seconds", "")+")", "{{instance}}")),
		newGraph("Running, beside the limit",
			"Attempts at asynchronous calls, and all that runs, against the limit. Asynchronous calls take what others leave.",
			unitCount, queries(
				[2]string{sum("", s.gauge("weir_async_running", "")), "asynchronous"},
				[2]string{sum("", s.gauge("weir_inflight_requests", "")), "all"},
				[2]string{sum("", s.gauge("weir_inflight_limit", "")) + " > 0", "limit"})...).
			colour("limit", "red", true),
		newGraph("Attempts, by outcome",
			"Answers of the function to attempts, by class of status and by who made the outcome.",
			unitRequests, query("A", sum("code_class, origin", s.rate("weir_requests_total", `mode="async"`))+" > 0", "{{code_class}} {{origin}}")).stacked(),
	}
}

func asyncTrouble(s selection) []panel {
	return []panel{
		newGraph("Attempts for each call that ended",
			"1 is as it should be. Above: the function fails and is tried again, which is load that nobody asked for; see whether it is overloaded.",
			unitCount, query("A", share(sum("", s.rate("weir_async_attempts_total", "")),
				sum("", s.rate("weir_async_succeeded_total", ""))+" + "+sum("", s.rate("weir_async_failed_total", ""))), "attempts")),
		newGraph("Retried and given up",
			"Attempts a second that failed and are followed by another, and calls a second that were put among the dead letters.",
			unitRequests, queries(
				[2]string{sum("", s.rate("weir_async_retried_total", "")), "retried"},
				[2]string{sum("", s.rate("weir_async_dead_lettered_total", "")), "dead letters"})...).
			colour("dead letters", "red", false),
		newGraph("Queue takes calls",
			"1 while an instance's queue takes calls, 0 while not. At 0: its disk, or the NATS servers; weir's log says what it met (runbook: WeirQueueDown).",
			unitCount, query("A", s.gauge("weir_queue_up", ""), "{{instance}}")).upTo(1),
	}
}

func asyncCallbacks(s selection) []panel {
	result := func(r string) string { return sum("", s.rate("weir_callbacks_total", `result="`+r+`"`)) }
	return []panel{
		newGraph("Receivers told, by result",
			"Attempts a second to tell callers and destinations of calls that ended. Retried: the receiver does not answer, or not with 2xx, and is told again later. Given up, or gone (410): it is never told (runbook: WeirCallbackFailures).",
			unitRequests, queries(
				[2]string{result("delivered"), "delivered"}, [2]string{result("retried"), "retried"},
				[2]string{result("gone"), "gone"}, [2]string{result("failed"), "given up"})...).
			colour("delivered", "green", false).colour("retried", "orange", false).colour("given up", "red", false).wide(12),
		newGraph("Receivers to be told",
			"Callbacks and destinations that are still to be told. It grows where receivers are down or slower than calls end; they take room of async.max_store.",
			unitCount, query("A", "max by (instance) ("+s.gauge("weir_callbacks_pending", "")+")", "{{instance}}")).wide(12),
	}
}
