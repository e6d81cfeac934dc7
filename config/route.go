package config

import (
	"slices"
	"strings"
	"time"
)

// maxRoutes bounds the routes, all of which a request may be compared with.
const maxRoutes = 1000

// routeSetting is one key of a route in the file. Routes have no flags and no
// variables.
type routeSetting struct {
	key     string
	kind    kind
	choices []string // of a kindChoice
	usage   string
	// clear is called before the items of a kindList where none is not the same as
	// nothing said; else nil.
	clear func(r *Route)
	// set reads one scalar; for a kindList it is called for each item.
	set func(r *Route, text string) error
}

// routeSettings is the table of what a route can hold, in the order it is shown.
var routeSettings = []routeSetting{
	{
		key: "path", kind: kindPath,
		usage: "the path itself and all below it, by whole segments; needed",
		set: func(r *Route, text string) error {
			if err := checkRoutePath(text); err != nil {
				return err
			}
			r.Path = text
			return nil
		},
	},
	{
		key: "methods", kind: kindList,
		usage: "methods that the route is for, in upper case; none means all",
		set: func(r *Route, text string) error {
			if err := checkMethod(text); err != nil {
				return err
			}
			if slices.Contains(r.Methods, text) {
				return notValue(text, "is listed twice")
			}
			r.Methods = append(r.Methods, text)
			return nil
		},
	},
	{
		key: "overflow", kind: kindChoice, choices: overflows,
		usage: "instead of limits.overflow; async needs async.enabled",
		set: func(r *Route, text string) error {
			if err := checkOverflow(text); err != nil {
				return err
			}
			r.Overflow = Overflow(text)
			return nil
		},
	},
	{
		key: "priority", kind: kindChoice, choices: priorities,
		usage: "of its requests among those that wait, where limits.priority_header does not say it; critical if neither does",
		set: func(r *Route, text string) error {
			if err := checkChoice(text, priorities...); err != nil {
				return err
			}
			r.Priority = text
			return nil
		},
	},
	{
		key: "rate", kind: kindRate,
		usage: "of its requests, beside limits.rate",
		set: func(r *Route, text string) error {
			rate, err := parseRate(text)
			if err != nil {
				return err
			}
			r.Rate = rate
			return nil
		},
	},
	{
		key: "timeout", kind: kindDuration,
		usage: "instead of timeouts.request; 0 is off",
		set:   func(r *Route, text string) error { return setDuration(&r.Timeout, text) },
	},
	{
		key: "response_start_timeout", kind: kindDuration,
		usage: "instead of timeouts.response_start; 0 is off",
		set:   func(r *Route, text string) error { return setDuration(&r.ResponseStartTimeout, text) },
	},
	{
		key: "on_client_abort", kind: kindChoice, choices: clientAborts,
		usage: "instead of on_client_abort",
		set: func(r *Route, text string) error {
			if err := checkChoice(text, clientAborts...); err != nil {
				return err
			}
			r.OnClientAbort = OnClientAbort(text)
			return nil
		},
	},
	{
		key: "invoke", kind: kindChoice, choices: invokes,
		usage: "async answers 202 and runs the request later, needs async.enabled; sync is the default",
		set: func(r *Route, text string) error {
			if err := checkChoice(text, invokes...); err != nil {
				return err
			}
			r.Invoke = Invoke(text)
			return nil
		},
	},
	{
		key: "full_duplex", kind: kindBool,
		usage: "true keeps an HTTP/1.1 connection of which the answer begins before the request's body has come whole; else it is closed then",
		set: func(r *Route, text string) error {
			b, err := parseBool(text)
			if err != nil {
				return err
			}
			r.FullDuplex = b
			return nil
		},
	},
	{
		key: "async_attempts", kind: kindNumber,
		usage: "instead of async.attempts; 0 is until it succeeds or expires",
		set: func(r *Route, text string) error {
			n, err := parseNumber(text, maxAttempts)
			if err != nil {
				return err
			}
			r.Async.Attempts = &n
			return nil
		},
	},
	{
		key: "async_backoff", kind: kindDuration,
		usage: "instead of async.backoff",
		set:   func(r *Route, text string) error { return setDurationFrom(&r.Async.Backoff, text, time.Millisecond) },
	},
	{
		key: "async_backoff_max", kind: kindDuration,
		usage: "instead of async.backoff_max",
		set:   func(r *Route, text string) error { return setDurationFrom(&r.Async.BackoffMax, text, time.Millisecond) },
	},
	{
		key: "async_retry_statuses", kind: kindList,
		usage: "instead of async.retry_statuses; [] is none",
		clear: func(r *Route) { r.Async.RetryStatuses = &[]int{} },
		set: func(r *Route, text string) error {
			n, err := parseRetryStatus(text)
			if err != nil {
				return err
			}
			if slices.Contains(*r.Async.RetryStatuses, n) {
				return notValue(text, "is listed twice")
			}
			*r.Async.RetryStatuses = append(*r.Async.RetryStatuses, n)
			return nil
		},
	},
	{
		key: "async_timeout", kind: kindDuration,
		usage: "of an attempt, instead of async.timeout; 0 is off",
		set:   func(r *Route, text string) error { return setDuration(&r.Async.Timeout, text) },
	},
	{
		key: "async_max_age", kind: kindDuration,
		usage: "instead of async.max_age, for calls that are accepted from now on",
		set:   func(r *Route, text string) error { return setDurationFrom(&r.Async.MaxAge, text, time.Second) },
	},
	{
		key: "async_retention", kind: kindDuration,
		usage: "instead of async.retention",
		set:   func(r *Route, text string) error { return setDurationFrom(&r.Async.Retention, text, time.Second) },
	},
	{
		key: "async_dead_letter_retention", kind: kindDuration,
		usage: "instead of async.dead_letter_retention",
		set:   func(r *Route, text string) error { return setDurationFrom(&r.Async.DeadRetention, text, time.Second) },
	},
}

