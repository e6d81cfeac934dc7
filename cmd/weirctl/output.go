package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// output is how a command shows its result.
type output string

const (
	outputTable output = "table" // for people; may change with any version
	outputJSON  output = "json"  // for scripts; fields are only ever added
)

// Set, String and Type make output a flag's value.
func (o *output) Set(text string) error {
	switch v := output(text); v {
	case outputTable, outputJSON:
		*o = v
		return nil
	}
	return fmt.Errorf("%q is not table or json", text)
}

func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "table|json" }

// print shows v as JSON, or as table writes it.
func (o output) print(w io.Writer, v any, table func(io.Writer) error) error {
	if o == outputJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	return table(w)
}
