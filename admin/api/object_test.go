package api

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestReadObject(t *testing.T) {
	for body, want := range map[string]map[string]any{
		"":                              {},
		" \n":                           {},
		"{}":                            {},
		`{"a": 1, "b": "x", "c": true}`: {"a": json.Number("1"), "b": "x", "c": true},
		`{"a": null, "b": [1, "x"]}`:    {"a": nil, "b": []any{json.Number("1"), "x"}},
		`{"a": 1e400, "b": []}`:         {"a": json.Number("1e400"), "b": []any{}},
	} {
		if got, err := readObject(strings.NewReader(body)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %v, %v", body, got, err)
		}
	}
	for body, want := range map[string]FieldError{
		`[]`:               {"", "the body is no JSON object"},
		`7`:                {"", "the body is no JSON object"},
		`{"a": 1`:          {"", "the body is no JSON: it ends too early"},
		`{"a"`:             {"", "the body is no JSON: it ends too early"},
		`{"a": 1,}`:        {"", "the body is no JSON: invalid character '}'"},
		`{"a": 01}`:        {"", "the body is no JSON: invalid character '1'"},
		`{a: 1}`:           {"", "the body is no JSON: invalid character 'a'"},
		`{"a": 1} {}`:      {"", "the body goes on after its JSON object"},
		`{"a": 1} x`:       {"", "the body goes on after its JSON object"},
		`{"a": 1, "a": 1}`: {"/a", "is there twice"},
		`{"a": {}}`:        {"/a", "is an object, which no setting is"},
		`{"a/b~c": {}}`:    {"/a~1b~0c", "is an object, which no setting is"},
		`{"a": [[]]}`:      {"/a", "is a list of lists or objects, which no setting is"},
		`{"a": [` + strings.Repeat("1,", 1000) + `1]}`: {"/a", "has more than 1000 items"},
	} {
		_, err := readObject(strings.NewReader(body))
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !invalid.Syntax || len(invalid.Fields) != 1 || invalid.Fields[0].Pointer != want.Pointer || !strings.HasPrefix(invalid.Fields[0].Detail, want.Detail) {
			t.Errorf("%s gives %v, want %v", body, err, want)
		}
	}
}

// FuzzReadObject: whatever is read means the same to encoding/json, and whatever
// is refused is refused with a reason.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"max_inflight": 50, "overflow": "wait", "queue_timeout": null}`, `{"a": [1, "x", true, null]}`,
		`{"a": 1, "a": 2}`, `{"a": {"b": 1}}`, `{"a": 1}{`, `{"a": "\ud800"}`, "\ufeff{}", `{"a": 1e999}`, `[{}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := readObject(strings.NewReader(string(body)))
		if err != nil {
			if p := ProblemOf(err); p.Status != 400 || p.Detail == "" {
				t.Fatalf("%q gives %v, status %d", body, err, p.Status)
			}
			return
		}
		if len(strings.TrimSpace(string(body))) == 0 {
			return
		}
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q gives %v, encoding/json %v, %v", body, got, want, err)
		}
	})
}
