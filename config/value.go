package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// kind is the notation of a value.
type kind string

const (
	kindAddress  kind = "host:port"
	kindURL      kind = "URL"
	kindText     kind = "text"
	kindFile     kind = "file"
	kindPath     kind = "path"
	kindChoice   kind = "choice"
	kindDuration kind = "duration"
	kindSize     kind = "size"
	kindNumber   kind = "number"
	kindRate     kind = "rate"
	kindShare    kind = "share"
	kindBool     kind = "boolean"
	kindList     kind = "list"
)

// value reads and writes one field of a Config as text. The text of the command
// line, of the environment and of a YAML scalar is the same.
type value struct {
	kind    kind
	choices []string // of a kindChoice
	unit    string   // what a kindNumber counts
	// set reads text into c. On failure c is unchanged.
	set func(c *Config, text string) error
	// get gives the text that set reads as what c holds.
	get func(c *Config) string
	// item checks one item of a kindList.
	item func(text string) error
}

// duration holds at least `least`; a least of 0 allows 0, which is off.
func duration(field func(*Config) *time.Duration, least time.Duration) value {
	return value{
		kind: kindDuration,
		set: func(c *Config, text string) error {
			d, err := parseDuration(text)
			if err != nil {
				return err
			}
			if d < least {
				return notValue(text, "is less than %s, the least there is", formatDuration(least))
			}
			*field(c) = d
			return nil
		},
		get: func(c *Config) string { return formatDuration(*field(c)) },
	}
}

func size[T int | int64](field func(*Config) *T, least, most int64) value {
	return value{
		kind: kindSize,
		set: func(c *Config, text string) error {
			n, err := parseSize(text)
			if err != nil {
				return err
			}
			if n < least {
				return notValue(text, "is less than %s, the least there is", formatSize(least))
			}
			if n > most {
				return notValue(text, "is more than %s, the most there is", formatSize(most))
			}
			*field(c) = T(n)
			return nil
		},
		get: func(c *Config) string { return formatSize(int64(*field(c))) },
	}
}

// parseNumber reads a whole number from 0 to most.
func parseNumber(text string, most int) (int, error) {
	if strings.HasPrefix(text, "-") && isNumber(text) {
		return 0, notValue(text, "is negative")
	}
	if text == "" || strings.Trim(text, digits) != "" {
		return 0, notValue(text, "is not a whole number")
	}
	if len(text) > 1 && text[0] == '0' {
		return 0, notValue(text, "starts with 0, which some read as octal: leave the 0 out")
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > most {
		return 0, notValue(text, "is more than %d, the most there is", most)
	}
	return n, nil
}

func number(field func(*Config) *int, most int, unit string) value {
	return value{
		kind: kindNumber,
		unit: unit,
		set: func(c *Config, text string) error {
			n, err := parseNumber(text, most)
			if err != nil {
				return err
			}
			*field(c) = n
			return nil
		},
		get: func(c *Config) string { return strconv.Itoa(*field(c)) },
	}
}

// between holds a whole number from least to most.
func between(field func(*Config) *int, least, most int, unit string) value {
	v := number(field, most, unit)
	setNumber := v.set
	v.set = func(c *Config, text string) error {
		if n, err := parseNumber(text, most); err == nil && n < least {
			return notValue(text, "is less than %d, the least there is", least)
		}
		return setNumber(c, text)
	}
	return v
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, notValue(text, "is not true or false")
}

func boolean(field func(*Config) *bool) value {
	return value{
		kind: kindBool,
		set: func(c *Config, text string) error {
			b, err := parseBool(text)
			if err != nil {
				return err
			}
			*field(c) = b
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(*field(c)) },
	}
}

// choice holds one of the choices.
func choice[T ~string](field func(*Config) *T, choices ...string) value {
	return value{
		kind:    kindChoice,
		choices: choices,
		set: func(c *Config, text string) error {
			if err := checkChoice(text, choices...); err != nil {
				return err
			}
			*field(c) = T(text)
			return nil
		},
		get: func(c *Config) string { return string(*field(c)) },
	}
}

func checkChoice(text string, choices ...string) error {
	shown := make([]string, len(choices))
	for i, c := range choices {
		if c == text {
			return nil
		}
		shown[i] = c
		if c == "" {
			shown[i] = `""`
		}
	}
	last := len(shown) - 1
	return notValue(text, "is not %s or %s", strings.Join(shown[:last], ", "), shown[last])
}

// text holds what check lets through.
func text(k kind, field func(*Config) *string, check func(string) error) value {
	return value{
		kind: k,
		set: func(c *Config, text string) error {
			if err := check(text); err != nil {
				return err
			}
			*field(c) = text
			return nil
		},
		get: func(c *Config) string { return *field(c) },
	}
}

// checkFile checks the name of a file; "" is none. Whether it can be read is
// checked once every layer has had its say.
func checkFile(text string) error {
	if !isPrintable(text) {
		return notValue(text, "has control characters in it")
	}
	return nil
}

// checkAccount checks the name of an account; "" is none.
func checkAccount(text string) error {
	if text == "" {
		return nil
	}
	return checkName(text)
}

// checkName checks what becomes the value of a metric label, a token of a queue
// subject and part of a path, so it holds nothing that any of these treats
// specially.
func checkName(text string) error {
	const most = 128
	switch {
	case text == "":
		return notValue(text, "is empty: it names the function in metrics and logs")
	case len(text) > most:
		return notValue(text, "has %d characters: at most %d", len(text), most)
	case strings.Trim(text, letters+digits+"._-") != "":
		return notValue(text, `has other characters than letters, digits, ".", "_" and "-": it becomes a metric label and part of queue subjects`)
	case strings.Trim(text[:1], letters+digits) != "":
		return notValue(text, "does not start with a letter or a digit")
	}
	return nil
}

func checkVersion(text string) error {
	if text == "" {
		return nil
	}
	return checkName(text)
}

// checkProbePath checks the target of a readiness probe; "" is none.
func checkProbePath(text string) error {
	switch {
	case text == "":
		return nil
	case text[0] != '/':
		return notValue(text, "does not start with /")
	case !isTarget(text):
		return notValue(text, "has other characters than visible ASCII ones: write them percent-encoded")
	case strings.Contains(text, "#"):
		return notValue(text, "has a fragment, which is never sent: leave it out")
	}
	return nil
}

// isTarget reports whether text can stand in a request line as it is.
func isTarget(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

func isPrintable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, isControl)
}

