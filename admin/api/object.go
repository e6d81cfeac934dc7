package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxListItems bounds a list in a request's body.
const maxListItems = 1000

// readObject reads a body that is one flat JSON object: texts, numbers as
// json.Number, booleans, null, and lists of these. A name that is there twice is
// an error: which one counts would depend on the reader.
func readObject(body io.Reader) (map[string]any, error) {
	d := json.NewDecoder(body)
	d.UseNumber()
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		return map[string]any{}, nil // an empty body asks for nothing
	}
	if err != nil {
		return nil, notJSON(err)
	}
	if t != json.Delim('{') {
		return nil, invalidSyntax("", "the body is no JSON object")
	}
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		name := t.(string) // of an object, the decoder lets nothing else pass
		pointer := pointerTo(name)
		if _, twice := object[name]; twice {
			return nil, invalidSyntax(pointer, "is there twice")
		}
		value, err := readValue(d, pointer)
		if err != nil {
			return nil, err
		}
		object[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalidSyntax("", "the body goes on after its JSON object")
	}
	return object, nil
}

func readValue(d *json.Decoder, pointer string) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	switch t {
	case json.Delim('{'):
		return nil, invalidSyntax(pointer, "is an object, which no setting is")
	case json.Delim('['):
	default:
		return t, nil
	}
	list := []any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		if _, nested := t.(json.Delim); nested {
			return nil, invalidSyntax(pointer, "is a list of lists or objects, which no setting is")
		}
		if list = append(list, t); len(list) > maxListItems {
			return nil, invalidSyntax(pointer, "has more than %d items", maxListItems)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	return list, nil
}

// notJSON keeps apart what the decoder found wrong from what kept it from
// reading.
func notJSON(err error) error {
	var (
		syntax   *json.SyntaxError
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.As(err, &syntax):
		return invalidSyntax("", "the body is no JSON: %s at byte %d", strings.TrimPrefix(syntax.Error(), "json: "), syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalidSyntax("", "the body is no JSON: it ends too early")
	}
	return invalidSyntax("", "the body cannot be read: %v", err)
}
