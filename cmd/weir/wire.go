package main

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"weir/config"
	"weir/limits"
	"weir/limits/ramp"
	"weir/limits/rate"
	"weir/proxy"
)

// What the rooms need of the configuration, each in its own terms.

func policy(c *config.Config) limits.Policy {
	p := limits.Policy{
		MaxInflight:  c.Limits.MaxInflight,
		Overflow:     overflow(c.Limits.Overflow),
		QueueDepth:   c.Limits.QueueDepth,
		QueueTimeout: c.Limits.QueueTimeout,

		AsyncMinShare: float64(c.Async.MinShare) / 100, AsyncMaxShare: float64(c.Async.MaxShare) / 100,
		StrictQueue: c.Limits.QueueOrder == config.QueueFIFO,
	}
	if c.Limits.MaxInflight == config.MaxInflightAuto {
		p.MaxInflight, p.Auto = 0, &limits.Auto{Min: c.Limits.MinInflight, Ceiling: c.Limits.MaxInflightCeiling}
	}
	p.Rate = rateLimit(c.Limits.Rate)
	p.Ramp = ramp.Policy{PerMinute: c.Limits.Ramp, Retention: c.Limits.RampRetention}
	p.DryRun = c.Limits.DryRun
	if c.Callers.Kind != "" {
		p.Callers = &limits.Callers{
			MaxInflight: c.Callers.MaxInflight, Rate: rateLimit(c.Callers.Rate), Remembered: c.Callers.Remembered, DryRun: c.Callers.DryRun,
		}
	}
	return p
}

func rateLimit(r config.Rate) rate.Limit {
	return rate.Limit{Calls: r.Requests, Period: r.Period, Burst: r.Burst}
}

// routeRates holds the rates of routes over reloads: what has been used of a route's
// rate stays used while the route stands.
type routeRates map[string]*limits.Rate

// of is the rate of a route, nil where it has none.
func (rates routeRates) of(r config.Route) *limits.Rate {
	if r.Rate.Requests == 0 {
		return nil
	}
	key := r.Path + " " + strings.Join(r.Methods, ",")
	if rates[key] == nil {
		rates[key] = limits.NewRate(rateLimit(r.Rate))
	}
	rates[key].Set(rateLimit(r.Rate))
	return rates[key]
}

func callerKey(c *config.Config) proxy.CallerKey {
	kinds := map[string]proxy.CallerKind{
		"": proxy.CallerUnknown, "header": proxy.CallerHeader, "certificate": proxy.CallerCertificate, "jwt": proxy.CallerJWT, "address": proxy.CallerAddress,
	}
	kind, ok := kinds[c.Callers.Kind]
	if !ok {
		panic(fmt.Sprintf("caller key %q passed validation", c.Callers.Kind))
	}
	return proxy.CallerKey{Kind: kind, Name: c.Callers.Name}
}

func priority(name string) limits.Priority {
	if name == "" {
		return limits.Critical
	}
	p, err := limits.ParsePriority(name)
	if err != nil {
		panic(fmt.Sprintf("priority passed validation: %v", err))
	}
	return p
}

// maxInflight is the limit as an operator would write it.
func maxInflight(c *config.Config) string {
	if c.Limits.MaxInflight == config.MaxInflightAuto {
		return "auto"
	}
	return strconv.Itoa(c.Limits.MaxInflight)
}

func overflow(o config.Overflow) limits.Overflow {
	switch o {
	case "":
		return limits.OverflowDefault
	case config.OverflowReject, config.OverflowAsync: // refused by the gate, and then run later
		return limits.OverflowReject
	case config.OverflowWait:
		return limits.OverflowWait
	}
	panic(fmt.Sprintf("overflow %q passed validation", o))
}

func settings(c *config.Config, rates routeRates) proxy.Settings {
	s := proxy.Settings{
		RequestTimeout:       c.Timeouts.Request,
		ResponseStartTimeout: c.Timeouts.ResponseStart,
		IdleTimeout:          c.Timeouts.Idle,
		ClientReadTimeout:    c.Client.ReadTimeout,
		ClientWriteTimeout:   c.Client.WriteTimeout,
		MaxBodyBytes:         c.Client.MaxBodyBytes,
		FinishAborted:        c.OnClientAbort == config.AbortFinish,
		TrustedProxies:       c.TrustedProxies,
		AccessLog:            accessLog(c.Log.Access),
		AccessEvery:          c.Log.AccessEvery,
		Caller:               callerKey(c),
		PriorityField:        c.Limits.PriorityHeader,
		DeadlineField:        c.Limits.DeadlineHeader,
	}
	s.LoopName, s.MaxLoop = proxy.LoopName(c.Function.Name), c.Limits.MaxLoop
	if c.Async.Enabled {
		s.Async = &proxy.AsyncSettings{Function: c.Function.Name, MaxBody: c.Async.MaxBody, Spill: c.Limits.Overflow == config.OverflowAsync}
	}
	for _, r := range c.Routes {
		route := proxy.Route{
			Path: r.Path, Methods: r.Methods, Overflow: overflow(r.Overflow), Priority: priority(r.Priority), Rate: rates.of(r),
			Spill: r.Overflow == config.OverflowAsync, Async: r.Invoke == config.InvokeAsync,
			RequestTimeout: r.Timeout, ResponseStartTimeout: r.ResponseStartTimeout, FullDuplex: r.FullDuplex,
		}
		if r.OnClientAbort != "" {
			finish := r.OnClientAbort == config.AbortFinish
			route.FinishAborted = &finish
		}
		s.Routes = append(s.Routes, route)
	}
	return s
}

func accessLog(which string) proxy.AccessLog {
	switch which {
	case "off":
		return proxy.AccessOff
	case "errors":
		return proxy.AccessErrors
	case "sampled":
		return proxy.AccessSampled
	case "all":
		return proxy.AccessAll
	}
	panic(fmt.Sprintf("access log %q passed validation", which))
}

func probeOptions(c *config.Config) proxy.ProbeOptions {
	return proxy.ProbeOptions{Path: c.Ready.Path, Interval: c.Ready.Interval, Timeout: c.Ready.Timeout}
}

// logger writes to w as configured; level follows reloads.
func logger(w io.Writer, c *config.Config, level *slog.LevelVar) *slog.Logger {
	setLevel(level, c)
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func setLevel(level *slog.LevelVar, c *config.Config) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Log.Level)); err != nil {
		panic(fmt.Sprintf("log level %q passed validation: %v", c.Log.Level, err))
	}
	level.Set(l)
}
