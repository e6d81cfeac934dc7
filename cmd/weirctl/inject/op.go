package inject

import (
	"fmt"
	"strconv"
	"strings"
)

// An op is an operation of RFC 6902, its path relative to the pod template, or to
// the Service that it changes.
type op struct {
	Op    string  `json:"op"` // add, replace or remove
	Path  pointer `json:"path"`
	Value any     `json:"value,omitempty"`
}

// A pointer is a JSON pointer (RFC 6901), apart.
type pointer []string

func at(elements ...any) pointer {
	p := make(pointer, len(elements))
	for i, e := range elements {
		p[i] = fmt.Sprint(e)
	}
	return p
}

func (p pointer) then(elements ...any) pointer {
	return append(append(make(pointer, 0, len(p)+len(elements)), p...), at(elements...)...)
}

func (p pointer) String() string {
	var b strings.Builder
	for _, e := range p {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(e))
	}
	return b.String()
}

// MarshalText makes a pointer a JSON string.
func (p pointer) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// apply returns the document, decoded JSON, with one operation done on it. Maps
// and lists of it are changed in place.
func apply(document any, o op) (any, error) {
	if len(o.Path) == 0 {
		return nil, fmt.Errorf("%s of a whole document", o.Op)
	}
	return applyAt(document, o.Path, o)
}

func applyAt(in any, path pointer, o op) (any, error) {
	key, last := path[0], len(path) == 1
	switch in := in.(type) {
	case map[string]any:
		old, ok := in[key]
		switch {
		case !last:
			changed, err := applyAt(old, path[1:], o)
			if err != nil {
				return nil, err
			}
			in[key] = changed
		case o.Op == "remove" && ok:
			delete(in, key)
		case o.Op == "add", o.Op == "replace" && ok:
			in[key] = o.Value
		default:
			return nil, fmt.Errorf("%s %s: it is not there", o.Op, o.Path)
		}
		return in, nil
	case []any:
		if last && key == "-" && o.Op == "add" {
			return append(in, o.Value), nil
		}
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(in) {
			return nil, fmt.Errorf("%s %s: no element %s", o.Op, o.Path, key)
		}
		if !last {
			in[i], err = applyAt(in[i], path[1:], o)
			return in, err
		}
		if o.Op != "replace" {
			return nil, fmt.Errorf("%s %s: elements are only replaced", o.Op, o.Path)
		}
		in[i] = o.Value
		return in, nil
	}
	return nil, fmt.Errorf("%s %s: there is nothing to hold %s", o.Op, o.Path, key)
}
