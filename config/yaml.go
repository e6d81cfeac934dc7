package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileSize bounds a configuration file, and each PEM file.
const maxFileSize = 1 << 20

// readFile reads a regular file of at most maxFileSize; errors leave the file's
// name out.
func readFile(path string) ([]byte, error) {
	// Looked at before it is opened: to open a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, withoutPath(err)
	}
	if len(content) > maxFileSize {
		return nil, errTooLarge
	}
	return content, nil
}

var (
	errNotRegular = errors.New("it is not a regular file")
	errTooLarge   = fmt.Errorf("it is larger than %s", formatSize(maxFileSize))
)

func withoutPath(err error) error {
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		return pathError.Err
	}
	return err
}

// given is a value that a layer gives to a setting.
type given struct {
	setting *setting
	text    string
	origin  Origin
}

// document is what a file says.
type document struct {
	given  []given
	routes []*locatedRoute
	// unusable are the keys whose value could not be read.
	unusable []string
	// broken is set where nothing can be said of the file's other settings.
	broken bool
}

// yamlReader walks the nodes of one file. It does not decode into structs: only
// nodes know their line, a duplicate key, and the text of a number.
type yamlReader struct {
	name  string
	table []*setting
	out   document
	*mistakes
}

// readYAML reads a whole file strictly: unknown and duplicate keys, values of
// another type, tags, anchors and second documents are mistakes.
func readYAML(name string, content []byte, table []*setting, m *mistakes) document {
	r := &yamlReader{name: name, table: table, mistakes: m}
	if len(bytes.TrimSpace(content)) == 0 {
		// A file cut to nothing by a full disk must not pass for "all defaults".
		r.out.broken = true
		r.add("", r.at(0), "the file is empty: write {} into it to run on defaults")
		return r.out
	}
	root, ok := r.parse(content)
	if !ok {
		r.out.broken = true
		return r.out
	}
	if root != nil {
		r.top(root)
	}
	return r.out
}

func (r *yamlReader) at(line int) Origin { return Origin{From: FromFile, Name: r.name, Line: line} }

// fromParser are messages of the YAML parser, whose lines count from 0; those of
// its scanner count from 1. Where a message is about a collection, the line is
// the one it starts on.
var fromParser = []string{
	"did not find expected key",
	"did not find expected '-' indicator",
	"did not find expected ',' or ']'",
	"did not find expected ',' or '}'",
	"did not find expected node content",
	"did not find expected <document start>",
}

var yamlErrorLine = regexp.MustCompile(`^line (\d+): `)

// parse gives the root of the one document, nil where there is nothing in it
// but comments.
func (r *yamlReader) parse(content []byte) (*yaml.Node, bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, true
	}
	if err == nil {
		err = decoder.Decode(&second)
		if err == nil {
			r.add("", r.at(second.Line), "a second document starts here: a configuration is one document")
			return nil, false
		}
	}
	if !errors.Is(err, io.EOF) {
		what, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
		if match := yamlErrorLine.FindStringSubmatch(what); match != nil {
			what = what[len(match[0]):]
			line, _ = strconv.Atoi(match[1]) // digits; one too large for an int leaves 0: no line
			if slices.Contains(fromParser, what) {
				line++
			}
		}
		r.add("", r.at(line), "not YAML: %s", strings.ReplaceAll(what, "\n", " "))
		return nil, false
	}
	return doc.Content[0], true
}

// plain reports whether a node is free of what no setting needs: aliases, whose
// expansion can be larger than any bound, and tags. It says so where it is not.
func (r *yamlReader) plain(key string, n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.add(key, r.at(n.Line), "anchors and aliases are not supported: write the value out")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.add(key, r.at(n.Line), "tags such as %s are not supported: leave it out", quote(n.Tag))
		return false
	}
	return true
}

// top walks the root.
func (r *yamlReader) top(root *yaml.Node) {
	if !r.plain("", root) || isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		r.add("", r.at(root.Line), "the file holds %s, not settings such as listen: :8080", describe(root))
		return
	}
	var names []string
	for _, s := range r.table {
		name, _, _ := strings.Cut(s.key, ".")
		names = append(names, name)
	}
	names = append(slices.Compact(names), routesKey)
	r.each("", root, names, func(name string, key, value *yaml.Node) {
		switch s := settingByKey(r.table, name); {
		case name == routesKey:
			r.routes(value)
		case s != nil:
			r.setting(s, key, value)
		default:
			r.section(name, value)
		}
	})
}

