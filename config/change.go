package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Section gives the effective value of each setting of a section by its name in
// the file: an int, a bool, a string, or a []string for a list. Secrets are left
// out.
func (c *Config) Section(section string) map[string]any { return c.section(section, settings) }

func (c *Config) section(section string, table []*setting) map[string]any {
	values := map[string]any{}
	for _, s := range table {
		if in, name := s.section(); in == section && !s.secret {
			values[name] = s.plain(c)
		}
	}
	return values
}

// Fixed gives the names of those settings of a section that need a restart to change,
// sorted.
func Fixed(section string) []string {
	var names []string
	for _, s := range settings {
		if in, name := s.section(); in == section && s.fixed && !s.secret {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// plain gives the effective value as JSON and YAML have it.
func (s *setting) plain(c *Config) any {
	text := s.value.get(c)
	switch s.value.kind {
	case kindNumber:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case kindBool:
		return text == "true"
	case kindList:
		if text == "" {
			return []string{}
		}
		return strings.Split(text, ",")
	}
	return text
}

// With gives the configuration with some settings of a section changed while
// weir runs, by name: a json.Number, bool, string or []any of strings for each.
// Settings of the sections named in others may be among them, by key: callers.rate; so
// may settings whose keys are in others, and where that has "routes", rates of routes by
// the names that RouteRates gives.
// It is validated as a file is; Errors name every mistake, with the key of its
// setting. l stays as it is. Defaults that depend on what is changed follow.
func (l *Loaded) With(section string, values map[string]any, others ...string) (*Config, error) {
	return l.with(section, values, others, settings)
}

func (l *Loaded) with(section string, values map[string]any, others []string, table []*setting) (*Config, error) {
	copied := *l.Config
	copied.Routes = slices.Clone(copied.Routes)
	w := &loading{table: table, config: &copied, origins: Origins{}, unusable: map[string]bool{}}
	maps.Copy(w.origins, l.Origins)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		in, short := section, name
		if other, rest, dotted := strings.Cut(name, "."); dotted && (slices.Contains(others, other) || slices.Contains(others, name)) {
			in, short = other, rest
		}
		if in == routesKey {
			if err := changeRouteRate(copied.Routes, name, values[name]); err != nil {
				w.mistakes.add(name, Origin{From: FromAPI}, "%s", err)
			}
			continue
		}
		key := in + "." + short
		s := settingByKey(table, key)
		if s == nil || in == "" {
			w.mistakes.add(key, Origin{From: FromAPI}, "unknown setting, %s", w.suggest(in, short))
			continue
		}
		if s.fixed || s.secret {
			w.mistakes.add(key, Origin{From: FromAPI}, "needs a restart to change")
			continue
		}
		text, err := s.text(values[name])
		if err != nil {
			w.unusable[key] = true
			w.mistakes.add(key, Origin{From: FromAPI}, "%s", err)
			continue
		}
		w.set(given{setting: s, text: text, origin: Origin{From: FromAPI}})
	}
	w.derive()
	for i, r := range copied.Routes {
		w.routes = append(w.routes, &locatedRoute{Route: r, name: fmt.Sprintf("%s[%d]", routesKey, i)})
	}
	w.relate()
	// Other sections were valid when they were taken over. A file of theirs that is
	// just being replaced is no reason to refuse.
	w.mistakes.errs = slices.DeleteFunc(w.mistakes.errs, func(e *Error) bool {
		in, _, _ := strings.Cut(e.Key, ".")
		return in != section && !slices.Contains(others, in) && !slices.Contains(others, e.Key) && !strings.HasPrefix(e.Key, routesKey+"[")
	})
	if err := w.mistakes.err(); err != nil {
		return nil, err
	}
	return &copied, nil
}

// rateName is the route's rate as changes name it: routes./slow.rate, with its methods
// routes.PUT,POST/slow.rate.
func (r *Route) rateName() string {
	return routesKey + "." + strings.Join(r.Methods, ",") + r.Path + ".rate"
}

// RouteRates gives the rate of each route by the name that With knows it by, "0" where it
// has none.
func (c *Config) RouteRates() map[string]string {
	rates := make(map[string]string, len(c.Routes))
	for i := range c.Routes {
		rates[c.Routes[i].rateName()] = c.Routes[i].Rate.String()
	}
	return rates
}

// changeRouteRate changes the rate of one of the routes.
func changeRouteRate(routes []Route, name string, v any) error {
	i := slices.IndexFunc(routes, func(r Route) bool { return r.rateName() == name })
	if i < 0 {
		names := make([]string, len(routes))
		for i := range routes {
			names[i] = routes[i].rateName()
		}
		switch best := nearest(name, names); {
		case best != "":
			return fmt.Errorf("no route has this name, did you mean %s?", best)
		case len(names) == 0:
			return errors.New("there are no routes")
		}
		return fmt.Errorf("no route has this name; the rate of the route for %s is %s", routes[0].Path, names[0])
	}
	text := ""
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	default:
		return errors.New("is not a rate")
	}
	rate, err := parseRate(text)
	if err != nil {
		return err
	}
	routes[i].Rate = rate
	return nil
}

// suggest gives the setting of the section that was probably meant.
func (l *loading) suggest(section, name string) string {
	var names []string
	for _, s := range l.table {
		if in, n := s.section(); in == section {
			names = append(names, n)
		}
	}
	if best := nearest(name, names); best != "" {
		return "did you mean " + best + "?"
	}
	return "there are " + strings.Join(names, ", ")
}

// text gives what set reads for a value of JSON. Its type must be the one that
// plain gives: "10" is no number there, as it is none in a file.
func (s *setting) text(v any) (string, error) {
	switch v := v.(type) {
	case json.Number:
		return v.String(), nil // a size or a duration says itself that it wants a unit
	case bool:
		if s.value.kind == kindBool {
			return strconv.FormatBool(v), nil
		}
		return "", fmt.Errorf("is a boolean, not a %s", s.value.kind)
	case string:
		switch s.value.kind {
		case kindNumber:
			if isNumber(v) {
				return "", fmt.Errorf("is a text, not a %s: leave the quotes out", s.value.kind)
			}
		case kindBool:
			return "", fmt.Errorf("is a text, not a %s: leave the quotes out", s.value.kind)
		case kindList:
			return "", fmt.Errorf("is a text, not a %s", s.value.kind)
		}
		return v, nil
	case []any:
		if s.value.kind != kindList {
			return "", fmt.Errorf("is a list, not a %s", s.value.kind)
		}
		items := make([]string, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok || strings.Contains(text, ",") {
				return "", fmt.Errorf("has an item (no. %d) that is no plain text", i+1)
			}
			if err := s.value.item(text); err != nil {
				return "", err
			}
			items[i] = text
		}
		return strings.Join(items, ","), nil
	}
	return "", fmt.Errorf("is not a %s", s.value.kind)
}
