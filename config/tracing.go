package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// tracesPath is where OTLP/HTTP has spans posted, by custom.
const tracesPath = "/v1/traces"

// parseTracingEndpoint gives the URL that spans are posted to; "" is none.
func parseTracingEndpoint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if !isTarget(text) {
		return "", notValue(text, "has other characters than visible ASCII ones: write them percent-encoded")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", notValue(text, "is not a URL such as http://collector:4318 or https://example.com/otlp/v1/traces")
	case u.User != nil:
		return "", errors.New("has a user or password in it, which everybody may read: use tracing.headers_file")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return "", notValue(u.Scheme+"://"+u.Host, "has a query or a fragment: what is secret belongs into tracing.headers_file")
	case u.Port() == "4317":
		return "", notValue(text, "names the port of OTLP over gRPC: weir speaks OTLP over HTTP, for which receivers have 4318")
	}
	if u.Path == "" || u.Path == "/" {
		return u.Scheme + "://" + u.Host + tracesPath, nil
	}
	return text, nil
}

func tracingEndpoint() value {
	return value{
		kind: kindURL,
		set: func(c *Config, text string) error {
			endpoint, err := parseTracingEndpoint(text)
			if err == nil {
				c.Tracing.Endpoint = endpoint
			}
			return err
		},
		get: func(c *Config) string { return c.Tracing.Endpoint },
	}
}

// share holds a number from 0 to 1.
func share(field func(*Config) *float64) value {
	return value{
		kind: kindShare,
		set: func(c *Config, text string) error {
			if text == "" || strings.Trim(text, digits+".") != "" {
				return notValue(text, "is not a number from 0 to 1, such as 0.05")
			}
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || n > 1 {
				return notValue(text, "is not a number from 0 to 1, such as 0.05")
			}
			*field(c) = n
			return nil
		},
		get: func(c *Config) string { return strconv.FormatFloat(*field(c), 'f', -1, 64) },
	}
}

// checkService checks the name that traces show weir by.
func checkService(text string) error {
	const most = 128
	switch {
	case text == "":
		return notValue(text, "is empty: traces show weir by it")
	case len(text) > most:
		return notValue(text, "has %d characters: at most %d", len(text), most)
	case !isPrintable(text):
		return notValue(text, "has control characters in it")
	}
	return nil
}

// Attribute says something about where spans come from.
type Attribute struct{ Key, Value string }

// parseAttribute reads key=value, the value percent-encoded.
func parseAttribute(text string) (Attribute, error) {
	key, value, ok := strings.Cut(strings.TrimSpace(text), "=")
	if key = strings.TrimSpace(key); !ok || key == "" || !isTarget(key) {
		return Attribute{}, notValue(text, "is not of the form key=value")
	}
	value, err := url.PathUnescape(strings.TrimSpace(value))
	if err != nil || !isPrintable(value) {
		return Attribute{}, notValue(text, "has a value that is not percent-encoded as it should be, such as %%2C for a comma")
	}
	return Attribute{key, value}, nil
}

// maxAttributes bounds the list, which each batch of spans carries.
const maxAttributes = 64

func attributes(field func(*Config) *[]Attribute) value {
	return value{
		kind: kindList,
		set: func(c *Config, text string) error {
			var all []Attribute
			if strings.TrimSpace(text) != "" {
				for item := range strings.SplitSeq(text, ",") {
					a, err := parseAttribute(item)
					if err != nil {
						return err
					}
					if all = append(all, a); len(all) > maxAttributes {
						return notValue(text[:32]+"...", "holds more than %d attributes", maxAttributes)
					}
				}
			}
			*field(c) = all
			return nil
		},
		get: func(c *Config) string {
			var items []string
			for _, a := range *field(c) {
				value := strings.ReplaceAll(url.PathEscape(a.Value), ",", "%2C")
				items = append(items, a.Key+"="+value)
			}
			return strings.Join(items, ",")
		},
		item: func(text string) error { _, err := parseAttribute(text); return err },
	}
}

// Header is a field that requests to a receiver carry.
type Header struct{ Name, Value string }

// ParseHeaders gives the fields that a file holds, each as "Name: value" on a line; empty
// lines and those that begin with # mean nothing. What it says of a wrong one never shows
// its value.
func ParseHeaders(content []byte) ([]Header, error) {
	const most = 64
	var all []Header
	for n, line := range secretLines(content) {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || checkField(name) != nil:
			return nil, fmt.Errorf("its line %d is not of the form Name: value", n)
		case value == "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c >= 0x7f }):
			return nil, fmt.Errorf("the value in its line %d is empty, or has other characters than visible ASCII ones", n)
		case strings.EqualFold(name, "Host"), strings.EqualFold(name, "Content-Type"), strings.EqualFold(name, "Content-Length"),
			strings.EqualFold(name, "Transfer-Encoding"), strings.EqualFold(name, "Connection"):
			return nil, fmt.Errorf("the header in its line %d is one that weir sets itself", n)
		case len(all) == most:
			return nil, fmt.Errorf("it holds more than %d headers", most)
		}
		all = append(all, Header{name, value})
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no header")
	}
	return all, nil
}

// relateTracing checks where spans are sent, and with what.
func (l *loading) relateTracing() {
	t := l.config.Tracing
	if !l.usable("tracing.endpoint") {
		return
	}
	if t.Endpoint == "" {
		for _, key := range []string{"tracing.headers_file", "tracing.ca"} {
			if l.usable(key) && l.text(key) != "" {
				l.fail(key, "cannot be set without tracing.endpoint: no spans are sent")
			}
		}
		return
	}
	if l.usable("tracing.headers_file") && t.HeadersFile != "" {
		l.file("tracing.headers_file", t.HeadersFile, func(content []byte) error {
			_, err := ParseHeaders(content)
			return err
		})
	}
	if l.usable("tracing.ca") && t.CA != "" {
		if !strings.HasPrefix(t.Endpoint, "https:") {
			l.fail("tracing.ca", "is for an https:// endpoint only: %s", l.other("tracing.endpoint"))
			return
		}
		l.certificates("tracing.ca", t.CA)
	}
}
