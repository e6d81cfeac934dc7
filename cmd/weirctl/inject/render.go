package inject

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// order is how people write the fields of a container. Fields that are not here
// follow by name.
var order = []string{
	"name", "value", "containerPort", "hostIP", "hostPort",
	"image", "imagePullPolicy", "command", "args", "restartPolicy", "env", "ports",
	"path", "port", "httpGet", "tcpSocket", "periodSeconds", "timeoutSeconds", "failureThreshold",
	"startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "preStop", "resources", "requests", "securityContext",
}

func rank(key string) int {
	if i := slices.Index(order, key); i >= 0 {
		return i
	}
	return len(order)
}

func keys(m map[string]any) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

// plain makes maps, lists and scalars of any value that JSON can hold.
func plain(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out any
	err = d.Decode(&out)
	return out, err
}

// scalar is a value on one line of block style.
func scalar(v any) string {
	text, ok := v.(string)
	if !ok {
		return flow(v)
	}
	out, err := yaml.Marshal(text)
	if s := strings.TrimSuffix(string(out), "\n"); err == nil && !strings.ContainsAny(s, "\n\r") && !strings.ContainsAny(text, "\u0085\u2028\u2029\ufeff") {
		return s
	}
	return flow(v)
}

// flow is a value in flow style, which is JSON.
func flow(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for _, k := range keys(v) {
			fields = append(fields, flow(k)+": "+flow(v[k]))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var elements []string
		for _, e := range v {
			elements = append(elements, flow(e))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("inject: %T is no JSON: %v", v, err)) // plain made it
	}
	return string(text)
}

// blockStyle is how a file indents.
type blockStyle struct {
	dash int // of a list's dashes, beyond its key
}

// entry is "key: value" as lines, at an indentation.
func (s blockStyle) entry(key string, value any, indent int) []string {
	pad := strings.Repeat(" ", indent)
	switch v := value.(type) {
	case map[string]any:
		if len(v) > 0 {
			return append([]string{pad + key + ":"}, s.fields(v, indent+2)...)
		}
	case []any:
		if len(v) == 0 || short(v) {
			break
		}
		lines := []string{pad + key + ":"}
		for _, e := range v {
			lines = append(lines, s.element(e, indent+s.dash)...)
		}
		return lines
	default:
		return []string{pad + key + ": " + scalar(v)}
	}
	return []string{pad + key + ": " + flow(value)}
}

// short reports whether a list is of a few words, as commands are.
func short(list []any) bool {
	for _, e := range list {
		if text, ok := e.(string); !ok || len(text) > 30 {
			return false
		}
	}
	return true
}

func (s blockStyle) fields(m map[string]any, indent int) []string {
	var lines []string
	for _, k := range keys(m) {
		lines = append(lines, s.entry(k, m[k], indent)...)
	}
	return lines
}

// element is "- value" as lines, the dash at an indentation.
func (s blockStyle) element(value any, indent int) []string {
	pad := strings.Repeat(" ", indent)
	m, ok := value.(map[string]any)
	if !ok || len(m) == 0 {
		return []string{pad + "- " + flow(value)}
	}
	lines := s.fields(m, indent+2)
	lines[0] = pad + "- " + lines[0][indent+2:]
	return lines
}
