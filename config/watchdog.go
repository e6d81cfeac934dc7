package config

import (
	"strconv"
	"strings"
)

// watchdogVariable is a variable that of-watchdog reads, and what weir makes of
// it where it stands in for of-watchdog. The table in docs/of-watchdog.md comes
// from here.
//
// of-watchdog falls back to a default on what it cannot read (an unreadable
// max_inflight is no limit there); here that is an error.
type watchdogVariable struct {
	// names of the variable; of those that are set, the last one counts, as it
	// does for of-watchdog.
	names []string
	// marks variables that nobody but of-watchdog reads, more or less: one of
	// them tells that the environment is meant for it.
	marks bool
	to    []watchdogTarget
	// refuse says why a value that is neither empty nor false is an error,
	// where to ignore it would change what a function is exposed to.
	refuse string
	theirs string // what it means to of-watchdog
	ours   string // what weir makes of it
}

// watchdogTarget is a setting that a variable gives a value to.
type watchdogTarget struct {
	key string
	// convert turns the variable's text into the setting's notation; nil where
	// they are the same. "" leaves the setting alone.
	convert func(text string) (string, error)
}

// watchdogCommand is the one thing to set that is no setting: COMMAND ARGS... of weir run.
const watchdogCommand = "COMMAND"

var watchdogVariables = []watchdogVariable{
	{
		names: []string{"mode"}, marks: true,
		theirs: "how requests reach the function: http, streaming, serializing, static, inproc",
		ours:   "http, or not set, is what weir does; everything else is an error, because weir starts the function once and speaks HTTP to it",
	},
	{
		names: []string{"fprocess", "function_process"}, marks: true,
		to:     []watchdogTarget{{key: watchdogCommand}},
		theirs: "command line of the function, split at spaces, without quotes or a shell",
		ours:   "the same, where weir run is given no COMMAND of its own",
	},
	{
		names: []string{"upstream_url", "http_upstream_url"}, marks: true,
		to:     []watchdogTarget{{key: "upstream.url"}},
		theirs: "where the function listens",
		ours:   "the same; a path in it is an error",
	},
	{
		names:  []string{"port"},
		to:     []watchdogTarget{{key: "listen", convert: portToListen}},
		theirs: "port to listen on, 8080 by default",
		ours:   "the same, on all addresses",
	},
	{
		names:  []string{"max_inflight"},
		to:     []watchdogTarget{{key: "limits.max_inflight"}},
		theirs: "requests running at once, 429 beyond it; 0, the default, is no limit",
		ours:   "the same: 0 only meters. Not set, weir's own default of 100 holds; set max_inflight=0 for of-watchdog's",
	},
	{
		names:  []string{"exec_timeout"},
		to:     []watchdogTarget{{key: "timeouts.request", convert: secondsToDuration}},
		theirs: "time for a request to the function, 10s by default; 0 is off",
		ours:   "the same, 60s by default: 504 before the response has started, an aborted connection after",
	},
	{
		names:  []string{"read_timeout"},
		to:     []watchdogTarget{{key: "client.read_timeout", convert: secondsToDuration}},
		theirs: "time to read a whole request, head and body, 10s by default",
		ours:   "time without progress of the body: a slow upload that does not stall is not cut. The head has --header-timeout",
	},
	{
		names:  []string{"write_timeout"},
		to:     []watchdogTarget{{key: "client.write_timeout", convert: secondsToDuration}},
		theirs: "time from the end of a request's head to the end of its response, 10s by default; also the time to drain on SIGTERM",
		ours:   "time without progress of the response: a long download that does not stall is not cut. The time to drain is --drain-timeout",
	},
	{
		names: []string{"healthcheck_interval"},
		to: []watchdogTarget{
			{key: "ready.interval", convert: secondsUnlessZero},
			{key: "drain.delay", convert: secondsToDuration},
		},
		theirs: "interval of the orchestrator's health checks: on SIGTERM, requests are taken for so long before the port closes; write_timeout by default",
		ours:   "the same on SIGTERM, and the interval of weir's own probe unless 0. Not set, weir's own defaults hold",
	},
	{
		names:  []string{"ready_path"},
		to:     []watchdogTarget{{key: "ready.path", convert: rootedPath}},
		theirs: "path on the function that GET /_/ready asks",
		ours:   "path of weir's own probe, whose last outcome /_/ready answers with. A full instance stays ready unless --ready-fail-on-overload",
	},
	{
		names:  []string{"jwt_auth"},
		refuse: "weir checks no tokens, and without it the function would be open to all",
		theirs: "requires a function access token of each request (OpenFaaS for Enterprises)",
		ours:   "true is an error: weir does not check tokens",
	},
	{
		names:  []string{"oauth_enabled"},
		refuse: "weir has no login and checks no session cookie, which the function would then trust unchecked",
		theirs: "browser login in front of the function, checks of its session cookie",
		ours:   "true is an error: weir has no login and checks no cookie",
	},
	{
		names:  []string{"one_shot"},
		refuse: "weir serves more than one request for each start",
		theirs: "stops after the first request",
		ours:   "true is an error: weir does not stop by itself",
	},
	{
		names:  []string{"http_buffer_req_body", "buffer_http"},
		theirs: "buffers a request's body, for functions that cannot read a chunked one",
		ours:   "not applicable: bodies are streamed as they were sent",
	},
	{
		names:  []string{"prefix_logs"},
		theirs: "puts time and stream in front of each line that the function logs",
		ours:   "not applicable: the function's output passes unchanged",
	},
	{
		names:  []string{"log_buffer_size"},
		theirs: "longest line that the function may log",
		ours:   "not applicable: lines of any length pass",
	},
	{
		names:  []string{"log_call_id"},
		theirs: "adds X-Call-Id to the access log",
		ours:   "not applicable: see --access-log",
	},
	{
		names:  []string{"suppress_lock"},
		theirs: "writes no lock file in the temporary directory",
		ours:   "not applicable: weir writes no file, its health is on /healthz",
	},
	{
		names:  []string{"static_path"},
		theirs: "directory that mode=static serves",
		ours:   "not applicable, as is that mode",
	},
	{
		names:  []string{"content_type"},
		theirs: "content type of responses in the forking modes",
		ours:   "not applicable, as are these modes",
	},
	{
		names:  []string{"jwt_auth_local", "jwt_auth_debug", "jwt_auth_issuer"},
		theirs: "details of jwt_auth",
		ours:   "not applicable without it",
	},
}

