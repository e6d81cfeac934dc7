package inject

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An edit collects what operations change in a document's lines.
type edit struct {
	*tree
	style   blockStyle
	changes []change
	splices []splice // inside of lines
}

// A splice puts text in the place of some bytes of a line.
type splice struct {
	line, from, to int
	text           string
}

// rewrite returns the lines with the operations done, between marks. The paths
// are those of the document.
func (t *tree) rewrite(ops []op, style blockStyle) ([]line, error) {
	// What comes after the last line needs a break there, which would become part of
	// the text.
	if last := len(t.lines) - 1; last >= 0 && t.lines[last].end == "" && t.literal()[last] {
		return nil, placef(last, "the file ends in a text of several lines, without a newline: end it with one")
	}
	e := &edit{tree: t, style: style}
	for _, o := range ops {
		if err := e.do(o); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(e.splices, func(a, b splice) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.from, b.from))
	})
	for len(e.splices) > 0 {
		i := e.splices[0].line
		old, text, next := t.lines[i].text, "", 0
		for len(e.splices) > 0 && e.splices[0].line == i {
			s := e.splices[0]
			if s.from < next {
				return nil, placef(i, "two changes of one place")
			}
			text += old[next:s.from] + s.text
			next, e.splices = s.to, e.splices[1:]
		}
		e.changes = append(e.changes, change{from: i, to: i + 1, indent: indentOf(old), lines: []string{text + old[next:]}})
	}
	lines, err := mark(t.lines, e.changes)
	if err != nil {
		return nil, placef(0, "%v: write the pod template in block style", err)
	}
	return lines, nil
}

func (e *edit) do(o op) error {
	value, err := plain(o.Value)
	if err != nil {
		return err
	}
	last := o.Path[len(o.Path)-1]
	parent, entry, old, err := e.find(o.Path)
	switch {
	case err != nil:
		return err
	case parent == nil:
		return placef(0, "there is no %s", o.Path)
	case parent.Kind == yaml.AliasNode:
		_, _, err := e.step(parent, last)
		return err
	case o.Op == "remove" && old != nil:
		return e.remove(entry, old)
	case o.Op == "add" && last == "-" && parent.Kind == yaml.SequenceNode && len(parent.Content) > 0:
		return e.appendTo(parent, value)
	case old != nil:
		return e.replace(entry, old, value)
	case o.Op == "add" && parent.Kind == yaml.MappingNode:
		return e.addTo(parent, last, value)
	}
	return placef(e.lineOf(o.Path), "%s %s: there is no place for it", o.Op, o.Path)
}

func isFlow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

// addTo puts a key into a mapping.
func (e *edit) addTo(m *yaml.Node, key string, value any) error {
	if isFlow(m) || len(m.Content) == 0 {
		at, err := e.offset(m)
		if err != nil {
			return err
		}
		at = at + strings.IndexByte(e.lines[m.Line-1].text[at:], '{') + 1
		text := flow(key) + ": " + flow(value)
		if len(m.Content) > 0 {
			text += ","
			if !isBlank(e.lines[m.Line-1].text[at:]) {
				text += " "
			}
		}
		e.splices = append(e.splices, splice{m.Line - 1, at, at, text})
		return nil
	}
	indent := m.Content[0].Column - 1
	lines := e.style.entry(key, value, indent)
	// What comes before the containers for readers stands before them in the file.
	if containers, _, err := e.step(m, "containers"); err == nil && containers != nil && e.ownLine(containers) {
		i := containers.Line - 1
		for i > 0 && isComment(e.lines[i-1].text) && indentOf(e.lines[i-1].text) == indent {
			i--
		}
		e.changes = append(e.changes, change{from: i, to: i, indent: indent, lines: lines})
		return nil
	}
	i := e.after(m.Content[len(m.Content)-1], indent+1)
	e.changes = append(e.changes, change{from: i, to: i, indent: indent, lines: lines})
	return nil
}

// appendTo puts an element at the end of a sequence that has some.
func (e *edit) appendTo(s *yaml.Node, value any) error {
	if isFlow(s) {
		line, at, err := e.closing(s)
		if err != nil {
			return err
		}
		text := e.lines[line].text
		comma := ", "
		if strings.HasSuffix(strings.TrimRight(text[:at], " \t"), ",") {
			comma = ""
		}
		e.splices = append(e.splices, splice{line, at, at, comma + flow(value)})
		return nil
	}
	indent := s.Column - 1
	i := e.after(s.Content[len(s.Content)-1], indent+2)
	e.changes = append(e.changes, change{from: i, to: i, indent: indent, lines: e.style.element(value, indent), element: true})
	return nil
}

// replace puts a value in the place of another.
func (e *edit) replace(key, old *yaml.Node, value any) error {
	if from, to, ok := e.oneLine(old); ok {
		text := flow(value)
		if _, isMap := value.(map[string]any); !isMap && old.Style == 0 {
			text = scalar(value)
		}
		e.splices = append(e.splices, splice{old.Line - 1, from, to, text})
		return nil
	}
	if key != nil && e.ownLine(key) && !e.inFlow(key) {
		indent := key.Column - 1
		e.changes = append(e.changes, change{from: key.Line - 1, to: e.after(old, key.Column), indent: indent, lines: e.style.entry(key.Value, value, indent)})
		return nil
	}
	return placef(old.Line-1, "weir has to replace what is written here: write it on lines of its own, in block style")
}

// remove takes an entry away. Where it shares its line, its value becomes null,
// which is the same to Kubernetes.
func (e *edit) remove(key, old *yaml.Node) error {
	if key != nil && e.ownLine(key) && !e.inFlow(key) {
		e.changes = append(e.changes, change{from: key.Line - 1, to: e.after(old, key.Column), indent: key.Column - 1})
		return nil
	}
	return e.replace(key, old, nil)
}

// inFlow reports whether a key is one of a flow mapping.
func (e *edit) inFlow(key *yaml.Node) bool {
	for _, n := range e.order {
		if n.Kind == yaml.MappingNode && isFlow(n) && slices.Contains(n.Content, key) {
			return true
		}
	}
	return false
}

// oneLine finds the bytes of a value that is on one line, and that can be
// replaced there: a scalar that is not null, or a flow collection.
func (e *edit) oneLine(n *yaml.Node) (from, to int, ok bool) {
	from, err := e.offset(n)
	if err != nil {
		return 0, 0, false
	}
	text := e.lines[n.Line-1].text
	switch {
	case n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || from >= len(text):
		return 0, 0, false
	case n.Kind != yaml.ScalarNode:
		if !isFlow(n) {
			return 0, 0, false
		}
		line, at, err := e.closing(n)
		return from, at + 1, err == nil && line == n.Line-1
	case n.Style == 0:
		to = from + len(n.Value)
		return from, to, n.Value != "" && to <= len(text) && text[from:to] == n.Value
	case n.Style == yaml.SingleQuotedStyle, n.Style == yaml.DoubleQuotedStyle:
		for i := from + 1; i < len(text); i++ {
			switch {
			case n.Style == yaml.DoubleQuotedStyle && text[i] == '\\':
				i++
			case text[i] == text[from] && text[from] == '\'' && i+1 < len(text) && text[i+1] == '\'':
				i++
			case text[i] == text[from]:
				return from, i + 1, true
			}
		}
	}
	return 0, 0, false
}
