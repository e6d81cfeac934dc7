package config

import (
	"fmt"
	"slices"
)

// This file checks what no setting can be told by itself: how settings stand to
// each other and to the files they name. A relation is not checked where one of
// its settings has an error of its own already.

// usable reports whether each of the settings has a value that can be relied on.
func (l *loading) usable(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return l.unusable[key] })
}

// explicit reports whether somebody set key.
func (l *loading) explicit(key string) bool { return l.origins[key].From != FromDefault }

// other names a setting that an error is also about, its value and its place.
func (l *loading) other(key string) string {
	s := settingByKey(l.table, key)
	value := s.shown(s.value.get(l.config))
	if place := l.origins[key].place(); place != "" {
		return fmt.Sprintf("%s is %s from %s", key, value, place)
	}
	return fmt.Sprintf("%s is %s by default", key, value)
}

func (l *loading) fail(key, format string, args ...any) {
	l.mistakes.add(key, l.origins[key], format, args...)
}

// relate checks all relations.
func (l *loading) relate() {
	l.relateQueue()
	l.relateProbe()
	l.relateAddresses()
	l.relateTLS()
}

func (l *loading) relateQueue() {
	limits := l.config.Limits
	if !l.usable("limits.max_inflight") {
		return
	}
	waits := l.usable("limits.overflow") && limits.Overflow == OverflowWait
	switch {
	case limits.MaxInflight == 0:
		const why = "without a limit nothing ever waits; set a limit, or overflow reject"
		if waits {
			l.fail("limits.overflow", `cannot be wait while %s: %s`, l.other("limits.max_inflight"), why)
		}
		for _, r := range l.routes {
			if r.Overflow == OverflowWait {
				l.mistakes.add(r.name+".overflow", r.parts["overflow"], `cannot be wait while %s: %s`, l.other("limits.max_inflight"), why)
			}
		}
	case !l.usable("limits.queue_depth") || limits.QueueDepth > 0:
	case waits:
		l.fail("limits.queue_depth", "cannot be 0 while %s: nothing could wait", l.other("limits.overflow"))
	default:
		for _, r := range l.routes {
			if r.Overflow == OverflowWait {
				l.mistakes.add(r.name+".overflow", r.parts["overflow"], "cannot be wait while %s: nothing could wait", l.other("limits.queue_depth"))
			}
		}
	}
}

func (l *loading) relateProbe() {
	if !l.usable("ready.timeout", "ready.interval") || l.config.Ready.Timeout <= l.config.Ready.Interval {
		return
	}
	// A default ready.timeout gives way to the interval, so this one was set.
	l.fail("ready.timeout", "cannot be more than ready.interval: it is %s while %s",
		formatDuration(l.config.Ready.Timeout), l.other("ready.interval"))
}

func (l *loading) relateAddresses() {
	c := l.config
	if l.usable("listen", "metrics.listen") && sameListener(c.Listen, c.Metrics.Listen) {
		key, other := "metrics.listen", "listen"
		if !l.explicit(key) {
			key, other = other, key
		}
		l.fail(key, "cannot be on the same port: %s", l.other(other))
	}
	if !l.usable("upstream.url") {
		return
	}
	if c.Upstream.Scheme != "unix" {
		for _, listen := range []string{"listen", "metrics.listen"} {
			if l.usable(listen) && reaches(c.Upstream.Address, settingByKey(l.table, listen).value.get(c)) {
				key, other := "upstream.url", listen
				if !l.explicit(key) {
					key, other = other, key
				}
				l.fail(key, "would make weir its own upstream: %s", l.other(other))
			}
		}
	}
	if l.usable("upstream.ca") && c.Upstream.CA != "" {
		if c.Upstream.Scheme != "https" {
			l.fail("upstream.ca", "is for an https:// upstream only: %s", l.other("upstream.url"))
		} else {
			l.certificates("upstream.ca", c.Upstream.CA)
		}
	}
}

func (l *loading) relateTLS() {
	if !l.usable("tls.cert", "tls.key", "tls.client_ca") {
		return
	}
	tls := l.config.TLS
	var certificate, key []byte
	certificateOK, keyOK := false, false
	switch {
	case tls.Cert != "" && tls.Key == "":
		l.fail("tls.cert", "cannot be set without tls.key")
	case tls.Key != "" && tls.Cert == "":
		l.fail("tls.key", "cannot be set without tls.cert")
	}
	if tls.ClientCA != "" && tls.Cert == "" {
		l.fail("tls.client_ca", "cannot be set without tls.cert: only TLS carries client certificates")
	}
	if tls.Cert != "" {
		certificate, certificateOK = l.certificates("tls.cert", tls.Cert)
	}
	if tls.Key != "" {
		key, keyOK = l.pem("tls.key", tls.Key, checkPrivateKey)
	}
	if certificateOK && keyOK {
		if err := checkPair(certificate, key); err != nil {
			l.fail("tls.key", "%s cannot be used with tls.cert %s: %s", tls.Key, tls.Cert, err)
		}
	}
	if tls.ClientCA != "" {
		l.certificates("tls.client_ca", tls.ClientCA)
	}
}

func (l *loading) certificates(key, path string) ([]byte, bool) {
	return l.pem(key, path, checkCertificates)
}

// pem reads a PEM file that a setting names, and checks what is in it.
func (l *loading) pem(key, path string, check func([]byte) error) ([]byte, bool) {
	content, err := readFile(path)
	if err == nil {
		err = check(content)
	}
	if err != nil {
		l.mistakes.addCause(key, l.origins[key], err, "%s cannot be used: %s", path, err)
		return nil, false
	}
	return content, true
}
