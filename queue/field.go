package queue

import "strings"

// Get gives the value of the response's first field of a name, "" for none.
func (r *Response) Get(name string) string { return get(r.Fields, name) }

// Get gives the value of the call's first field of a name, "" for none.
func (c *Call) Get(name string) string { return get(c.Fields, name) }

func get(fields []Field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}
