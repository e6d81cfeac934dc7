package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxDuration bounds every duration, so that sums and deadlines cannot overflow.
const maxDuration = 365 * 24 * time.Hour

// parseDuration reads a Go duration (300ms, 5s, 1m30s) from 0 to maxDuration;
// only 0 may go without a unit.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && isNumber(text):
		return 0, notValue(text, "has no unit: write %ss for seconds, or %sms", text, text)
	case err != nil:
		return 0, notValue(text, "is not a duration such as 500ms, 5s or 1m30s")
	case d < 0:
		return 0, notValue(text, "is negative")
	case d > maxDuration:
		return 0, notValue(text, "is more than %s, the most there is", formatDuration(maxDuration))
	}
	return d, nil
}

// parseSeconds reads a Go duration, or a whole number of seconds.
func parseSeconds(text string) (time.Duration, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		if n > int64(maxDuration/time.Second) {
			return 0, notValue(text, "seconds are more than %s, the most there is", formatDuration(maxDuration))
		}
		return time.Duration(n) * time.Second, nil
	}
	d, err := parseDuration(text)
	if v, ok := errors.AsType[*valueError](err); ok && !strings.HasPrefix(v.what, "is negative") && !strings.HasPrefix(v.what, "is more") {
		return 0, notValue(text, "is neither a duration such as 500ms or 5s nor a whole number of seconds")
	}
	return d, err
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil && strings.Trim(text, "+-.0123456789") == ""
}

// formatDuration gives the shortest text that parseDuration reads as d: "1m",
// where time.Duration says "1m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}