// section walks a section. An empty one is nothing: all of it may be commented out.
func (r *yamlReader) section(section string, n *yaml.Node) {
	if isNull(n) && n.Anchor == "" {
		return
	}
	var names []string
	for _, s := range r.table {
		if in, name := s.section(); in == section {
			names = append(names, name)
		}
	}
	ok := r.plain(section, n)
	if ok && n.Kind != yaml.MappingNode {
		r.add(section, r.at(n.Line), "wants settings below it, not %s", describe(n))
		ok = false
	}
	if !ok {
		for _, name := range names {
			r.lost(section + "." + name)
		}
		return
	}
	r.each(section, n, names, func(name string, key, value *yaml.Node) {
		r.setting(settingByKey(r.table, section+"."+name), key, value)
	})
}

// each calls visit for each known key of a mapping.
func (r *yamlReader) each(section string, n *yaml.Node, names []string, visit func(name string, key, value *yaml.Node)) {
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !r.plain(section, key) {
			continue
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			r.add(section, r.at(key.Line), "a key is %s, not the name of a setting", describe(key))
			continue
		}
		full := join(section, key.Value)
		if former, ok := lines[key.Value]; ok {
			r.add(shownKey(full), r.at(key.Line), "is given twice, first on line %d", former)
			continue
		}
		lines[key.Value] = key.Line
		if !slices.Contains(names, key.Value) {
			r.unknown(section, full, key, names)
			continue
		}
		visit(key.Value, key, value)
	}
}

// lost notes that a setting was meant to be set, but to what is not known.
func (r *yamlReader) lost(key string) { r.out.unusable = append(r.out.unusable, key) }

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

// shownKey shows an unknown key in an error: as it is where it looks like a key.
func shownKey(key string) string {
	if len(key) <= 64 && strings.Trim(key, letters+digits+"._-[]") == "" {
		return key
	}
	return quote(key)
}

// unknown reports an unknown key with the nearest known one: a neighbour, or a
// setting of another section, or one by the name of its flag.
func (r *yamlReader) unknown(section, full string, key *yaml.Node, names []string) {
	if r.full() {
		r.more++
		return
	}
	where := r.at(key.Line)
	for _, s := range r.table {
		_, name := s.section()
		if fold(key.Value) == fold(name) || fold(key.Value) == fold(s.flag) || fold(full) == fold(s.key) {
			r.add(shownKey(full), where, "unknown key, did you mean %s?", s.key)
			r.lost(s.key)
			return
		}
	}
	if best := nearest(key.Value, names); best != "" {
		r.add(shownKey(full), where, "unknown key, did you mean %s?", join(section, best))
		r.lost(join(section, best))
		return
	}
	in := ""
	if section != "" {
		in = " in " + section
	}
	r.add(shownKey(full), where, "unknown key; known%s are %s", in, strings.Join(names, ", "))
}

// setting reads the value of one setting.
func (r *yamlReader) setting(s *setting, key, n *yaml.Node) {
	text, ok := "", r.plain(s.key, n)
	switch {
	case !ok:
	case s.value.kind == kindList:
		var items []string
		items, ok = r.list(s.key, key, n, func(item *yaml.Node) bool { return r.item(s, item) })
		text = strings.Join(items, ",")
	default:
		text, ok = r.scalar(s.key, s.value.kind, key, n)
	}
	if !ok {
		r.lost(s.key)
		return
	}
	r.out.given = append(r.out.given, given{setting: s, text: text, origin: r.at(n.Line)})
}

// item checks one item of a list that is a setting.
func (r *yamlReader) item(s *setting, n *yaml.Node) bool {
	if err := s.value.item(n.Value); err != nil {
		r.add(s.key, r.at(n.Line), "%s", explain(s.secret, err))
		return false
	}
	return true
}

// list reads a sequence of scalars, of which check has to like each.
func (r *yamlReader) list(path string, key, n *yaml.Node, check func(*yaml.Node) bool) ([]string, bool) {
	if isNull(n) {
		r.add(path, r.at(key.Line), "has no value: write [] for none, or leave the key out")
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		r.add(path, r.at(n.Line), "is %s, not a list: write it as [...]", describe(n))
		return nil, false
	}
	var items []string
	ok := true
	for _, item := range n.Content {
		if !r.plain(path, item) {
			ok = false
			continue
		}
		if item.Kind != yaml.ScalarNode || isNull(item) {
			r.add(path, r.at(item.Line), "an item is %s", describe(item))
			ok = false
			continue
		}
		ok = check(item) && ok
		items = append(items, item.Value)
	}
	return items, ok
}

