package inject

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A tree is a YAML document with the lines that it was read from.
type tree struct {
	lines []line
	root  *yaml.Node
	order []*yaml.Node // all nodes, as they begin in the text
}

func newTree(lines []line, document *yaml.Node) *tree {
	t := &tree{lines: lines, root: document.Content[0]}
	t.walk(t.root)
	return t
}

func (t *tree) walk(n *yaml.Node) {
	t.order = append(t.order, n)
	for _, c := range n.Content {
		t.walk(c)
	}
}

// A placeError is something at a line (from 0) of the document.
type placeError struct {
	line int
	text string
}

func (e *placeError) Error() string { return e.text }

func placef(line int, format string, args ...any) error {
	return &placeError{line, fmt.Sprintf(format, args...)}
}

// step finds a key of a mapping or an element of a sequence. For a key, entry is
// the key's node. Both are nil where there is none.
func (t *tree) step(n *yaml.Node, element string) (entry, value *yaml.Node, err error) {
	switch n.Kind {
	case yaml.AliasNode:
		return nil, nil, placef(n.Line-1, "*%s stands for something that is written elsewhere, and weir would change it in both places: write it out here", n.Value)
	case yaml.MappingNode:
		merged := false
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Tag == "!!merge" {
				merged = merged || mergesKey(n.Content[i+1], element)
			} else if n.Content[i].Value == element && n.Content[i].Kind == yaml.ScalarNode {
				return n.Content[i], n.Content[i+1], nil
			}
		}
		if merged {
			return nil, nil, placef(n.Line-1, "%s is merged from an anchor, and weir would change it in both places: write it out here", element)
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(element); err == nil && i >= 0 && i < len(n.Content) {
			return nil, n.Content[i], nil
		}
	}
	return nil, nil, nil
}

// mergesKey reports whether what is merged has a key. A list may hold itself by an
// alias; lists in lists are no merge to YAML either.
func mergesKey(source *yaml.Node, key string) bool {
	sources := []*yaml.Node{source}
	if list := follow(source); list.Kind == yaml.SequenceNode {
		sources = list.Content
	}
	for _, n := range sources {
		if n = follow(n); n.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return true
			}
		}
	}
	return false
}

// follow gives what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// find goes along a path. The innermost node that is there tells the line of what
// is not.
func (t *tree) find(path pointer) (parent, entry, value *yaml.Node, err error) {
	value = t.root
	for _, element := range path {
		parent = value
		if entry, value, err = t.step(parent, element); err != nil || value == nil {
			return parent, entry, value, err
		}
	}
	return parent, entry, value, nil
}

// lineOf is the line, from 0, of a path, or of what of it is there.
func (t *tree) lineOf(path pointer) int {
	n, line := t.root, t.root.Line
	for _, element := range path {
		n = follow(n)
		entry, value, err := t.step(n, element)
		if err != nil || value == nil {
			break
		}
		n, line = value, value.Line
		if entry != nil {
			line = entry.Line
		}
	}
	return max(line-1, 0)
}

// offset is where in its line a node begins, in bytes.
func (t *tree) offset(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(t.lines) {
		return 0, placef(len(t.lines)-1, "a place outside of the file")
	}
	text := t.lines[n.Line-1].text
	text, bom := strings.CutPrefix(text, "\ufeff")
	at := 0
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	if bom {
		at += len("\ufeff")
	}
	return at, nil
}

// ownLine reports whether a node is the first thing of its line.
func (t *tree) ownLine(n *yaml.Node) bool {
	at, err := t.offset(n)
	return err == nil && isBlank(t.lines[n.Line-1].text[:at]) && !strings.Contains(t.lines[n.Line-1].text[:at], "\t")
}

// after is the line, from 0, behind an entry of a block mapping, or an element of
// a block sequence: everything that is indented as its column (from 1) asks, up to
// the next node.
func (t *tree) after(n *yaml.Node, column int) int {
	end := len(t.lines)
	inside := make(map[*yaml.Node]bool)
	var mark func(*yaml.Node)
	mark = func(n *yaml.Node) {
		inside[n] = true
		for _, c := range n.Content {
			mark(c)
		}
	}
	mark(n)
	seen := false
	for _, o := range t.order {
		if inside[o] {
			seen = true
		} else if seen {
			end = o.Line - 1
			break
		}
	}
	if end < n.Line {
		return n.Line
	}
	for end > n.Line {
		text := t.lines[end-1].text
		indent := indentOf(text)
		if !isBlank(text) && indent >= column-1 && (!isComment(text) || indent > column-1) && !endsDocument(text) {
			break
		}
		end--
	}
	return end
}

// literal tells which lines, from 0, are the text of a block scalar: those after
// its header that are indented as its first one, or blank.
func (t *tree) literal() map[int]bool {
	inside := make(map[int]bool)
	for _, n := range t.order {
		if n.Kind != yaml.ScalarNode || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			continue
		}
		indent := -1
		for i := n.Line; i < len(t.lines); i++ {
			text := t.lines[i].text
			if !isBlank(text) {
				if indent < 0 {
					indent = max(1, indentOf(text))
				}
				if indentOf(text) < indent {
					break
				}
			}
			inside[i] = true
		}
	}
	return inside
}

func endsDocument(text string) bool {
	return strings.HasPrefix(text, "---") || strings.HasPrefix(text, "...")
}

// closing finds the bracket that ends a flow collection, as a line from 0 and an
// offset in bytes.
func (t *tree) closing(n *yaml.Node) (line, offset int, err error) {
	at, err := t.offset(n)
	if err != nil {
		return 0, 0, err
	}
	depth := 0
	var quote byte
	for line = n.Line - 1; line < len(t.lines); line, at = line+1, 0 {
		text := t.lines[line].text
		for ; at < len(text); at++ {
			c := text[at]
			switch {
			case quote == '"' && c == '\\':
				at++
			case quote != 0:
				if c == quote {
					quote = 0 // of ” twice, the second opens it again
				}
			case c == '"' || c == '\'':
				if strings.ContainsAny(before(text, at), " \t,[{:") {
					quote = c
				}
			case c == '#' && strings.ContainsAny(before(text, at), " \t"):
				at = len(text)
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth == 0 {
					return line, at, nil
				}
			}
		}
	}
	return 0, 0, placef(n.Line-1, "%q is not closed", string(t.lines[n.Line-1].text[0]))
}

// before is the byte before a place; at the beginning of a line a space.
func before(text string, at int) string {
	if at == 0 {
		return " "
	}
	return text[at-1 : at]
}
