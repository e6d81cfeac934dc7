package rules

import "fmt"

// by is what a function is told apart by; namespace is there where the scrape adds
// it.
const by = "job, namespace, function"

// windows are those over which shares are kept: pairs of a long and a short one for
// budgets, and five minutes for what is now.
var windows = []string{"5m", "30m", "1h", "6h"}

// forWantOfSlots matches refusals that say that capacity is missing. Those while an
// instance drains say that its endpoint was withdrawn late; those of a caller that has
// its share, or its rate, say that it asks for more than it was given; those of a loop, that
// the function calls itself.
const forWantOfSlots = `reason!~"draining|caller|rate|loop"`

// throttled is the recorded share of a function's requests that were refused for
// want of slots.
func throttled(window string) string { return "function:weir_throttles:ratio_rate" + window }

// failed is the recorded share of a function's requests that ended in a 5xx, its own
// or weir's, which had no answer from it.
func failed(window string) string { return "function:weir_errors:ratio_rate" + window }

// concurrency is the recorded exact mean concurrency over five minutes.
const concurrency = "function:weir_concurrency:mean5m"

func recordings() []group {
	g := group{Name: "weir.recording"}
	for _, w := range windows {
		requests := fmt.Sprintf("sum by (%s) (rate(weir_requests_total[%s]))", by, w)
		refusals := fmt.Sprintf("sum by (%s) (rate(weir_throttles_total[%s]))", by, w)
		g.Rules = append(g.Rules,
			recording{throttled(w), fmt.Sprintf("sum by (%s) (rate(weir_throttles_total{%s}[%s]))\n/\n(%s + %s > 0)", by, forWantOfSlots, w, requests, refusals)},
			recording{failed(w), fmt.Sprintf("sum by (%s) (rate(weir_requests_total{code_class=\"5xx\"}[%s]))\n/\n(%s > 0)", by, w, requests)},
		)
	}
	g.Rules = append(g.Rules, recording{concurrency, fmt.Sprintf("sum by (%s) (rate(weir_concurrency_seconds_total[5m]))", by)})
	return []group{g}
}
