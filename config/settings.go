package config

import (
	"fmt"
	"time"
)

// settings is the table, in the order of the reference. Settings of a section
// stand together.
var settings = []*setting{
	{
		flag: "listen", key: "listen", def: ":8080", fixed: true,
		usage: "data port, host:port; port 0 takes a free one",
		value: text(kindAddress, func(c *Config) *string { return &c.Listen }, parseListen),
	},
	{
		flag: "upstream", key: "upstream.url", def: "http://127.0.0.1:3000", fixed: true,
		usage: "the function: http://, h2c:// or https://host:port, or unix:///path",
		value: upstreamURL(),
	},
	{
		flag: "upstream-connect-timeout", key: "upstream.connect_timeout", def: "5s", fixed: true,
		usage: "time to connect to the function",
		value: duration(func(c *Config) *time.Duration { return &c.Upstream.ConnectTimeout }, time.Millisecond),
	},
	{
		flag: "upstream-idle-timeout", key: "upstream.idle_timeout", def: "4s", fixed: true,
		usage: "time an idle connection to the function is kept; keep it below the function's own keep-alive time",
		value: duration(func(c *Config) *time.Duration { return &c.Upstream.IdleTimeout }, time.Millisecond),
	},
	{
		flag: "upstream-max-idle", key: "upstream.max_idle", def: "1024", fixed: true,
		usage: "idle connections to the function kept at most; 0 keeps none",
		value: number(func(c *Config) *int { return &c.Upstream.MaxIdle }, 1_000_000, "connections"),
	},
	{
		flag: "upstream-ca", key: "upstream.ca", def: "", fixed: true,
		usage: "PEM file of the authorities to trust for an https:// upstream; empty for the system's",
		value: text(kindFile, func(c *Config) *string { return &c.Upstream.CA }, checkFile),
	},
	{
		flag: "function", key: "function.name", def: "function", fixed: true,
		usage: "name of the function in metrics and logs",
		value: text(kindText, func(c *Config) *string { return &c.Function.Name }, checkName),
	},
	{
		flag: "function-version", key: "function.version", def: "", fixed: true,
		usage: "version of the function in metrics; empty for none",
		value: text(kindText, func(c *Config) *string { return &c.Function.Version }, checkVersion),
	},
	{
		flag: "max-inflight", key: "limits.max_inflight", def: "100",
		usage: "requests running at once; 0 only meters, auto finds the number by itself",
		value: maxInflight(),
	},
	{
		flag: "overflow", key: "limits.overflow", def: string(OverflowReject),
		usage: "what a request over the limit gets: reject (refused at once), wait (a place in a bounded queue) or async (run later, with --async)",
		value: overflow(),
	},
	{
		flag: "queue-depth", key: "limits.queue_depth", def: fmt.Sprintf("limits.max_inflight x %d", queueDepthFactor),
		usage: "requests waiting at most, with overflow wait",
		value: number(func(c *Config) *int { return &c.Limits.QueueDepth }, maxInflightMost*queueDepthFactor, "requests"),
		derive: func(c *Config) {
			c.Limits.QueueDepth = c.Limits.MaxInflight * queueDepthFactor
			switch {
			case c.Limits.MaxInflight == MaxInflightAuto:
				c.Limits.QueueDepth = c.Limits.MaxInflightCeiling * queueDepthFactor
			case c.Limits.MaxInflight == 0:
				c.Limits.QueueDepth = min(c.Limits.leastShared(), maxInflightMost) * queueDepthFactor
			}
		},
	},
	{
		flag: "queue-timeout", key: "limits.queue_timeout", def: "5s",
		usage: "time a request waits at most, with overflow wait",
		value: duration(func(c *Config) *time.Duration { return &c.Limits.QueueTimeout }, time.Millisecond),
	},
	{
		flag: "min-inflight", key: "limits.min_inflight", def: "1",
		usage: "least that max_inflight auto may come to",
		value: bound(func(c *Config) *int { return &c.Limits.MinInflight }),
	},
	{
		flag: "max-inflight-ceiling", key: "limits.max_inflight_ceiling", def: "1000",
		usage: "most that max_inflight auto may come to",
		value: bound(func(c *Config) *int { return &c.Limits.MaxInflightCeiling }),
	},
	{
		flag: "queue-order", key: "limits.queue_order", def: string(QueueAdaptive),
		usage: "who of those waiting is served first: adaptive (the oldest; once the queue stays long only as many wait as are soon served, others are refused at once) or fifo (the oldest, always)",
		value: choice(func(c *Config) *QueueOrder { return &c.Limits.QueueOrder }, string(QueueAdaptive), string(QueueFIFO)),
	},
	{
		flag: "function-max-inflight", key: "limits.function_max_inflight", def: "0",
		usage: "requests running at once in all sidecars of the function together, whatever its versions; 0 is no such limit; with limits.nats_url",
		value: number(func(c *Config) *int { return &c.Limits.FunctionMaxInflight }, maxInflightMost, "requests"),
	},
	{
		flag: "account", key: "limits.account", def: "", fixed: true,
		usage: "name of the account that the function belongs to: its functions share limits.account_max_inflight, and functions of other accounts may have the same name; empty for none",
		value: text(kindText, func(c *Config) *string { return &c.Limits.Account }, checkAccount),
	},
	{
		flag: "account-max-inflight", key: "limits.account_max_inflight", def: "100",
		usage: "requests running at once in all functions of limits.account together",
		value: between(func(c *Config) *int { return &c.Limits.AccountMaxInflight }, 1, maxInflightMost, "requests"),
	},
	{
		flag: "on-outage", key: "limits.on_outage", def: string(OutageShare),
		usage: "what a sidecar may run of the function's and the account's limit while NATS cannot be reached and its lease has ended: share (an equal share by the members last known), open (all that limits.max_inflight allows) or closed (nothing)",
		value: choice(func(c *Config) *OnOutage { return &c.Limits.OnOutage }, string(OutageShare), string(OutageOpen), string(OutageClosed)),
	},
	{
		flag: "lease-time", key: "limits.lease_time", def: "5s",
		usage: "time after which others may use what a sidecar that died held of the function's and the account's limit",
		value: duration(func(c *Config) *time.Duration { return &c.Limits.LeaseTime }, time.Second),
	},
	{
		flag: "limits-nats-url", key: "limits.nats_url", def: "async.nats_url", fixed: true,
		usage:  "URL of the NATS server or cluster, with JetStream, over which sidecars share limits, several separated by commas",
		value:  text(kindURL, func(c *Config) *string { return &c.Limits.NATSURL }, checkNATSURL),
		derive: func(c *Config) { c.Limits.NATSURL = c.Async.NATSURL },
	},
	{
		flag: "limits-nats-credentials", key: "limits.nats_credentials", def: "async.nats_credentials", fixed: true,
		usage:  "credentials file for that server",
		value:  text(kindFile, func(c *Config) *string { return &c.Limits.NATSCredentials }, checkFile),
		derive: func(c *Config) { c.Limits.NATSCredentials = c.Async.NATSCredentials },
	},
	{
		flag: "limits-nats-ca", key: "limits.nats_ca", def: "async.nats_ca", fixed: true,
		usage:  "PEM file of the authorities to trust for that server; empty for the system's",
		value:  text(kindFile, func(c *Config) *string { return &c.Limits.NATSCA }, checkFile),
		derive: func(c *Config) { c.Limits.NATSCA = c.Async.NATSCA },
	},
	{
		flag: "limits-nats-replicas", key: "limits.nats_replicas", def: "async.nats_replicas", fixed: true,
		usage:  "servers of the cluster that keep the leases, 1 to 5",
		value:  between(func(c *Config) *int { return &c.Limits.NATSReplicas }, 1, 5, "servers"),
		derive: func(c *Config) { c.Limits.NATSReplicas = c.Async.NATSReplicas },
	},
	{
		flag: "rate", key: "limits.rate", def: "0",
		usage: "requests in a time, such as 100/s or 500/m, with a burst as large unless it is given as in 10/s+50; 0 is off",
		value: rateValue(func(c *Config) *Rate { return &c.Limits.Rate }),
	},
	{
		flag: "ramp", key: "limits.ramp", def: "0",
		usage: "how many more requests may run at once each minute than did of late; 0 is off",
		value: number(func(c *Config) *int { return &c.Limits.Ramp }, maxInflightMost, "requests"),
	},
	{
		flag: "ramp-retention", key: "limits.ramp_retention", def: "10m",
		usage: "how long requests that ran at once count as of late, for ramp",
		value: duration(func(c *Config) *time.Duration { return &c.Limits.RampRetention }, time.Second),
	},
	{
		flag: "enforce", key: "limits.enforce", def: "true",
		usage: "false only counts what max_inflight, the function's and the account's limit, rate and ramp would refuse, in weir_throttles_dry_run_total",
		value: enforced(func(c *Config) *bool { return &c.Limits.DryRun }),
	},
	{
		flag: "max-loop", key: "limits.max_loop", def: "16",
		usage: "how often a request may have passed the function before it is refused as a loop, by its CDN-Loop field; 0 is without bound",
		value: number(func(c *Config) *int { return &c.Limits.MaxLoop }, maxLoopMost, "passes"),
	},
	{
		flag: "priority-header", key: "limits.priority_header", def: "",
		usage: "header in which trusted proxies give a request's priority: critical-plus, critical, sheddable-plus or sheddable; empty for none",
		value: fieldName(func(c *Config) *string { return &c.Limits.PriorityHeader }),
	},
	{
		flag: "deadline-header", key: "limits.deadline_header", def: "",
		usage: "header that says how long a client waits, in seconds or with a unit; Prefer stands for its preference wait; empty for none",
		value: fieldName(func(c *Config) *string { return &c.Limits.DeadlineHeader }),
	},
	{
		flag: "caller-key", key: "callers.key", def: "",
		usage: "what tells callers apart, who then share the slots that they wait for: header:NAME or jwt:CLAIM (believed from trusted proxies, signature unchecked), certificate, address; empty does not",
		value: callerKey(),
	},
	{
		flag: "caller-max-inflight", key: "callers.max_inflight", def: "0",
		usage: "requests of one caller running or waiting at once; 0 is no limit",
		value: number(func(c *Config) *int { return &c.Callers.MaxInflight }, maxInflightMost, "requests"),
	},
	{
		flag: "caller-rate", key: "callers.rate", def: "0",
		usage: "requests of one caller in a time, such as 10/s; 0 is off",
		value: rateValue(func(c *Config) *Rate { return &c.Callers.Rate }),
	},
	{
		flag: "callers-remembered", key: "callers.remembered", def: "10000",
		usage: "callers told apart at most; whoever was heard of least recently is forgotten first, never one with requests running",
		value: callersRemembered(),
	},
	{
		flag: "callers-enforce", key: "callers.enforce", def: "true",
		usage: "false only counts what callers.max_inflight and callers.rate would refuse",
		value: enforced(func(c *Config) *bool { return &c.Callers.DryRun }),
	},
	{
		flag: "timeout", key: "timeouts.request", def: "60s",
		usage: "time for the whole of an admitted request; 0 is off",
		value: duration(func(c *Config) *time.Duration { return &c.Timeouts.Request }, 0),
	},
	{
		flag: "response-start-timeout", key: "timeouts.response_start", def: "0s",
		usage: "time until the function has sent the head of its response; 0 is off",
		value: duration(func(c *Config) *time.Duration { return &c.Timeouts.ResponseStart }, 0),
	},
	{
		flag: "idle-timeout", key: "timeouts.idle", def: "0s",
		usage: "time without a byte moving in either direction of a request; 0 is off",
		value: duration(func(c *Config) *time.Duration { return &c.Timeouts.Idle }, 0),
	},
	{
		flag: "on-client-abort", key: "on_client_abort", def: string(AbortCancel),
		usage: "what becomes of a running request whose client left: cancel, or finish (keeps its slot until the function has answered)",
		value: choice(func(c *Config) *OnClientAbort { return &c.OnClientAbort }, clientAborts...),
	},
	{
		flag: "async", key: "async.enabled", def: "false", fixed: true,
		usage: "durable asynchronous calls: requests that ask for it get 202 and run when there is room",
		value: boolean(func(c *Config) *bool { return &c.Async.Enabled }),
	},
	{
		flag: "async-dir", key: "async.dir", def: "./weir-data", fixed: true,
		usage: "directory of the queue, on a local disk",
		value: text(kindFile, func(c *Config) *string { return &c.Async.Dir }, checkFile),
	},
	{
		flag: "async-any-filesystem", key: "async.any_filesystem", def: "false", fixed: true,
		usage: "allow async.dir on a file system that forgets (tmpfs) or that cannot be relied on (NFS, CIFS)",
		value: boolean(func(c *Config) *bool { return &c.Async.AnyFilesystem }),
	},
	{
		flag: "nats-url", key: "async.nats_url", def: "", fixed: true,
		usage: "URL of an external NATS server or cluster to keep calls in instead, several separated by commas",
		value: text(kindURL, func(c *Config) *string { return &c.Async.NATSURL }, checkNATSURL),
	},
	{
		flag: "nats-credentials", key: "async.nats_credentials", def: "", fixed: true,
		usage: "credentials file for the external server",
		value: text(kindFile, func(c *Config) *string { return &c.Async.NATSCredentials }, checkFile),
	},
	{
		flag: "nats-ca", key: "async.nats_ca", def: "", fixed: true,
		usage: "PEM file of the authorities to trust for the external server; empty for the system's",
		value: text(kindFile, func(c *Config) *string { return &c.Async.NATSCA }, checkFile),
	},
	{
		flag: "nats-replicas", key: "async.nats_replicas", def: "1", fixed: true,
		usage: "servers of the external cluster that keep each call, 1 to 5",
		value: between(func(c *Config) *int { return &c.Async.NATSReplicas }, 1, 5, "servers"),
	},
	{
		flag: "async-max-body", key: "async.max_body", def: "64MiB",
		usage: "size of an asynchronous request's body at most, 413 above",
		value: size(func(c *Config) *int64 { return &c.Async.MaxBody }, 1, 1<<40),
	},
	{
		flag: "async-max-store", key: "async.max_store", def: "4GiB", fixed: true,
		usage: "size of all that is kept, half of it for large bodies; new calls get 429 near it",
		value: size(func(c *Config) *int64 { return &c.Async.MaxStore }, 16<<20, 1<<50),
	},
	{
		flag: "async-max-response", key: "async.max_response", def: "256KiB",
		usage: "size of a response's body that is kept; of a larger one only the head is",
		value: size(func(c *Config) *int64 { return &c.Async.MaxResponse }, 0, 384<<10),
	},
	{
		flag: "async-attempts", key: "async.attempts", def: "3",
		usage: "attempts at a call; 0 is until it succeeds or expires",
		value: number(func(c *Config) *int { return &c.Async.Attempts }, maxAttempts, "attempts"),
	},
	{
		flag: "async-backoff", key: "async.backoff", def: "1s",
		usage: "time before the second attempt, at random up to it; doubled for each further one",
		value: duration(func(c *Config) *time.Duration { return &c.Async.Backoff }, time.Millisecond),
	},
	{
		flag: "async-backoff-max", key: "async.backoff_max", def: "5m",
		usage: "the most that it is doubled to",
		value: duration(func(c *Config) *time.Duration { return &c.Async.BackoffMax }, time.Millisecond),
	},
	{
		flag: "async-retry-statuses", key: "async.retry_statuses", def: "408,429,500,502,503,504",
		usage: "answers after which a call is tried again, from 400 to 599; empty is none. Others from 400 on are final",
		value: retryStatuses(),
	},
	{
		flag: "async-timeout", key: "async.timeout", def: "timeouts.request",
		usage:  "time for an attempt; 0 is off",
		value:  duration(func(c *Config) *time.Duration { return &c.Async.Timeout }, 0),
		derive: func(c *Config) { c.Async.Timeout = c.Timeouts.Request },
	},
	{
		flag: "async-max-age", key: "async.max_age", def: "6h",
		usage: "time from its acceptance, or from when it is due, within which an attempt at a call begins",
		value: duration(func(c *Config) *time.Duration { return &c.Async.MaxAge }, time.Second),
	},
	{
		flag: "async-retention", key: "async.retention", def: "1h",
		usage: "time that a call which has ended, and its response, can be asked for",
		value: duration(func(c *Config) *time.Duration { return &c.Async.Retention }, time.Second),
	},
	{
		flag: "async-key-retention", key: "async.key_retention", def: "24h",
		usage: "time that an idempotency key is remembered",
		value: duration(func(c *Config) *time.Duration { return &c.Async.KeyRetention }, time.Second),
	},
	{
		flag: "async-dead-letter-retention", key: "async.dead_letter_retention", def: "168h",
		usage: "time that a dead letter is kept",
		value: duration(func(c *Config) *time.Duration { return &c.Async.DeadRetention }, time.Second),
	},
	{
		flag: "async-min-share", key: "async.min_share", def: "0",
		usage: "per cent of the slots that asynchronous calls get before anybody else",
		value: between(func(c *Config) *int { return &c.Async.MinShare }, 0, 100, "slots in a hundred"),
	},
	{
		flag: "async-max-share", key: "async.max_share", def: "100",
		usage: "per cent of the slots that asynchronous calls may have at once",
		value: between(func(c *Config) *int { return &c.Async.MaxShare }, 1, 100, "slots in a hundred"),
	},
	{
		flag: "async-callbacks-allow", key: "async.callbacks_allow", def: "",
		usage: "hosts that callers may name in X-Callback-Url: example.com, *.example.com, an address or CIDR, or * for every host with public addresses, each with a port or without; only what is named otherwise than by * may be private; empty is none",
		value: hostRules(func(c *Config) *[]HostRule { return &c.Async.CallbacksAllow }),
	},
	{
		flag: "async-on-success", key: "async.on_success", def: "",
		usage: "who is told of calls that succeeded: a URL, or a subject of the external NATS server as in nats://orders.done; empty for nobody",
		value: text(kindURL, func(c *Config) *string { return &c.Async.OnSuccess }, checkDestination),
	},
	{
		flag: "async-on-failure", key: "async.on_failure", def: "",
		usage: "who is told of calls that failed or expired, as on_success",
		value: text(kindURL, func(c *Config) *string { return &c.Async.OnFailure }, checkDestination),
	},
	{
		flag: "async-destination-body", key: "async.destination_body", def: "record",
		usage: "what on_success and on_failure get: record (JSON about the call and its response) or response (as the function gave it)",
		value: choice(func(c *Config) *string { return &c.Async.DestinationBody }, "record", "response"),
	},
	{
		flag: "async-events", key: "async.events", def: "plain",
		usage: "cloudevents sends callbacks and what destinations get as CloudEvents in binary mode; plain does not",
		value: choice(func(c *Config) *string { return &c.Async.Events }, "plain", "cloudevents"),
	},
	{
		flag: "webhook-secrets", key: "async.webhook_secrets", def: "", fixed: true,
		usage: "file with the secrets that callbacks and destinations are signed with (Standard Webhooks), one on each line, read again when it changes",
		value: text(kindFile, func(c *Config) *string { return &c.Async.WebhookSecrets }, checkFile),
	},
	{
		flag: "webhook-timeout", key: "async.webhook_timeout", def: "15s",
		usage: "time for a receiver of callbacks to answer",
		value: duration(func(c *Config) *time.Duration { return &c.Async.WebhookTimeout }, 10*time.Millisecond),
	},
	{
		flag: "webhook-max-age", key: "async.webhook_max_age", def: "24h",
		usage: "time from a call's end in which its receivers are told again, with async.backoff between attempts",
		value: duration(func(c *Config) *time.Duration { return &c.Async.WebhookMaxAge }, time.Second),
	},
	{
		flag: "webhook-backoff-max", key: "async.webhook_backoff_max", def: "30m",
		usage: "the most that async.backoff is doubled to between attempts to tell a receiver",
		value: duration(func(c *Config) *time.Duration { return &c.Async.WebhookBackoffMax }, time.Millisecond),
	},
	{
		flag: "header-timeout", key: "client.header_timeout", def: "10s", fixed: true,
		usage: "time for a client to send the head of a request",
		value: duration(func(c *Config) *time.Duration { return &c.Client.HeaderTimeout }, time.Millisecond),
	},
	{
		flag: "client-idle-timeout", key: "client.idle_timeout", def: "75s", fixed: true,
		usage: "time a client's connection is kept between requests",
		value: duration(func(c *Config) *time.Duration { return &c.Client.IdleTimeout }, time.Millisecond),
	},
	{
		flag: "client-read-timeout", key: "client.read_timeout", def: "30s",
		usage: "time without progress of a request's body; 0 is off",
		value: duration(func(c *Config) *time.Duration { return &c.Client.ReadTimeout }, 0),
	},
	{
		flag: "client-write-timeout", key: "client.write_timeout", def: "30s",
		usage: "time without progress of a response to its client; 0 is off",
		value: duration(func(c *Config) *time.Duration { return &c.Client.WriteTimeout }, 0),
	},
	{
		flag: "max-header-bytes", key: "client.max_header_bytes", def: "64KiB", fixed: true,
		usage: "size of a request's head at most, 431 above",
		value: size(func(c *Config) *int { return &c.Client.MaxHeaderBytes }, 1<<10, 64<<20),
	},
	{
		flag: "max-body", key: "client.max_body", def: "0",
		usage: "size of a request's body at most, 413 above; 0 is unbounded",
		value: size(func(c *Config) *int64 { return &c.Client.MaxBodyBytes }, 0, 1<<60),
	},
	{
		flag: "http-engine", key: "client.http_engine", def: "own", fixed: true,
		usage: "what carries HTTP/1.x: own (weir's engine, where the function speaks plain HTTP/1.1) or nethttp (Go's server, at several times the CPU)",
		value: choice(func(c *Config) *string { return &c.Client.HTTPEngine }, "own", "nethttp"),
	},
	{
		flag: "tls-cert", key: "tls.cert", def: "", fixed: true,
		usage: "PEM file of the certificate and its chain; turns the data port to TLS",
		value: text(kindFile, func(c *Config) *string { return &c.TLS.Cert }, checkFile),
	},
	{
		flag: "tls-key", key: "tls.key", def: "", fixed: true,
		usage: "PEM file of the certificate's private key",
		value: text(kindFile, func(c *Config) *string { return &c.TLS.Key }, checkFile),
	},
	{
		flag: "tls-client-ca", key: "tls.client_ca", def: "", fixed: true,
		usage: "PEM file of authorities; clients must then present a certificate signed by one of them",
		value: text(kindFile, func(c *Config) *string { return &c.TLS.ClientCA }, checkFile),
	},
	{
		flag: "trusted-proxies", key: "trusted_proxies", def: "",
		usage: "addresses and CIDRs of proxies whose Forwarded and X-Forwarded-* fields are believed",
		value: trustedProxies(),
	},
	{
		flag: "metrics-listen", key: "metrics.listen", def: ":9464", fixed: true,
		usage: "port of /metrics, /healthz and /readyz, host:port",
		value: text(kindAddress, func(c *Config) *string { return &c.Metrics.Listen }, parseListen),
	},
	{
		flag: "metrics-compat", key: "metrics.compat", def: "", fixed: true,
		usage: "openfaas serves of-watchdog's metric names beside weir's own; empty does not",
		value: choice(func(c *Config) *string { return &c.Metrics.Compat }, "", "openfaas"),
	},
	{
		flag: "tracing-endpoint", key: "tracing.endpoint", def: "", fixed: true,
		usage: "URL that spans of requests are sent to, by OTLP over HTTP; without a path /v1/traces is meant; empty sends none",
		value: tracingEndpoint(),
	},
	{
		flag: "tracing-sample", key: "tracing.sample", def: "1",
		usage: "share of the traces that begin at weir which are recorded, from 0 to 1; a trace that a caller brings is recorded if the caller says so",
		value: share(func(c *Config) *float64 { return &c.Tracing.Sample }),
	},
	{
		flag: "tracing-headers-file", key: "tracing.headers_file", def: "", fixed: true,
		usage: "file with headers for the receiver of spans, one Name: value on each line, read anew each time; empty for none",
		value: text(kindFile, func(c *Config) *string { return &c.Tracing.HeadersFile }, checkFile),
	},
	{
		flag: "tracing-ca", key: "tracing.ca", def: "", fixed: true,
		usage: "PEM file of the authorities to trust for an https:// endpoint; empty for the system's",
		value: text(kindFile, func(c *Config) *string { return &c.Tracing.CA }, checkFile),
	},
	{
		flag: "tracing-service", key: "tracing.service", def: "weir", fixed: true,
		usage: "name that traces show weir by (service.name); the function's is in faas.name",
		value: text(kindText, func(c *Config) *string { return &c.Tracing.Service }, checkService),
	},
	{
		flag: "tracing-attributes", key: "tracing.attributes", def: "", fixed: true,
		usage: "what else is said of where spans come from, as key=value with percent-encoded values, such as k8s.pod.name=f-1 (the notation of OTEL_RESOURCE_ATTRIBUTES)",
		value: attributes(func(c *Config) *[]Attribute { return &c.Tracing.Attributes }),
	},
	{
		flag: "admin-listen", key: "admin.listen", def: "127.0.0.1:9465", fixed: true,
		usage: "port of the management API and the status page, host:port; empty is off",
		value: text(kindAddress, func(c *Config) *string { return &c.Admin.Listen }, parseListenOrNone),
	},
	{
		flag: "admin-token-file", key: "admin.token_file", def: "", fixed: true,
		usage: "file with the token that the management API asks for, read again when it changes; empty for none",
		value: text(kindFile, func(c *Config) *string { return &c.Admin.TokenFile }, checkFile),
	},
	{
		flag: "admin-tls-cert", key: "admin.tls_cert", def: "", fixed: true,
		usage: "PEM file of the certificate and its chain; turns the management API to TLS",
		value: text(kindFile, func(c *Config) *string { return &c.Admin.TLSCert }, checkFile),
	},
	{
		flag: "admin-tls-key", key: "admin.tls_key", def: "", fixed: true,
		usage: "PEM file of the certificate's private key",
		value: text(kindFile, func(c *Config) *string { return &c.Admin.TLSKey }, checkFile),
	},
	{
		flag: "admin-tls-client-ca", key: "admin.tls_client_ca", def: "", fixed: true,
		usage: "PEM file of authorities; operators must then present a certificate signed by one of them",
		value: text(kindFile, func(c *Config) *string { return &c.Admin.TLSClientCA }, checkFile),
	},
	{
		flag: "ready-path", key: "ready.path", def: "",
		usage: "path on the function that readiness is probed with; empty probes by connecting",
		value: text(kindPath, func(c *Config) *string { return &c.Ready.Path }, checkProbePath),
	},
	{
		flag: "ready-interval", key: "ready.interval", def: "2s",
		usage: "time between probes of the function",
		value: duration(func(c *Config) *time.Duration { return &c.Ready.Interval }, 10*time.Millisecond),
	},
	{
		flag: "ready-timeout", key: "ready.timeout", def: "1s, or ready.interval where that is less",
		usage:  "time for a probe to be answered; cannot be more than ready.interval",
		value:  duration(func(c *Config) *time.Duration { return &c.Ready.Timeout }, time.Millisecond),
		derive: func(c *Config) { c.Ready.Timeout = min(time.Second, c.Ready.Interval) },
	},
	{
		flag: "ready-fail-on-overload", key: "ready.fail_on_overload", def: "false",
		usage: "not ready while every slot is taken",
		value: boolean(func(c *Config) *bool { return &c.Ready.FailOnOverload }),
	},
	{
		flag: "drain-timeout", key: "drain.timeout", def: "30s",
		usage: "time for running requests to end once weir is told to stop",
		value: duration(func(c *Config) *time.Duration { return &c.Drain.Timeout }, time.Millisecond),
	},
	{
		flag: "drain-delay", key: "drain.delay", def: "0s",
		usage: "time that requests are still let in once weir is told to stop, so that load balancers notice; 0 is off",
		value: duration(func(c *Config) *time.Duration { return &c.Drain.Delay }, 0),
	},
	{
		flag: "startup-timeout", key: "startup_timeout", def: "60s", fixed: true,
		usage: "time for a started COMMAND to accept connections",
		value: duration(func(c *Config) *time.Duration { return &c.StartupTimeout }, time.Millisecond),
	},
	{
		flag: "openfaas", key: "openfaas", def: "auto", fixed: true,
		usage: "stand in for of-watchdog: auto (where its environment is recognised), on or off",
		value: openFaaS(),
	},
	{
		flag: "log-level", key: "log.level", def: "info",
		usage: "least level that is logged",
		value: choice(func(c *Config) *string { return &c.Log.Level }, "debug", "info", "warn", "error"),
	},
	{
		flag: "log-format", key: "log.format", def: "text", fixed: true,
		usage: "format of the log",
		value: choice(func(c *Config) *string { return &c.Log.Format }, "text", "json"),
	},
	{
		flag: "access-log", key: "log.access", def: "off",
		usage: "requests that are logged: off, errors (those that failed or were refused), sampled (one in access-log-every, whatever became of it) or all",
		value: choice(func(c *Config) *string { return &c.Log.Access }, "off", "errors", "sampled", "all"),
	},
	{
		flag: "access-log-every", key: "log.access_every", def: "100",
		usage: "one in so many requests is logged, at random, with access-log sampled",
		value: number(func(c *Config) *int { return &c.Log.AccessEvery }, 1_000_000_000, "requests"),
	},
}