// scalar gives the text of a scalar whose type fits the kind. What the text
// says is up to the setting.
func (r *yamlReader) scalar(path string, k kind, key, n *yaml.Node) (string, bool) {
	if isNull(n) {
		r.add(path, r.at(key.Line), "has no value: give it one, or leave the key out")
		return "", false
	}
	if n.Kind != yaml.ScalarNode {
		r.add(path, r.at(n.Line), "is %s, not a %s", describe(n), k)
		return "", false
	}
	tag := n.ShortTag()
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch k {
	case kindNumber, kindBool:
		if quoted {
			r.add(path, r.at(n.Line), "is a text, not a %s: leave the quotes out", k)
			return "", false
		}
		if tag == "!!bool" {
			return strings.ToLower(n.Value), true // YAML knows True and TRUE too
		}
	case kindText, kindFile, kindPath:
		if tag == "!!bool" {
			r.add(path, r.at(n.Line), "is a boolean, not a %s: put it in quotes if it is meant as text", k)
			return "", false
		}
	}
	return n.Value, true
}

// routes reads the list of routes.
func (r *yamlReader) routes(n *yaml.Node) {
	if !r.plain(routesKey, n) || isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.add(routesKey, r.at(n.Line), "is %s, not a list of routes", describe(n))
		return
	}
	if len(n.Content) > maxRoutes {
		r.add(routesKey, r.at(n.Line), "holds %d routes: at most %d", len(n.Content), maxRoutes)
		return
	}
	for i, item := range n.Content {
		if route := r.route(fmt.Sprintf("%s[%d]", routesKey, i), item); route != nil {
			r.out.routes = append(r.out.routes, route)
		}
	}
	checkRoutes(r.out.routes, r.mistakes)
	sortRoutes(r.out.routes)
}

// route reads one route, nil where it is wrong.
func (r *yamlReader) route(name string, n *yaml.Node) *locatedRoute {
	if !r.plain(name, n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.add(name, r.at(n.Line), "is %s, not a route such as {path: /slow, timeout: 5m}", describe(n))
		return nil
	}
	var names []string
	for _, s := range routeSettings {
		names = append(names, s.key)
	}
	before := len(r.errs) + r.more
	route := &locatedRoute{name: name, origin: r.at(n.Line), parts: make(map[string]Origin)}
	r.each(name, n, names, func(key string, keyNode, value *yaml.Node) {
		i := slices.IndexFunc(routeSettings, func(s routeSetting) bool { return s.key == key })
		r.routeSetting(route, routeSettings[i], keyNode, value)
		route.parts[key] = r.at(value.Line)
	})
	if len(r.errs)+r.more > before {
		return nil
	}
	if route.Path == "" {
		r.add(name, r.at(n.Line), `has no path: give it one, "/" for all`)
		return nil
	}
	return route
}

func (r *yamlReader) routeSetting(route *locatedRoute, s routeSetting, key, n *yaml.Node) {
	path := route.name + "." + s.key
	if !r.plain(path, n) {
		return
	}
	set := func(n *yaml.Node, text string) bool {
		if err := s.set(&route.Route, text); err != nil {
			r.add(path, r.at(n.Line), "%s", err)
			return false
		}
		return true
	}
	if s.kind == kindList {
		if s.clear != nil {
			s.clear(&route.Route)
		}
		r.list(path, key, n, func(item *yaml.Node) bool { return set(item, item.Value) })
		return
	}
	if text, ok := r.scalar(path, s.kind, key, n); ok {
		set(n, text)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe names what a node is, for an error about what it should be.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "null"
	case "!!merge":
		return "a merge (<<)"
	case "!!bool":
		return "the boolean " + n.Value
	case "!!int", "!!float":
		return "the number " + quote(n.Value)
	}
	return "the text " + quote(n.Value)
}

// explain gives an error's message without the value where that is secret.
func explain(secret bool, err error) string {
	if v, ok := errors.AsType[*valueError](err); ok && secret {
		return "the value " + v.what
	}
	return err.Error()
}
