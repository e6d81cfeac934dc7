// Package metrics names everything that weir exports to Prometheus, counts what
// the data path reports, and reads the rest from snapshots at scrape time.
//
// The hot path touches only children resolved beforehand. A refused request is
// neither an invocation nor an error: it is counted as a throttle and nowhere
// else. No label ever carries a caller, a path or an id.
package metrics
