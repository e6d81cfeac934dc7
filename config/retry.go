package config

import (
	"slices"
	"strconv"
	"strings"
)

// maxAttempts bounds the attempts at a call; 0 is for those who want no bound.
const maxAttempts = 1000

// parseRetryStatus reads one status after which a call is tried again. An answer below
// 400 is a success, which nothing is to follow.
func parseRetryStatus(text string) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, notValue(text, "is not a status")
	case n < 400 || n > 599:
		return 0, notValue(text, "is not a status from 400 to 599")
	}
	return n, nil
}

func parseRetryStatuses(text string) ([]int, error) {
	list := []int{}
	if text == "" {
		return list, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		n, err := parseRetryStatus(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		if slices.Contains(list, n) {
			return nil, notValue(strings.TrimSpace(item), "is listed twice")
		}
		list = append(list, n)
	}
	return list, nil
}

func formatRetryStatuses(list []int) string {
	items := make([]string, len(list))
	for i, n := range list {
		items[i] = strconv.Itoa(n)
	}
	return strings.Join(items, ",")
}

func retryStatuses() value {
	return value{
		kind: kindList,
		set: func(c *Config, text string) error {
			list, err := parseRetryStatuses(text)
			if err == nil {
				c.Async.RetryStatuses = list
			}
			return err
		},
		get:  func(c *Config) string { return formatRetryStatuses(c.Async.RetryStatuses) },
		item: func(text string) error { _, err := parseRetryStatus(text); return err },
	}
}

// relateRouteAsync checks what routes say about calls that are run later.
func (l *loading) relateRouteAsync() {
	a := l.config.Async
	for _, r := range l.routes {
		for _, s := range routeSettings {
			origin, said := r.parts[s.key]
			if said && strings.HasPrefix(s.key, "async_") && l.usable("async.enabled") && !a.Enabled {
				l.mistakes.add(r.name+"."+s.key, origin, "cannot be set while %s: there is no queue", l.other("async.enabled"))
			}
		}
		backoff, most := a.Backoff, a.BackoffMax
		key := "async_backoff"
		if r.Async.Backoff != nil {
			backoff = *r.Async.Backoff
		}
		if r.Async.BackoffMax != nil {
			most = *r.Async.BackoffMax
			if r.Async.Backoff == nil {
				key = "async_backoff_max"
			}
		}
		if (r.Async.Backoff != nil || r.Async.BackoffMax != nil) && l.usable("async.backoff", "async.backoff_max") && backoff > most {
			l.mistakes.add(r.name+"."+key, r.parts[key], "the backoff of %s is more than the most that it is doubled to, %s", formatDuration(backoff), formatDuration(most))
		}
	}
}
