package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// HostRule allows callbacks to some hosts: those of a name, or those at addresses.
type HostRule struct {
	// Host is a name in lower case, "*.name" for all below it, or "*" for every host
	// with public addresses; "" where Prefix counts.
	Host   string
	Prefix netip.Prefix
	Port   uint16 // 0 for any
}

func (r HostRule) String() string {
	host := r.Host
	switch {
	case host == "" && r.Prefix.IsSingleIP() && r.Port != 0 && r.Prefix.Addr().Is6():
		host = "[" + r.Prefix.Addr().String() + "]"
	case host == "" && r.Prefix.IsSingleIP():
		host = r.Prefix.Addr().String()
	case host == "" && r.Port != 0 && r.Prefix.Addr().Is6():
		host = "[" + r.Prefix.String() + "]"
	case host == "":
		host = r.Prefix.String()
	}
	if r.Port != 0 {
		host += ":" + strconv.Itoa(int(r.Port))
	}
	return host
}

// maxHostRules bounds the list, all of which a callback may be compared with.
const maxHostRules = 1000

func parseHostRules(text string) ([]HostRule, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if n := strings.Count(text, ",") + 1; n > maxHostRules {
		return nil, notValue(text, "holds %d hosts: at most %d", n, maxHostRules)
	}
	var rules []HostRule
	for item := range strings.SplitSeq(text, ",") {
		r, err := parseHostRule(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// parseHostRule reads one name, pattern, address or CIDR, with or without a port.
func parseHostRule(text string) (r HostRule, err error) {
	const forms = "is not a host such as example.com, *.example.com, *, 10.0.0.0/8 or [fd00::1], with or without a port such as :8443"
	if strings.Contains(text, "://") {
		return r, notValue(text, "is a URL: leave out all but the host and the port")
	}
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 && (strings.Count(text, ":") == 1 || strings.HasSuffix(text[:i], "]")) {
		host, port = text[:i], text[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return r, notValue(text, "has a port that is not one of 1 to 65535")
		}
		r.Port = uint16(n)
	}
	bare, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if bare, bracketed = strings.CutSuffix(bare, "]"); !bracketed {
			return r, notValue(text, forms)
		}
		host = bare
	}
	if bracketed || strings.ContainsAny(host, "/:") || isAddress(host) {
		prefix, err := parseProxy(host)
		if err != nil {
			return HostRule{}, err
		}
		r.Prefix = prefix
		return r, nil
	}
	r.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	name := strings.TrimPrefix(r.Host, "*.")
	if r.Host != "*" && !isHostName(name) {
		return HostRule{}, notValue(text, forms)
	}
	return r, nil
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func isHostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz"+digits+"-_") != "" {
			return false
		}
		last = label
	}
	return strings.Trim(last, digits) != "" // or it is an address, badly written
}

func hostRules(field func(*Config) *[]HostRule) value {
	return value{
		kind: kindList,
		set: func(c *Config, text string) error {
			rules, err := parseHostRules(text)
			if err == nil {
				*field(c) = rules
			}
			return err
		},
		get: func(c *Config) string {
			var items []string
			for _, r := range *field(c) {
				items = append(items, r.String())
			}
			return strings.Join(items, ",")
		},
		item: func(text string) error { _, err := parseHostRule(text); return err },
	}
}

// natsScheme begins a destination that is a NATS subject.
const natsScheme = "nats://"

// Subject gives the NATS subject that a destination stands for, "" where it is none.
func Subject(destination string) string {
	subject, ok := strings.CutPrefix(destination, natsScheme)
	if !ok {
		return ""
	}
	return subject
}

// checkDestination checks who is told of calls that have ended; "" is nobody.
func checkDestination(text string) error {
	const most = 2048
	switch {
	case text == "":
		return nil
	case len(text) > most:
		return notValue(text[:32]+"...", "is longer than %d bytes", most)
	case !isTarget(text):
		return notValue(text, "has other characters than visible ASCII ones: write them percent-encoded")
	case strings.HasPrefix(text, natsScheme):
		return checkSubject(text)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return notValue(text, "is not a URL such as https://example.com/done, or a NATS subject such as nats://orders.done")
	case u.User != nil:
		return errUserInURL
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return notValue(text, "has a fragment, which is never sent: leave it out")
	}
	return nil
}

func checkSubject(text string) error {
	subject := Subject(text)
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || strings.ContainsAny(token, "*>/?#") {
			return notValue(text, "is not a NATS subject such as nats://orders.done: tokens parted by dots, without wildcards")
		}
	}
	if subject == "weir" || strings.HasPrefix(subject, "weir.") || strings.HasPrefix(subject, "$") {
		return notValue(text, "is a subject that weir or NATS itself uses: choose another that does not begin with weir. or $")
	}
	return nil
}