// recognizeWatchdog gives the name of a variable that tells that the environment
// is meant for of-watchdog. Generic names such as port and max_inflight, which
// other programs read too, do not.
func recognizeWatchdog(env environment) (string, bool) {
	for _, v := range watchdogVariables {
		if !v.marks {
			continue
		}
		if name, _, ok := v.lookup(env); ok {
			return name, true
		}
	}
	return "", false
}

// lookup gives the name and the text of a variable that is set and not empty:
// of-watchdog takes an empty one for one that is not set.
func (v *watchdogVariable) lookup(env environment) (name, text string, ok bool) {
	for _, n := range v.names {
		if t := env[n]; t != "" {
			name, text, ok = n, t, true
		}
	}
	return name, text, ok
}

// readWatchdog gives what of-watchdog's environment says, and the command that
// it starts.
func (l *loading) readWatchdog(env environment) (out []given, command []string, from Origin) {
	m := &l.mistakes
	for _, v := range watchdogVariables {
		name, text, ok := v.lookup(env)
		if !ok {
			continue
		}
		origin := Origin{From: FromWatchdog, Name: name}
		if name == "mode" && text != "http" {
			m.add(name, origin, "%s is not supported: weir starts the function once and speaks HTTP to it, as mode=http does; "+
				"set openfaas off if this variable is not meant for of-watchdog", quote(text))
		}
		if v.refuse != "" && text != "false" && text != "0" {
			m.add(name, origin, "%s is not supported: %s; unset it if that is meant", quote(text), v.refuse)
		}
		for _, target := range v.to {
			if target.key == watchdogCommand {
				command, from = splitCommand(text), origin
				if len(command) == 0 {
					m.add(name, origin, "%s names no command", quote(text))
				}
				continue
			}
			s, converted := settingByKey(l.table, target.key), text
			if target.convert != nil {
				var err error
				if converted, err = target.convert(text); err != nil {
					m.add(s.key, origin, "%s", err)
					l.unusable[s.key] = true
					continue
				}
			}
			if converted != "" {
				out = append(out, given{setting: s, text: converted, origin: origin})
			}
		}
	}
	return out, command, from
}

// splitCommand splits at spaces, and at nothing else, as of-watchdog does. It
// leaves out the empty arguments that two spaces in a row give there.
func splitCommand(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
}

func portToListen(text string) (string, error) {
	n, ok := parsePort(text)
	if !ok || n == 0 || strconv.Itoa(n) != text {
		return "", notValue(text, "is not a port from 1 to 65535")
	}
	return ":" + text, nil
}

func secondsToDuration(text string) (string, error) {
	d, err := parseSeconds(text)
	if err != nil {
		return "", err
	}
	return formatDuration(d), nil
}

func secondsUnlessZero(text string) (string, error) {
	d, err := parseSeconds(text)
	if err != nil || d == 0 {
		return "", err
	}
	return formatDuration(d), nil
}

// rootedPath puts the slash in front that of-watchdog does without.
func rootedPath(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "/" + text, nil
	}
	return text, nil
}
