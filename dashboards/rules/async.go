package rules

import (
	"fmt"
	"time"
)

// async is about asynchronous calls. Weirs that share a queue each tell all of what
// is in it.
func async() group {
	return group{"weir.async", []any{
		newAlert("WeirQueueDown", critical, 2*time.Minute,
			"weir_queue_up == 0",
			"The queue of "+where+" takes no calls on {{ $labels.instance }}",
			"weir of "+where+" on {{ $labels.instance }} has answered 503 to asynchronous calls for two minutes: its queue is down. Those accepted before are safe and wait."),
		newAlert("WeirAsyncBacklog", warning, 15*time.Minute,
			fmt.Sprintf("max by (%s) (weir_async_oldest_age_seconds) > 300\nand\nmax by (%s) (deriv(weir_async_oldest_age_seconds[10m])) > 0", by, by),
			"Asynchronous calls to "+where+" wait longer and longer",
			"The oldest asynchronous call to "+where+" has been due for "+seconds+", and the queue has been more than five minutes late for a quarter of an hour, growing."),
		newAlert("WeirDeadLetters", warning, 0,
			fmt.Sprintf("sum by (%s) (increase(weir_async_dead_lettered_total[15m])) > 0", by),
			"Asynchronous calls to "+where+" were given up",
			"Asynchronous calls to "+where+" failed for good or expired within fifteen minutes, and are among the dead letters."),
		newAlert("WeirCallbackFailures", warning, 5*time.Minute,
			fmt.Sprintf("sum by (%[1]s) (increase(weir_callbacks_total{result=~\"failed|gone\"}[15m])) > 0\nor\nsum by (%[1]s) (rate(weir_callbacks_total{result=\"retried\"}[5m]))\n/ sum by (%[1]s) (rate(weir_callbacks_total[5m])) > 0.5", by),
			"Receivers are not told of calls to "+where,
			"Callbacks or destinations of "+where+" were given up within fifteen minutes, or most attempts to tell them have failed for five minutes."),
	}}
}
