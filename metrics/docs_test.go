package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"weir/limits"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

// TestDocs keeps docs/metrics.md what the catalogue says.
func TestDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Metrics

Served on ` + "`--metrics-listen`" + ` at ` + "`/metrics`" + `, in the Prometheus text, OpenMetrics and protobuf
formats. Every series carries the label ` + "`function`" + `; namespace and pod come from the
scrape. No label ever holds a caller, a path or an id. Beside these are the Go
runtime's and the process's standard metrics.

Histograms are classic and native at once; the classic buckets are, in seconds:
`)
	var bounds []string
	for _, v := range buckets {
		bounds = append(bounds, fmt.Sprint(v))
	}
	b.WriteString(strings.Join(bounds, ", ") + ".\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range Catalogue() {
		labels := "`" + strings.Join(d.Labels, "`, `") + "`"
		if len(d.Labels) == 0 {
			labels = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, d.Help)
	}
	b.WriteString(`
Reasons of ` + "`weir_throttles_total`" + `: ` + reasons() + `.

## Queries to begin with

| question | query |
|---|---|
| mean concurrency, exact | ` + "`rate(weir_concurrency_seconds_total[$__rate_interval])`" + ` |
| the same by Little's law | ` + "`rate(weir_upstream_duration_seconds_sum[$__rate_interval]) + rate(weir_proxy_overhead_seconds_sum[$__rate_interval])`" + ` |
| share of the limit in use | ` + "`weir_inflight_requests / (weir_inflight_limit > 0)`" + ` |
| refusals a second, by reason | ` + "`sum by (reason) (rate(weir_throttles_total[$__rate_interval]))`" + ` |
| share of requests refused | ` + "`sum(rate(weir_throttles_total[5m])) / (sum(rate(weir_throttles_total[5m])) + sum(rate(weir_requests_total[5m])))`" + ` |
| weir's own errors | ` + "`sum(rate(weir_requests_total{origin=\"weir\"}[5m]))`" + ` |

With ` + "`--metrics-compat openfaas`" + ` of-watchdog's ` + "`http_requests_total`, `http_request_duration_seconds` and `http_requests_in_flight`" + `
are exported beside them; refused requests count there, as they did. Functions may invent
statuses, and clients methods, so that a label's values are bounded: ` + "`code`" + ` is a status that IANA
has registered or 499 (the client has left), else its class (` + "`5xx`" + `), and ` + "`other`" + ` beyond 599; ` + "`method`" + `
is ` + "`OTHER`" + ` where RFC 9110 and RFC 5789 do not have it.
`)
	const file = "../docs/metrics.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("docs/metrics.md differs from the catalogue: go test ./metrics -update")
	}
}

func reasons() string {
	var out []string
	for _, r := range limits.Reasons() {
		out = append(out, "`"+string(r)+"`")
	}
	return strings.Join(out, ", ")
}
