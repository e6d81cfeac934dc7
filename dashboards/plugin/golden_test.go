package plugin

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
)

// golden compares what frames are like with what is committed: names, types, units,
// labels, notices, and for each value whether there is one; a value itself only where
// it does not depend on the moment, which keep decides by the field's name.
func golden(t testing.TB, name string, frames data.Frames, keep func(field string) bool) {
	t.Helper()
	if *record != "" {
		answer, err := json.Marshal(backend.DataResponse{Frames: frames, Status: backend.StatusOK})
		if err == nil {
			err = os.WriteFile(filepath.Join(*record, name+".json"), answer, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	type column struct {
		Name   string            `json:"name"`
		Type   string            `json:"type"`
		Labels data.Labels       `json:"labels,omitempty"`
		Config *data.FieldConfig `json:"config,omitempty"`
		Values []any             `json:"values,omitempty"`
	}
	type like struct {
		Name   string          `json:"name"`
		Meta   *data.FrameMeta `json:"meta,omitempty"`
		Fields []column        `json:"fields"`
	}
	list := []like{}
	for _, frame := range frames {
		l := like{Name: frame.Name, Meta: frame.Meta}
		for _, field := range frame.Fields {
			c := column{Name: field.Name, Type: field.Type().ItemTypeString(), Labels: field.Labels, Config: field.Config}
			for i := range field.Len() {
				if keep(field.Name) {
					c.Values = append(c.Values, field.CopyAt(i))
				}
			}
			l.Fields = append(l.Fields, c)
		}
		list = append(list, l)
	}
	got, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(got, '\n'), want) {
		t.Errorf("%s (written anew by -update) differs; got\n%s", path, got)
	}
}
