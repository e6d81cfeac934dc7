package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// A reader of HTTP/1.1 messages (RFC 9112) that is strict and keeps every byte,
// so that what weir writes is judged, not repaired.

// errCut is a body that ended before its framing said so.
var errCut = errors.New("body cut short")

// head is a message's head as it came.
type head struct {
	raw   string   // all of it, the empty line included
	start string   // request line or status line
	lines []string // field lines
}

// readHead reads up to and including the empty line. io.EOF means that the peer
// closed without sending anything.
func readHead(r *bufio.Reader) (*head, error) {
	var h head
	for n := 0; ; n++ {
		line, err := r.ReadString('\n')
		h.raw += line
		if err != nil {
			if errors.Is(err, io.EOF) && h.raw != "" {
				err = io.ErrUnexpectedEOF
			}
			return &h, err
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || strings.ContainsAny(text, "\r\x00") {
			return &h, fmt.Errorf("head line %q does not end in CRLF alone", line)
		}
		switch {
		case n == 0:
			h.start = text
		case text == "":
			return &h, nil
		default:
			if name, _, ok := strings.Cut(text, ":"); !ok || name == "" || strings.ContainsAny(name, " \t") {
				return &h, fmt.Errorf("field line %q is malformed", text)
			}
			h.lines = append(h.lines, text)
		}
	}
}

// fields gives the field lines as a header, values in order.
func (h *head) fields() http.Header { return fieldsOf(h.lines) }

func fieldsOf(lines []string) http.Header {
	fields := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		fields[name] = append(fields[name], strings.Trim(value, " \t"))
	}
	return fields
}

// readBody reads a body as the fields frame it. closes says that the body lasts
// until the connection closes where nothing frames it (a response's may).
func readBody(r *bufio.Reader, fields http.Header, closes bool) (body []byte, trailer http.Header, err error) {
	codings, lengths := fields["Transfer-Encoding"], fields["Content-Length"]
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return nil, nil, fmt.Errorf("framed twice: Transfer-Encoding %q, Content-Length %q", codings, lengths)
	case len(codings) > 0:
		if len(codings) != 1 || codings[0] != "chunked" {
			return nil, nil, fmt.Errorf("Transfer-Encoding %q is not a single chunked", codings)
		}
		return readChunked(r)
	case len(lengths) > 0:
		n, err := strconv.ParseInt(lengths[0], 10, 64)
		if err != nil || len(lengths) != 1 || n < 0 {
			return nil, nil, fmt.Errorf("Content-Length %q is not a single length", lengths)
		}
		body := make([]byte, n)
		got, err := io.ReadFull(r, body)
		if err != nil {
			return body[:got], nil, fmt.Errorf("%w: %d of %d bytes: %w", errCut, got, n, err)
		}
		return body, nil, nil
	case closes:
		body, err := io.ReadAll(r)
		return body, nil, err
	}
	return nil, nil, nil
}

// readChunked reads chunks, without extensions, and the trailer section.
func readChunked(r *bufio.Reader) (body []byte, trailer http.Header, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return body, nil, fmt.Errorf("%w: in a chunk's size after %d bytes: %w", errCut, len(body), err)
		}
		digits, ok := strings.CutSuffix(line, "\r\n")
		size, err := strconv.ParseUint(digits, 16, 31)
		if !ok || err != nil {
			return body, nil, fmt.Errorf("chunk size line %q is malformed", line)
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size+2)
		got, err := io.ReadFull(r, chunk)
		if err != nil {
			return append(body, chunk[:min(got, int(size))]...), nil, fmt.Errorf("%w: in a chunk of %d bytes: %w", errCut, size, err)
		}
		if string(chunk[size:]) != "\r\n" {
			return body, nil, fmt.Errorf("a chunk of %d bytes ends in %q, not CRLF", size, chunk[size:])
		}
		body = append(body, chunk[:size]...)
	}
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return body, nil, fmt.Errorf("%w: in the trailer section: %w", errCut, err)
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok {
			return body, nil, fmt.Errorf("trailer line %q does not end in CRLF", line)
		}
		if text == "" {
			return body, fieldsOf(lines), nil
		}
		lines = append(lines, text)
	}
}

// chunked frames each part as a chunk, with the last chunk and the trailer lines
// after them.
func chunked(parts []string, trailers ...string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(chunk(part))
	}
	b.WriteString("0\r\n")
	for _, line := range trailers {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// chunk frames one part.
func chunk(part string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(part), part) }
