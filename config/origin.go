package config

import (
	"fmt"
	"strings"
)

// From is a layer of a configuration. A higher one wins over a lower one.
type From int

// The layers, lowest first.
const (
	FromDefault  From = iota // nobody set it
	FromFile                 // the YAML file
	FromWatchdog             // of-watchdog's environment
	FromEnv                  // a WEIR_* variable
	FromFlag                 // the command line
	FromAPI                  // the management API, while weir runs
)

// Origin says where a value came from. The zero value is the default.
type Origin struct {
	From From
	// Name is the file's path as it was given, the variable's name, or the
	// flag's name without its dashes. Empty for a default.
	Name string
	// Line counts from 1; 0 outside of files and for a file as a whole.
	Line int
	// Detail says how a value was worked out that was not simply written down:
	// "limits.max_inflight x 10".
	Detail string
}

// Origins holds where each value came from, by YAML key; routes[0],
// routes[1], ... are the routes in the order of Config.Routes.
type Origins map[string]Origin

// String gives the origin as Loaded.Print shows it: "flag --listen",
// "WEIR_LISTEN", "weir.yaml:7", "port (of-watchdog)", "default".
func (o Origin) String() string {
	s := "default"
	switch o.From {
	case FromFlag:
		s = "flag --" + o.Name
	case FromAPI:
		s = o.place()
	case FromWatchdog:
		s = o.Name + " (of-watchdog)"
	case FromEnv, FromFile:
		s = o.place()
	}
	if o.Detail != "" {
		s += " (" + o.Detail + ")"
	}
	return s
}

// place gives the origin as an error names it; empty for a default.
func (o Origin) place() string {
	switch o.From {
	case FromFlag:
		return "--" + o.Name
	case FromEnv:
		return o.Name
	case FromAPI:
		return "the management API"
	case FromWatchdog:
		return o.Name + " in the environment"
	case FromFile:
		name := o.Name
		if strings.ContainsFunc(name, isControl) {
			name = quote(name)
		}
		if o.Line > 0 {
			return fmt.Sprintf("%s:%d", name, o.Line)
		}
		return name
	}
	return ""
}

func isControl(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}
