package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is one mistake in a configuration.
type Error struct {
	// Key is the YAML key of the setting, such as limits.max_inflight, or the
	// name of what is wrong where that is no setting: a file, a variable.
	// Empty for a file that is wrong as a whole.
	Key string
	// What is wrong, and what to do about it. It never holds a secret.
	What string
	// Origin is the place of the mistake.
	Origin Origin

	cause error
}

// Error gives `config: <key>: <what> (<place>)`, on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("config: ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.What)
	if place := e.Origin.place(); place != "" {
		b.WriteString(" (")
		b.WriteString(place)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap returns the error of the operating system, where there was one.
func (e *Error) Unwrap() error { return e.cause }

// Errors are all the mistakes of a configuration: those of the file by line,
// then those of the environment and of the flags, then broken relations between
// settings. It is never empty.
type Errors []*Error

// Error gives one mistake a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each mistake, for errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// maxErrors bounds what is collected: each unknown key costs a search for the
// nearest name, and a file of a mebibyte has room for 200,000 of them.
const maxErrors = 1000

// mistakes collects errors. The zero value is empty and ready to use.
type mistakes struct {
	errs Errors
	more int // beyond maxErrors
}

func (m *mistakes) add(key string, origin Origin, format string, args ...any) {
	m.addCause(key, origin, nil, format, args...)
}

// addCause adds a mistake that an error of the operating system stands behind.
func (m *mistakes) addCause(key string, origin Origin, cause error, format string, args ...any) {
	if m.full() {
		m.more++
		return
	}
	m.errs = append(m.errs, &Error{Key: key, Origin: origin, What: fmt.Sprintf(format, args...), cause: cause})
}

func (m *mistakes) full() bool { return len(m.errs) >= maxErrors }

// err returns Errors, or nil where nothing was added.
func (m *mistakes) err() error {
	if len(m.errs) == 0 {
		return nil
	}
	errs := slices.Clone(m.errs)
	slices.SortStableFunc(errs, func(a, b *Error) int {
		if a.Origin.From != FromFile || b.Origin.From != FromFile {
			// File before everything else; the rest keeps the order it was found in.
			return cmp.Compare(boolRank(a.Origin.From != FromFile), boolRank(b.Origin.From != FromFile))
		}
		return cmp.Compare(a.Origin.Line, b.Origin.Line)
	})
	if m.more > 0 {
		errs = append(errs, &Error{What: fmt.Sprintf("%d mistakes more", m.more)})
	}
	return errs
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// valueError is a text that is no value of its setting. The text stands apart
// so that a secret's can be left out of the message.
type valueError struct {
	text string
	what string
}

func (e *valueError) Error() string { return quote(e.text) + " " + e.what }

// notValue says what is wrong with text: `"ten" is not a number`.
func notValue(text, format string, args ...any) error {
	return &valueError{text: text, what: fmt.Sprintf(format, args...)}
}

// quote shows a text that somebody wrote: escaped, so that it cannot forge a
// line of a log, and cut, so that it cannot fill one.
func quote(text string) string {
	const most = 100
	if len(text) <= most {
		return strconv.Quote(text)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "..."
}