func setDurationFrom(to **time.Duration, text string, least time.Duration) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	if d < least {
		return notValue(text, "is less than %s, the least there is", formatDuration(least))
	}
	*to = &d
	return nil
}

func setDuration(to **time.Duration, text string) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	*to = &d
	return nil
}

// checkRoutePath allows only paths that mean the same before and after
// percent-decoding, and that a request can match: no empty, "." or ".." segment.
func checkRoutePath(text string) error {
	switch {
	case text == "" || text[0] != '/':
		return notValue(text, "does not start with /")
	case strings.ContainsAny(text, "?#"):
		return notValue(text, "has a query or fragment: a route matches paths only")
	case strings.Contains(text, "%") || !isTarget(text):
		return notValue(text, "has other characters than visible ASCII ones, or a %%: a route cannot match these")
	case text == "/":
		return nil
	case strings.HasSuffix(text, "/"):
		return notValue(text, "ends with /: write %s, which matches all below it too", quote(strings.TrimRight(text, "/")))
	}
	for segment := range strings.SplitSeq(text[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return notValue(text, `has an empty, "." or ".." segment`)
		}
	}
	return nil
}

// checkMethod checks that text is a token (RFC 9110 section 5.6.2) without
// lower-case letters: methods are case-sensitive (section 9.1), and those in use
// are all upper case.
func checkMethod(text string) error {
	if text == "" || strings.Trim(text, letters+digits+"!#$%&'*+-.^_`|~") != "" {
		return notValue(text, "is not a method")
	}
	if upper := strings.ToUpper(text); upper != text {
		return notValue(text, "is not upper case, and methods are case-sensitive: write %s", upper)
	}
	return nil
}

// locatedRoute is a route and the places where its parts were written.
type locatedRoute struct {
	Route
	name   string // "routes[2]", as the file counts them
	origin Origin
	parts  map[string]Origin // by key of the routeSetting
}

// matches gives what a route is for, in a form in which equals are equal.
func (r *locatedRoute) matches() string {
	methods := slices.Clone(r.Methods)
	slices.Sort(methods)
	return r.Path + " " + strings.Join(methods, ",")
}

// checkRoutes adds an error for each route that a former one leaves nothing to.
func checkRoutes(routes []*locatedRoute, m *mistakes) {
	first := make(map[string]*locatedRoute, len(routes))
	for _, r := range routes {
		if former := first[r.matches()]; former != nil {
			for_ := "all methods"
			if len(r.Methods) > 0 {
				for_ = strings.Join(r.Methods, ", ")
			}
			m.add(r.name, r.parts["path"], "%s for %s is a route already, on line %d", quote(r.Path), for_, former.origin.Line)
			continue
		}
		first[r.matches()] = r
	}
}

// sortRoutes puts the longest path first and leaves equals in the file's order.
// Of the paths that match one request, the longest in bytes is the longest in
// segments too.
func sortRoutes(routes []*locatedRoute) {
	slices.SortStableFunc(routes, func(a, b *locatedRoute) int { return len(b.Path) - len(a.Path) })
}