// maxLoopMost bounds limits.max_loop: heads have room for about as many entries.
const maxLoopMost = 1000

// maxInflightMost bounds limits.max_inflight: beyond it a limit limits nothing.
const maxInflightMost = 1_000_000

// queueDepthFactor times limits.max_inflight is the default of limits.queue_depth.
const queueDepthFactor = 10

// maxInflight reads a limit. Whatever cannot be read is an error: a limit must
// never turn out to be none by accident.
func maxInflight() value {
	v := number(func(c *Config) *int { return &c.Limits.MaxInflight }, maxInflightMost, "requests")
	setNumber := v.set
	v.set = func(c *Config, text string) error {
		if text == autoText {
			c.Limits.MaxInflight = MaxInflightAuto
			return nil
		}
		if isNumber(text) {
			return setNumber(c, text)
		}
		return notValue(text, `is not a number, "auto" or 0`)
	}
	getNumber := v.get
	v.get = func(c *Config) string {
		if c.Limits.MaxInflight == MaxInflightAuto {
			return autoText
		}
		return getNumber(c)
	}
	return v
}

const autoText = "auto"

// bound is one of the two that an automatic limit stays between.
func bound(field func(*Config) *int) value {
	v := number(field, maxInflightMost, "requests")
	setNumber := v.set
	v.set = func(c *Config, text string) error {
		if text == "0" {
			return notValue(text, "is less than 1, the least there is")
		}
		return setNumber(c, text)
	}
	return v
}

// What settings and routes both choose from.
var (
	overflows    = []string{string(OverflowReject), string(OverflowWait), string(OverflowAsync)}
	invokes      = []string{string(InvokeSync), string(InvokeAsync)}
	clientAborts = []string{string(AbortCancel), string(AbortFinish)}
)

// checkOverflow checks what a request over the limit gets.
func checkOverflow(text string) error { return checkChoice(text, overflows...) }

func overflow() value {
	return choice(func(c *Config) *Overflow { return &c.Limits.Overflow }, overflows...)
}

// A user or password in a URL is not shown.
var (
	errUserInNATSURL = errors.New("has a user or password in it, which everybody may read: use async.nats_credentials")
	errUserInURL     = errors.New("has a user or password in it, which everybody may read: receivers know weir by its signature")
)

// checkNATSURL checks a server's URL, or several separated by commas; "" is none.
func checkNATSURL(text string) error {
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		switch {
		case err != nil || u.Host == "":
			return notValue(part, "is not a URL like nats://host:4222")
		case u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss":
			return notValue(part, "does not begin with nats://, tls://, ws:// or wss://")
		case u.User != nil:
			return errUserInNATSURL
		}
	}
	return nil
}

func upstreamURL() value {
	return value{
		kind: kindURL,
		set: func(c *Config, text string) error {
			scheme, address, err := parseUpstream(text)
			if err != nil {
				return err
			}
			c.Upstream.Scheme, c.Upstream.Address = scheme, address
			return nil
		},
		get: func(c *Config) string { return c.Upstream.URL() },
	}
}

func trustedProxies() value {
	return value{
		kind: kindList,
		set: func(c *Config, text string) error {
			prefixes, err := parseProxies(text)
			if err != nil {
				return err
			}
			c.TrustedProxies = prefixes
			return nil
		},
		get:  func(c *Config) string { return formatProxies(c.TrustedProxies) },
		item: func(text string) error { _, err := parseProxy(text); return err },
	}
}

// openFaaS reads auto as off; load decides about auto once it knows the
// environment. The effective value is on or off.
func openFaaS() value {
	choices := []string{"auto", "on", "off"}
	return value{
		kind:    kindChoice,
		choices: choices,
		set: func(c *Config, text string) error {
			if err := checkChoice(text, choices...); err != nil {
				return err
			}
			c.OpenFaaS = text == "on"
			return nil
		},
		get: func(c *Config) string {
			if c.OpenFaaS {
				return "on"
			}
			return "off"
		},
	}
}
