package config

import (
	"fmt"
	"net"
	"slices"
)

// This file checks what no setting can be told by itself: how settings stand to
// each other and to the files they name. A relation is not checked where one of
// its settings has an error of its own already.

// usable reports whether each of the settings has a value that can be relied on.
func (l *loading) usable(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return l.unusable[key] })
}

// text gives the effective value of a setting.
func (l *loading) text(key string) string { return settingByKey(l.table, key).value.get(l.config) }

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
	l.relateShared()
	l.relateCallers()
	l.relateAsync()
	l.relateProbe()
	l.relateAddresses()
	l.relateTLS("tls.cert", "tls.key", "tls.client_ca")
	l.relateTLS("admin.tls_cert", "admin.tls_key", "admin.tls_client_ca")
	l.relateAdmin()
	l.relateLog()
	l.relateTracing()
}

func (l *loading) relateQueue() {
	limits := l.config.Limits
	if !l.usable("limits.max_inflight") {
		return
	}
	if limits.MaxInflight == MaxInflightAuto && l.usable("limits.min_inflight", "limits.max_inflight_ceiling") && limits.MinInflight > limits.MaxInflightCeiling {
		l.fail("limits.min_inflight", "cannot be more than limits.max_inflight_ceiling: it is %d while %s", limits.MinInflight, l.other("limits.max_inflight_ceiling"))
	}
	waits := l.usable("limits.overflow") && limits.Overflow == OverflowWait
	switch {
	case limits.MaxInflight == 0 && (!l.usable("limits.function_max_inflight", "limits.account") || limits.leastShared() > 0):
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

// relateShared checks the limits that sidecars share.
func (l *loading) relateShared() {
	limits := l.config.Limits
	if !l.usable("limits.nats_url", "async.nats_url") {
		return
	}
	if limits.NATSURL == "" {
		const why = "cannot be set without limits.nats_url: sidecars share it there"
		if l.usable("limits.function_max_inflight") && limits.FunctionMaxInflight > 0 {
			l.fail("limits.function_max_inflight", why)
		}
		if l.usable("limits.account") && limits.Account != "" {
			l.fail("limits.account", why)
		}
		for key, set := range map[string]bool{
			"limits.nats_credentials": limits.NATSCredentials != "", "limits.nats_ca": limits.NATSCA != "", "limits.nats_replicas": limits.NATSReplicas > 1,
		} {
			if set && l.explicit(key) && l.usable(key) {
				l.fail(key, "cannot be set without limits.nats_url")
			}
		}
	}
	if l.usable("limits.account", "limits.account_max_inflight") && limits.Account == "" && limits.AccountMaxInflight != Default().Limits.AccountMaxInflight {
		l.fail("limits.account_max_inflight", "cannot be set without limits.account, the account whose functions share it")
	}
	if l.usable("limits.nats_ca") && l.explicit("limits.nats_ca") && limits.NATSCA != "" {
		l.certificates("limits.nats_ca", limits.NATSCA)
	}
}

func (l *loading) relateAsync() {
	a := l.config.Async
	if l.usable("async.enabled") && !a.Enabled {
		const why = "cannot be async while %s: there is no queue"
		if l.usable("limits.overflow") && l.config.Limits.Overflow == OverflowAsync {
			l.fail("limits.overflow", why, l.other("async.enabled"))
		}
		for _, r := range l.routes {
			if r.Overflow == OverflowAsync {
				l.mistakes.add(r.name+".overflow", r.parts["overflow"], why, l.other("async.enabled"))
			}
			if r.Invoke == InvokeAsync {
				l.mistakes.add(r.name+".invoke", r.parts["invoke"], why, l.other("async.enabled"))
			}
		}
	}
	if l.usable("async.min_share", "async.max_share") && a.MinShare > a.MaxShare {
		l.fail("async.min_share", "cannot be more than async.max_share: it is %d while %s", a.MinShare, l.other("async.max_share"))
	}
	if l.usable("async.backoff", "async.backoff_max") && a.Backoff > a.BackoffMax {
		l.fail("async.backoff", "cannot be more than async.backoff_max: it is %s while %s", formatDuration(a.Backoff), l.other("async.backoff_max"))
	}
	if l.usable("async.max_body", "async.max_store") && a.MaxBody > a.MaxStore/4 {
		l.fail("async.max_body", "cannot be more than a quarter of async.max_store: it is %s while %s", formatSize(a.MaxBody), l.other("async.max_store"))
	}
	for key, set := range map[string]bool{
		"async.nats_credentials": a.NATSCredentials != "", "async.nats_ca": a.NATSCA != "", "async.nats_replicas": a.NATSReplicas > 1,
	} {
		if set && l.usable(key, "async.nats_url") && a.NATSURL == "" {
			l.fail(key, "cannot be set without async.nats_url: the queue is within this process")
		}
	}
	if l.usable("async.enabled", "async.dir", "async.nats_url") && a.Enabled && a.NATSURL == "" && a.Dir == "" {
		l.fail("async.dir", "cannot be empty while %s, without async.nats_url: there is nowhere to keep calls", l.other("async.enabled"))
	}
	if l.usable("async.nats_ca") && a.NATSCA != "" {
		l.certificates("async.nats_ca", a.NATSCA)
	}
	l.relateRouteAsync()
	l.relateWebhooks()
}

// relateWebhooks checks who is told of calls that have ended.
func (l *loading) relateWebhooks() {
	a := l.config.Async
	signed := map[string]bool{"async.callbacks_allow": len(a.CallbacksAllow) > 0}
	for key, to := range map[string]string{"async.on_success": a.OnSuccess, "async.on_failure": a.OnFailure} {
		signed[key] = to != "" && Subject(to) == ""
		if Subject(to) != "" && l.usable(key, "async.nats_url") && a.NATSURL == "" {
			l.fail(key, "cannot be a NATS subject without async.nats_url: nobody could listen to the server within this process")
		}
	}
	for key, needed := range signed {
		if needed && l.usable(key, "async.webhook_secrets") && a.WebhookSecrets == "" {
			l.fail(key, "cannot be set without async.webhook_secrets: receivers could not tell what weir sends from what others do")
		}
	}
	if l.usable("async.webhook_secrets") && a.WebhookSecrets != "" {
		l.file("async.webhook_secrets", a.WebhookSecrets, func(content []byte) error {
			_, err := ParseSecrets(content)
			return err
		})
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
	for _, pair := range [][2]string{{"listen", "metrics.listen"}, {"listen", "admin.listen"}, {"metrics.listen", "admin.listen"}} {
		if !l.usable(pair[:]...) || !sameListener(l.text(pair[0]), l.text(pair[1])) {
			continue
		}
		other, key := pair[0], pair[1]
		if !l.explicit(key) {
			key, other = other, key
		}
		l.fail(key, "cannot be on the same port: %s", l.other(other))
	}
	if !l.usable("upstream.url") {
		return
	}
	if c.Upstream.Scheme != "unix" {
		for _, listen := range []string{"listen", "metrics.listen", "admin.listen"} {
			if l.usable(listen) && reaches(c.Upstream.Address, l.text(listen)) {
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

// relateTLS checks the three settings that make a port one of TLS.
func (l *loading) relateTLS(cert, key, clientCA string) {
	if !l.usable(cert, key, clientCA) {
		return
	}
	var certificate, private []byte
	certificateOK, keyOK := false, false
	switch {
	case l.text(cert) != "" && l.text(key) == "":
		l.fail(cert, "cannot be set without %s", key)
	case l.text(key) != "" && l.text(cert) == "":
		l.fail(key, "cannot be set without %s", cert)
	}
	if l.text(clientCA) != "" && l.text(cert) == "" {
		l.fail(clientCA, "cannot be set without %s: only TLS carries client certificates", cert)
	}
	if path := l.text(cert); path != "" {
		certificate, certificateOK = l.certificates(cert, path)
	}
	if path := l.text(key); path != "" {
		private, keyOK = l.file(key, path, checkPrivateKey)
	}
	if certificateOK && keyOK {
		if err := checkPair(certificate, private); err != nil {
			l.fail(key, "%s cannot be used with %s %s: %s", l.text(key), cert, l.text(cert), err)
		}
	}
	if path := l.text(clientCA); path != "" {
		l.certificates(clientCA, path)
	}
}

// relateAdmin checks that whoever can reach the management API has to say who
// they are.
func (l *loading) relateAdmin() {
	if l.usable("admin.token_file") && l.config.Admin.TokenFile != "" {
		l.file("admin.token_file", l.config.Admin.TokenFile, func(content []byte) error {
			_, err := ParseToken(content)
			return err
		})
	}
	if !l.usable("admin.listen", "admin.token_file", "admin.tls_client_ca") {
		return
	}
	a := l.config.Admin
	host, _, err := net.SplitHostPort(a.Listen)
	if err != nil || isLoopback(host) && !isWildcard(host) || a.TokenFile != "" || a.TLSClientCA != "" {
		return
	}
	l.fail("admin.listen", "cannot be an address that others reach without admin.token_file or admin.tls_client_ca: whoever gets there could drain weir or change its limits. Set one of them, or listen on 127.0.0.1")
}

func (l *loading) relateLog() {
	if l.usable("log.access_every") && l.config.Log.AccessEvery == 0 {
		l.fail("log.access_every", "cannot be 0: one in so many requests is logged; for none set log.access to off")
	}
}

func (l *loading) certificates(key, path string) ([]byte, bool) {
	return l.file(key, path, checkCertificates)
}

// file reads a file that a setting names, and checks what is in it.
func (l *loading) file(key, path string, check func([]byte) error) ([]byte, bool) {
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
