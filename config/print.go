package config

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print writes the effective value of each setting, with a comment that says
// where it came from. What it writes is a valid configuration file of the same
// effect; only COMMAND and secrets are not part of it.
func (l *Loaded) Print(w io.Writer) error { return l.print(w, settings) }

func (l *Loaded) print(w io.Writer, table []*setting) error {
	p := &printer{}
	if len(l.Config.Command) > 0 {
		origin := "command line"
		if l.command.From == FromWatchdog {
			origin = l.command.String()
		}
		// The arguments stay out: they may hold what is nobody's business.
		p.line(0, "# COMMAND: "+quote(l.Config.Command[0]), origin)
	}
	in := ""
	for _, s := range table {
		section, name := s.section()
		if section != in && section != "" {
			p.line(0, section+":", "")
		}
		in = section
		depth := 0
		if section != "" {
			depth = 1
		}
		text, err := s.yaml(l.Config)
		if err != nil {
			return fmt.Errorf("print %s: %w", s.key, err)
		}
		if s.secret {
			p.line(depth, "# "+name+": "+s.shown(text), l.Origins[s.key].String())
			continue
		}
		p.line(depth, name+": "+text, l.Origins[s.key].String())
	}
	if len(l.Config.Routes) > 0 {
		p.line(0, routesKey+":", "")
	}
	for i, r := range l.Config.Routes {
		text, err := r.yaml()
		if err != nil {
			return fmt.Errorf("print route %s: %w", r.Path, err)
		}
		p.line(1, "- "+text, l.Origins[fmt.Sprintf("%s[%d]", routesKey, i)].String())
	}
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct{ out bytes.Buffer }

func (p *printer) line(depth int, text, origin string) {
	p.out.WriteString(strings.Repeat("  ", depth))
	p.out.WriteString(text)
	if origin != "" {
		p.out.WriteString(" # ")
		p.out.WriteString(origin)
	}
	p.out.WriteByte('\n')
}

// yaml gives the effective value as a YAML scalar or list on one line.
func (s *setting) yaml(c *Config) (string, error) {
	text := s.value.get(c)
	switch s.value.kind {
	case kindNumber, kindBool, kindSize, kindDuration, kindShare:
		return text, nil // never in need of quotes
	case kindList:
		var items []string
		if text != "" {
			items = strings.Split(text, ",")
		}
		return oneLine(listNode(items))
	}
	return yamlText(text)
}

// yamlText gives a text as a YAML scalar, in quotes where it needs them.
func yamlText(text string) (string, error) {
	out, err := yaml.Marshal(text)
	return strings.TrimSuffix(string(out), "\n"), err
}

// oneLine gives a collection in flow style, on one line.
func oneLine(n *yaml.Node) (string, error) {
	n.Style = yaml.FlowStyle
	out, err := yaml.Marshal(n)
	return strings.TrimSuffix(string(out), "\n"), err
}

func scalarNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func listNode(items []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, item := range items {
		node := scalarNode(item)
		if isNumber(item) { // which an item may be without quotes
			node = &yaml.Node{Kind: yaml.ScalarNode, Value: item}
		}
		n.Content = append(n.Content, node)
	}
	return n
}

// yaml gives the route as a mapping on one line.
func (r Route) yaml() (string, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) { n.Content = append(n.Content, scalarNode(key), value) }
	add("path", scalarNode(r.Path))
	if len(r.Methods) > 0 {
		add("methods", listNode(r.Methods))
	}
	if r.Overflow != "" {
		add("overflow", scalarNode(string(r.Overflow)))
	}
	if r.Priority != "" {
		add("priority", scalarNode(r.Priority))
	}
	if r.Rate.Requests > 0 {
		add("rate", scalarNode(r.Rate.String()))
	}
	if r.Timeout != nil {
		add("timeout", scalarNode(formatDuration(*r.Timeout)))
	}
	if r.ResponseStartTimeout != nil {
		add("response_start_timeout", scalarNode(formatDuration(*r.ResponseStartTimeout)))
	}
	if r.OnClientAbort != "" {
		add("on_client_abort", scalarNode(string(r.OnClientAbort)))
	}
	if r.Invoke != "" {
		add("invoke", scalarNode(string(r.Invoke)))
	}
	if r.FullDuplex {
		add("full_duplex", &yaml.Node{Kind: yaml.ScalarNode, Value: "true"})
	}
	r.Async.addTo(add)
	return oneLine(n)
}

func (r *RouteAsync) addTo(add func(key string, value *yaml.Node)) {
	number := func(n int) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.Itoa(n)} }
	if r.Attempts != nil {
		add("async_attempts", number(*r.Attempts))
	}
	for _, d := range []struct {
		key   string
		value *time.Duration
	}{
		{"async_backoff", r.Backoff},
		{"async_backoff_max", r.BackoffMax},
		{"async_timeout", r.Timeout},
		{"async_max_age", r.MaxAge},
		{"async_retention", r.Retention},
		{"async_dead_letter_retention", r.DeadRetention},
	} {
		if d.value != nil {
			add(d.key, scalarNode(formatDuration(*d.value)))
		}
	}
	if r.RetryStatuses != nil {
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, n := range *r.RetryStatuses {
			list.Content = append(list.Content, number(n))
		}
		add("async_retry_statuses", list)
	}
}
