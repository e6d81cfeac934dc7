package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// The test's own program is one: it links nothing but the standard library.
func TestSBOM(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := write(&first, []string{self}); err != nil {
		t.Fatal(err)
	}
	if err := write(&second, []string{self}); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("%v: twice is not the same", err)
	}
	var d document
	if err := json.Unmarshal(first.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Format != "CycloneDX" || d.Metadata.Component.Name != "weir" {
		t.Errorf("%+v", d.Metadata)
	}
	if !slices.ContainsFunc(d.Components, func(c component) bool { return c.Name == "std" && strings.HasPrefix(c.Version, "1.") }) {
		t.Errorf("the standard library is not there: %s", first.Bytes())
	}
	if err := write(&first, []string{"main.go"}); err == nil {
		t.Error("a file that is no program is taken")
	}
	if err := write(&first, nil); err == nil {
		t.Error("nothing is taken")
	}
}
