package config

import (
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

const (
	callersMost  = 1_000_000
	callersLeast = 64
)

// parseCallerKey reads what tells callers apart: header:Name, jwt:claim, certificate,
// address, or nothing.
func parseCallerKey(text string) (kind, name string, err error) {
	kind, name, named := strings.Cut(text, ":")
	switch {
	case text == "":
		return "", "", nil
	case !named && (kind == "certificate" || kind == "address"):
		return kind, "", nil
	case kind == "header" && named:
		if err := checkField(name); err != nil {
			return "", "", err
		}
		return kind, textproto.CanonicalMIMEHeaderKey(name), nil
	case kind == "jwt" && name != "" && isPrintable(name):
		return kind, name, nil
	}
	return "", "", notValue(text, "is not header:NAME, jwt:CLAIM, certificate or address")
}

func callerKey() value {
	return value{
		kind: kindText,
		set: func(c *Config, text string) error {
			kind, name, err := parseCallerKey(text)
			if err != nil {
				return err
			}
			c.Callers.Kind, c.Callers.Name = kind, name
			return nil
		},
		get: func(c *Config) string {
			if c.Callers.Name == "" {
				return c.Callers.Kind
			}
			return c.Callers.Kind + ":" + c.Callers.Name
		},
	}
}

func callersRemembered() value {
	v := number(func(c *Config) *int { return &c.Callers.Remembered }, callersMost, "callers")
	setNumber := v.set
	v.set = func(c *Config, text string) error {
		n, err := parseNumber(text, callersMost)
		if err == nil && n < callersLeast {
			return notValue(text, "is less than %d, the least there is", callersLeast)
		}
		return setNumber(c, text)
	}
	return v
}

// enforced is false where a limit is in dry run.
func enforced(dryRun func(*Config) *bool) value {
	return value{
		kind: kindBool,
		set: func(c *Config, text string) error {
			b, err := parseBool(text)
			if err != nil {
				return err
			}
			*dryRun(c) = !b
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(!*dryRun(c)) },
	}
}

// checkField checks the name of a request field.
func checkField(text string) error {
	if text == "" || len(text) > 128 || strings.Trim(text, letters+digits+"-") != "" {
		return notValue(text, "is not the name of a header: letters, digits and - only")
	}
	return nil
}

// fieldName holds the name of a request field in canonical form, empty for none.
func fieldName(field func(*Config) *string) value {
	return value{
		kind: kindText,
		set: func(c *Config, text string) error {
			if text != "" {
				if err := checkField(text); err != nil {
					return err
				}
			}
			*field(c) = textproto.CanonicalMIMEHeaderKey(text)
			return nil
		},
		get: func(c *Config) string { return *field(c) },
	}
}

// priorities are the levels of synchronous requests, highest first.
var priorities = []string{"critical-plus", "critical", "sheddable-plus", "sheddable"}

func (l *loading) relateCallers() {
	c := l.config
	if l.usable("callers.key", "trusted_proxies") && (c.Callers.Kind == "header" || c.Callers.Kind == "jwt") && len(c.TrustedProxies) == 0 {
		l.fail("callers.key", "is believed from trusted proxies only, and there are none: set trusted_proxies (0.0.0.0/0 and ::/0 if everybody may say who they are)")
	}
	if l.usable("callers.key", "tls.client_ca") && c.Callers.Kind == "certificate" && c.TLS.ClientCA == "" {
		l.fail("callers.key", "cannot be certificate without tls.client_ca: no certificate would be asked for")
	}
	if l.usable("callers.key") && c.Callers.Kind == "" {
		const why = "cannot be set without callers.key: all requests would count as one caller's"
		if l.usable("callers.max_inflight") && c.Callers.MaxInflight > 0 {
			l.fail("callers.max_inflight", why)
		}
		if l.usable("callers.rate") && c.Callers.Rate.Requests > 0 {
			l.fail("callers.rate", why)
		}
	}
	if l.usable("limits.priority_header", "trusted_proxies") && c.Limits.PriorityHeader != "" && len(c.TrustedProxies) == 0 {
		l.fail("limits.priority_header", "is believed from trusted proxies only, and there are none: set trusted_proxies")
	}
	if l.usable("limits.priority_header", "limits.overflow") && c.Limits.PriorityHeader != "" && !l.anythingWaits() {
		l.fail("limits.priority_header", "decides who of those waiting is next, and nothing waits: set limits.overflow, or that of a route, to wait")
	}
	if l.usable("limits.enforce", "limits.max_inflight") && c.Limits.DryRun && c.Limits.MaxInflight == MaxInflightAuto {
		l.fail("limits.enforce", "cannot be false while %s: it learns from what it limits", l.other("limits.max_inflight"))
	}
}

func (l *loading) anythingWaits() bool {
	return l.config.Limits.Overflow == OverflowWait ||
		slices.ContainsFunc(l.routes, func(r *locatedRoute) bool { return r.Overflow == OverflowWait })
}
