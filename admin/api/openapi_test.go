package api

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// schema is the part of JSON Schema that the description uses.
type schema struct {
	Type       any                `yaml:"type"`
	Ref        string             `yaml:"$ref"`
	Required   []string           `yaml:"required"`
	Properties map[string]*schema `yaml:"properties"`
	Items      *schema            `yaml:"items"`
	Additional any                `yaml:"additionalProperties"`
}

type description struct {
	Paths      map[string]map[string]operationText
	Components struct{ Schemas map[string]*schema }
}

// operationText is what is told of an endpoint; of the parameters that stand
// beside the methods of a path, nothing is read.
type operationText struct {
	OperationID string `yaml:"operationId"`
	RequestBody any    `yaml:"requestBody"`
	Responses   map[string]any
}

// UnmarshalYAML lets lists pass.
func (o *operationText) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return nil
	}
	type plain operationText
	return n.Decode((*plain)(o))
}

func readDescription(t *testing.T) *description {
	t.Helper()
	content, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := &description{}
	if err := yaml.Unmarshal(content, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDescriptionHasTheRoutes(t *testing.T) {
	d := readDescription(t)
	var want, got []string
	ids := map[string]bool{}
	for _, h := range Handlers(nil, nil, nil) {
		want = append(want, h.Method+" "+h.Path)
		o, ok := d.Paths[h.Path][strings.ToLower(h.Method)]
		if !ok {
			continue // told below
		}
		if (h.Changes && h.Method != "DELETE") != (o.RequestBody != nil) {
			t.Errorf("%s %s: changes is %v, its body is %v", h.Method, h.Path, h.Changes, o.RequestBody)
		}
		if o.OperationID == "" || ids[o.OperationID] || o.Responses["200"] == nil || o.Responses["default"] == nil {
			t.Errorf("%s %s is not described whole", h.Method, h.Path)
		}
		ids[o.OperationID] = true
	}
	for path, methods := range d.Paths {
		for method := range methods {
			if method == "parameters" {
				continue
			}
			got = append(got, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("described are\n%v, served are\n%v", got, want)
	}
}

func TestTheDescriptionHasTheFields(t *testing.T) {
	d := readDescription(t)
	seen := map[string]bool{"LimitsChange": true} // a map, checked with the endpoint
	var check func(where string, typ reflect.Type, s *schema)
	check = func(where string, typ reflect.Type, s *schema) {
		if s == nil {
			t.Errorf("%s is not described", where)
			return
		}
		kind := ""
		switch typ {
		case reflect.TypeFor[time.Time]():
			kind = "string"
		case reflect.TypeFor[Seconds]():
			if !reflect.DeepEqual(s.Type, []any{"number", "null"}) {
				t.Errorf("%s is %v, not a number or null", where, s.Type)
			}
			return
		}
		switch typ.Kind() {
		case reflect.Struct:
			if kind != "" {
				break
			}
			name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
			if name != typ.Name() {
				t.Errorf("%s refers to %q, not to %s", where, s.Ref, typ.Name())
				return
			}
			if seen[name] {
				return
			}
			seen[name] = true
			s = d.Components.Schemas[name]
			if s == nil {
				t.Errorf("%s is not described", name)
				return
			}
			var required, fields []string
			for i := range typ.NumField() {
				tag, option, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				fields = append(fields, tag)
				if option == "" {
					required = append(required, tag)
				}
				check(name+"."+tag, typ.Field(i).Type, s.Properties[tag])
			}
			if !slices.Equal(s.Required, required) {
				t.Errorf("%s requires\n%v, not\n%v", name, s.Required, required)
			}
			for p := range s.Properties {
				if !slices.Contains(fields, p) {
					t.Errorf("%s has no %s", name, p)
				}
			}
			return
		case reflect.Pointer:
			check(where, typ.Elem(), s)
			return
		case reflect.Slice:
			kind = "array"
			if typ.Elem().Kind() == reflect.Uint8 { // base64
				kind = "string"
				break
			}
			check(where+"[]", typ.Elem(), s.Items)
		case reflect.Map:
			kind = "object"
			if s.Additional == nil {
				t.Errorf("%s does not say what its values are", where)
			}
		case reflect.String:
			kind = "string"
		case reflect.Bool:
			kind = "boolean"
		case reflect.Int, reflect.Int64, reflect.Uint64:
			kind = "integer"
		case reflect.Float64:
			kind = "number"
		}
		if s.Type != kind {
			t.Errorf("%s is %v, not %q", where, s.Type, kind)
		}
	}
	for _, v := range []any{State{}, History{}, Inflight{}, Limits{}, Draining{}, Call{}, Calls{}, DeadLetters{}, DeadLetter{}, Redriven{}, Removed{}, Problem{}} {
		typ := reflect.TypeOf(v)
		check(typ.Name(), typ, &schema{Ref: "#/components/schemas/" + typ.Name()})
	}
	for name := range d.Components.Schemas {
		if !seen[name] {
			t.Errorf("%s is described and does not exist", name)
		}
	}
}
