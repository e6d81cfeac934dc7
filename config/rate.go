package config

import (
	"strconv"
	"strings"
	"time"
)

// Rate is a number of requests in a period, of which Burst may come at once. The
// zero value is none.
type Rate struct {
	Requests int
	Period   time.Duration
	Burst    int
}

var ratePeriods = []struct {
	name   string
	period time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// rateMost bounds the numbers of a rate.
const rateMost = 10_000_000

// parseRate reads a rate such as 100/s, 500/m, or 10/s+50 for a burst of 50 instead
// of 10.
func parseRate(text string) (Rate, error) {
	if text == "0" {
		return Rate{}, nil
	}
	wrong := notValue(text, "is not a rate such as 100/s, 500/m or 10/s+50 (a burst of 50), or 0 for none")
	count, rest, ok := strings.Cut(text, "/")
	if !ok {
		return Rate{}, wrong
	}
	unit, burst, bursts := strings.Cut(rest, "+")
	var r Rate
	for _, p := range ratePeriods {
		if p.name == unit {
			r.Period = p.period
		}
	}
	if r.Requests, ok = rateNumber(count); !ok || r.Period == 0 {
		return Rate{}, wrong
	}
	r.Burst = r.Requests
	if bursts {
		if r.Burst, ok = rateNumber(burst); !ok {
			return Rate{}, wrong
		}
	}
	return r, nil
}

func rateNumber(text string) (int, bool) {
	n, err := parseNumber(text, rateMost)
	return n, err == nil && n > 0
}

// String is what parseRate reads.
func (r Rate) String() string {
	if r.Requests == 0 {
		return "0"
	}
	text := strconv.Itoa(r.Requests) + "/"
	for _, p := range ratePeriods {
		if p.period == r.Period {
			text += p.name
		}
	}
	if r.Burst != r.Requests {
		text += "+" + strconv.Itoa(r.Burst)
	}
	return text
}

func rateValue(field func(*Config) *Rate) value {
	return value{
		kind: kindRate,
		set: func(c *Config, text string) error {
			r, err := parseRate(text)
			if err != nil {
				return err
			}
			*field(c) = r
			return nil
		},
		get: func(c *Config) string { return field(c).String() },
	}
}
