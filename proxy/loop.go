package proxy

import (
	"net/http"
	"strings"

	"weir/limits"
)

// The field in which each pass through weir leaves an entry, CDN-Loop (RFC 8586). Via
// would not do: it is for the hops of one message, a function that calls others has no
// reason to pass it on, and its entries do not tell one function from another. CDN-Loop
// is end to end by definition, may not be taken away by configuration, and names who
// adds to it.
//
// The name is the canonical one of net/http, in which stored fields are kept too.
const loopField = "Cdn-Loop"

// LoopName is the entry of a function's weir.
func LoopName(function string) string { return "weir-" + function }

// passes counts the entries of name in a value of the field: a list of names, each
// perhaps with parameters. A comma in a quoted parameter parts entries too, which
// counts too much of what nobody but the client itself has written.
func passes(value, name string) int {
	n := 0
	for value != "" {
		var entry string
		entry, value, _ = strings.Cut(value, ",")
		entry, _, _ = strings.Cut(entry, ";")
		if strings.Trim(entry, " \t") == name {
			n++
		}
	}
	return n
}

// loopOf refuses a request that has come through this function's weir as often as it
// may.
func (s *Settings) loopOf(passed int) error {
	if s.MaxLoop == 0 || passed < s.MaxLoop {
		return nil
	}
	return &limits.Throttle{Reason: limits.ReasonLoop, Limit: s.MaxLoop}
}

// loop refuses the request if it goes in circles.
func (x *exchange) loop() error {
	n := 0
	for _, v := range x.r.Header[loopField] {
		n += passes(v, x.settings.LoopName)
	}
	return x.settings.loopOf(n)
}

// loop refuses the request if it goes in circles.
func (x *stream) loop() error {
	n := 0
	for i := x.request.Find(loopField, 0); i >= 0; i = x.request.Find(loopField, i+1) {
		n += passes(view(x.request.Value(i)), x.settings.LoopName)
	}
	return x.settings.loopOf(n)
}

// passed is the field with another entry, in one line: a function that hands on one
// line of it hands on all. Whoever sent it is believed, for he can hurt himself alone.
func passed(in http.Header, name string) []string {
	sent := in[loopField]
	return []string{strings.Join(append(sent[:len(sent):len(sent)], name), ", ")}
}

// appendPassed appends the value that passed gives.
func (x *stream) appendPassed(b []byte) []byte {
	for i := x.request.Find(loopField, 0); i >= 0; i = x.request.Find(loopField, i+1) {
		b = append(b, x.request.Value(i)...)
		b = append(b, ", "...)
	}
	return append(b, x.settings.LoopName...)
}
