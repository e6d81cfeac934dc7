package h1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"weir/proxy/h1"
)

// pieces is a reader that gives one piece at a time, and then err.
type pieces struct {
	list []string
	err  error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, p.err
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; p.list[0] == "" {
		p.list = p.list[1:]
	}
	return n, nil
}

// bytewise splits s into its bytes.
func bytewise(s string) []string {
	list := make([]string, len(s))
	for i := range s {
		list[i] = s[i : i+1]
	}
	return list
}

// relayed is what became of one body.
type relayed struct {
	out   string // written
	left  string // still buffered or unread
	err   error
	moved int64
}

// relay moves one body that comes in these pieces, and then ends.
func relay(list []string, in, out h1.Framing, lim h1.Limits) relayed {
	from := &pieces{list: append([]string(nil), list...), err: io.EOF}
	var to bytes.Buffer
	var src h1.Source
	var dst h1.Sink
	src.Reset(from, make([]byte, 64))
	dst.Reset(&to, make([]byte, 64))
	var r h1.Relay
	r.Start(&src, &dst, in, out, &lim)
	err := r.Run()
	return relayed{to.String(), string(src.Buffered()) + strings.Join(from.list, ""), err, r.Moved()}
}

var (
	byChunks = h1.Framing{Kind: h1.ByChunks}
	byClose  = h1.Framing{Kind: h1.ByClose}
	noBody   = h1.Framing{}
)

func byLength(n int64) h1.Framing { return h1.Framing{Kind: h1.ByLength, Length: n} }

const next = "GET /next HTTP/1.1\r\n"

func TestBodyIsRelayed(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for _, c := range []struct {
		name     string
		in, out  h1.Framing
		raw      string // as it comes
		want     string // as it is written; in the case of one chunk after another, see below
		data     int64
		splits   bool // the output depends on how the body came
		untilEnd bool
	}{
		{name: "none", in: noBody, out: noBody},
		{name: "none, whose length was declared", in: noBody, out: byLength(99)},
		{name: "by length", in: byLength(5), out: byLength(5), raw: "hello", want: "hello", data: 5},
		{name: "by length, empty", in: byLength(0), out: byLength(0)},
		{name: "by length, long", in: byLength(10000), out: byLength(10000), raw: long, want: long, data: 10000},
		{name: "by length, as it is", in: byLength(5), out: byClose, raw: "hello", want: "hello", data: 5},
		{name: "by chunks", in: byChunks, out: byChunks, raw: "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", want: "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", data: 12},
		{name: "by chunks, empty", in: byChunks, out: byChunks, raw: "0\r\n\r\n", want: "0\r\n\r\n"},
		{name: "by chunks, long", in: byChunks, out: byChunks, raw: "2710\r\n" + long + "\r\n0\r\n\r\n", want: "2710\r\n" + long + "\r\n0\r\n\r\n", data: 10000},
		{name: "by chunks, as it is", in: byChunks, out: byClose, raw: "5\r\nhello\r\n7\r\n, world\r\n0\r\nX-A: b\r\n\r\n", want: "hello, world", data: 12},
		{name: "chunk sizes in their simplest form", in: byChunks, out: byChunks, raw: "00A\r\n0123456789\r\n000\r\n\r\n", want: "a\r\n0123456789\r\n0\r\n\r\n", data: 10},
		{name: "without chunk extensions", in: byChunks, out: byChunks, raw: "5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n", want: "5\r\nhello\r\n0\r\n\r\n", data: 5},
		{name: "with trailers", in: byChunks, out: byChunks, raw: "1\r\na\r\n0\r\nX-Sum: 1\r\nx-more:  two \r\n\r\n", want: "1\r\na\r\n0\r\nX-Sum: 1\r\nx-more:  two \r\n\r\n", data: 1},
		{
			name: "without trailers that do not belong there", in: byChunks, out: byChunks,
			raw: "0\r\nContent-Length: 9\r\nX-A: 1\r\nhost: evil\r\nTransfer-Encoding: chunked\r\nIf-Match: a\r\nAuthorization: b\r\nConnection: x-a\r\nX-B: 2\r\nSet-Cookie: c\r\nContent-Type: d\r\n\r\n", want: "0\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
		},
		{name: "until close", in: byClose, out: byClose, raw: long, want: long, data: 10000, untilEnd: true},
		{name: "until close, empty", in: byClose, out: byClose, untilEnd: true},
		{name: "until close, empty, to chunks", in: byClose, out: byChunks, want: "0\r\n\r\n", untilEnd: true},
		{name: "until close to chunks", in: byClose, out: byChunks, raw: "hello", want: "5\r\nhello\r\n0\r\n\r\n", data: 5, splits: true, untilEnd: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			after := next
			if c.untilEnd {
				after = ""
			}
			whole := c.raw + after
			for how, list := range map[string][]string{"whole": {whole}, "byte by byte": bytewise(whole)} {
				if whole == "" {
					list = nil
				}
				got := relay(list, c.in, c.out, h1.Limits{})
				want := c.want
				if c.splits && how != "whole" {
					want = ""
					for _, s := range list {
						want += "1\r\n" + s + "\r\n"
					}
					want += "0\r\n\r\n"
				}
				if got.err != nil || got.out != want || got.left != after || got.moved != c.data {
					t.Errorf("%s: %d moved, left %.50q, error %v, wrote\n%.200q, want\n%.200q", how, got.moved, got.left, got.err, got.out, want)
				}
			}
		})
	}
}

func TestBodyIsRefused(t *testing.T) {
	lim := h1.Limits{Body: 100, Trailer: 40, Fields: 3, ChunkExtensions: 20}
	for _, c := range []struct {
		name string
		raw  string
		want h1.Fault
	}{
		{"with bare LF in a chunk size", "5\nhello\r\n0\r\n\r\n", h1.FaultBareLF},
		{"with bare LF after an extension", "5;a=b\nhello\r\n0\r\n\r\n", h1.FaultBareLF},
		{"with bare LF after the last chunk", "5\r\nhello\r\n0\n\r\n", h1.FaultBareLF},
		{"with bare LF as its end", "5\r\nhello\r\n0\r\n\n", h1.FaultBareLF},
		{"with bare CR in a chunk size", "5\rhello\r\n0\r\n\r\n", h1.FaultBareCR},
		{"with bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", h1.FaultBareCR},
		{"with bare CR after the last chunk", "0\r\n\rX-A: b\r\n\r\n", h1.FaultBareCR},
		{"with a size that is no number", "g\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a signed size", "+5\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a negative size", "-5\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a space before a size", " 5\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a space after a size", "5 \r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a space before an extension", "5 ;a\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with an empty size", "\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with an extension without a size", ";a\r\nhello\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with an underscore in a size", "1_0\r\n0123456789012345\r\n0\r\n\r\n", h1.FaultChunkSize},
		{"with a size of more digits than any", strings.Repeat("0", h1.MaxChunkDigits) + "5\r\nhello\r\n0\r\n\r\n", h1.FaultChunkOverflow},
		{"with a size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n", h1.FaultChunkOverflow},
		{"with NUL in an extension", "5;a=\x00\r\nhello\r\n0\r\n\r\n", h1.FaultChunkExtension},
		{"with a long extension", "5;" + strings.Repeat("a", 20) + "\r\nhello\r\n0\r\n\r\n", h1.FaultChunkOverhead},
		{"with an extension that does not end", "5;" + strings.Repeat("a", 100), h1.FaultChunkOverhead},
		{"with many extensions", strings.Repeat("1;a\r\nx\r\n", 11) + "0\r\n\r\n", h1.FaultChunkOverhead},
		{"with a chunk longer than its size", "5\r\nhelloworld\r\n0\r\n\r\n", h1.FaultChunkEnd},
		{"with a chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n", h1.FaultChunkEnd},
		{"with a chunk that ends in bare LF", "5\r\nhello\n0\r\n\r\n", h1.FaultChunkEnd},
		{"with a chunk that ends in another byte and LF", "5\r\nhello!\n0\r\n\r\n", h1.FaultChunkEnd},
		{"with a chunk that ends in CR alone", "5\r\nhello\r0\r\n\r\n", h1.FaultChunkEnd},
		{"with more data than the bound", "65\r\n" + strings.Repeat("x", 0x65) + "\r\n0\r\n\r\n", h1.FaultBodyTooLarge},
		{"with more data in all than the bound", "60\r\n" + strings.Repeat("x", 0x60) + "\r\n5\r\nhello\r\n0\r\n\r\n", h1.FaultBodyTooLarge},
		{"with a trailer without a colon", "0\r\nX-A\r\n\r\n", h1.FaultFieldName},
		{"with space before a trailer's colon", "0\r\nX-A : b\r\n\r\n", h1.FaultSpaceInName},
		{"with a folded trailer", "0\r\nX-A: b\r\n c\r\n\r\n", h1.FaultFolded},
		{"with a trailer that begins with whitespace", "0\r\n X-A: b\r\n\r\n", h1.FaultFolded},
		{"with NUL in a trailer", "0\r\nX-A: b\x00\r\n\r\n", h1.FaultFieldValue},
		{"with bare LF after a trailer", "0\r\nX-A: b\n\r\n", h1.FaultBareLF},
		{"with bare CR in a trailer", "0\r\nX-A: b\rX-B: c\r\n\r\n", h1.FaultBareCR},
		{"with a malformed trailer that would be dropped", "0\r\nHost: b\x00\r\n\r\n", h1.FaultFieldValue},
		{"with a long trailer", "0\r\nX-A: " + strings.Repeat("b", 40) + "\r\n\r\n", h1.FaultTrailerSize},
		{"with a trailer that does not end", "0\r\nX-A: " + strings.Repeat("b", 100), h1.FaultTrailerSize},
		{"with too many trailers", "0\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", h1.FaultTooManyFields},
		{"with too many trailers that would be dropped", "0\r\nTE: b\r\nTE: b\r\nTE: b\r\nTE: b\r\n\r\n", h1.FaultTooManyFields},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, list := range map[string][]string{"whole": {c.raw}, "byte by byte": bytewise(c.raw)} {
				got := relay(list, byChunks, byChunks, lim)
				if e := asError(t, got.err); e == nil || e.Fault != c.want {
					t.Errorf("%s: error %v, want %q", how, got.err, c.want)
				}
				if strings.HasSuffix(got.out, "0\r\n\r\n") {
					t.Errorf("%s: wrote %q, which looks complete", how, got.out)
				}
			}
		})
	}
	if got := relay([]string{strings.Repeat("x", 101)}, byLength(101), byLength(101), lim); !is413(got.err) || got.out != "" {
		t.Errorf("by length: wrote %d bytes, %v", len(got.out), got.err)
	}
	if got := relay([]string{strings.Repeat("x", 101)}, byClose, byClose, lim); !is413(got.err) {
		t.Errorf("until close: wrote %d bytes, %v", len(got.out), got.err)
	}
	for _, in := range []h1.Framing{byLength(100), byClose} {
		if got := relay([]string{strings.Repeat("x", 100)}, in, in, lim); got.err != nil || len(got.out) != 100 {
			t.Errorf("exactly at the bound: wrote %d bytes, %v", len(got.out), got.err)
		}
	}
}

func is413(err error) bool {
	var e *h1.Error
	return errors.As(err, &e) && e.Status == 413
}

func TestTrailersAtTheirBoundPass(t *testing.T) {
	section := "X-A: 1\r\nX-B: 2\r\n\r\n"
	lim := h1.Limits{Trailer: len(section), Fields: 2}
	got := relay([]string{"0\r\n" + section}, byChunks, byChunks, lim)
	if got.err != nil || got.out != "0\r\n"+section {
		t.Errorf("wrote %q, %v", got.out, got.err)
	}
}

func TestTrailersAreDroppedByTheCaller(t *testing.T) {
	var to bytes.Buffer
	var src h1.Source
	var dst h1.Sink
	src.Reset(strings.NewReader("0\r\nX-Caller: spoofed\r\nX-A: 1\r\n\r\n"), make([]byte, 100))
	dst.Reset(&to, make([]byte, 0, 100))
	r := h1.Relay{DropTrailer: func(name []byte) bool { return bytes.EqualFold(name, []byte("x-caller")) }}
	r.Start(&src, &dst, byChunks, byChunks, &h1.Limits{})
	if err := r.Run(); err != nil || to.String() != "0\r\nX-A: 1\r\n\r\n" {
		t.Errorf("wrote %q, %v", to.String(), err)
	}
}

func TestCutBodyIsNeverMadeToLookComplete(t *testing.T) {
	for _, c := range []struct {
		in  h1.Framing
		raw string
	}{
		{byLength(20), "0123456789 123456789"},
		{byChunks, "5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX-Sum: 1\r\n\r\n"},
	} {
		for n := range c.raw {
			for _, ended := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("reset")} {
				from := &pieces{list: bytewise(c.raw[:n]), err: ended}
				var to bytes.Buffer
				var src h1.Source
				var dst h1.Sink
				src.Reset(from, make([]byte, 16))
				dst.Reset(&to, nil)
				var r h1.Relay
				r.Start(&src, &dst, c.in, c.in, &h1.Limits{})
				err := r.Run()
				var source *h1.SourceError
				if !errors.As(err, &source) {
					t.Fatalf("cut after %d: %v (%T), want a SourceError", n, err, err)
				}
				want := ended
				if ended == io.EOF {
					want = io.ErrUnexpectedEOF
				}
				if !errors.Is(err, want) {
					t.Errorf("cut after %d by %v: %v", n, ended, err)
				}
				again := relay([]string{to.String()}, c.in, c.in, h1.Limits{})
				if again.err == nil {
					t.Errorf("cut after %d: %q was written, which is complete", n, to.String())
				}
				if done, err2 := r.Step(); done || err2 != err {
					t.Errorf("another step: %v, %v", done, err2)
				}
			}
		}
	}
}

// brokenAfter fails writes once n bytes have been written.
type brokenAfter struct{ n int }

var errBroken = errors.New("broken pipe")

func (w *brokenAfter) Write(b []byte) (int, error) {
	if len(b) > w.n {
		n := w.n
		w.n = 0
		return n, errBroken
	}
	w.n -= len(b)
	return len(b), nil
}

func TestFailedSinkIsNotTakenForAFailedSource(t *testing.T) {
	raw := "5\r\nhello\r\n7\r\n, world\r\n0\r\nX-Sum: 1\r\n\r\n"
	for n := range len(raw) {
		for _, size := range []int{0, 1, 7, 1000} {
			var src h1.Source
			var dst h1.Sink
			src.Reset(&pieces{list: bytewise(raw), err: io.EOF}, make([]byte, 16))
			dst.Reset(&brokenAfter{n}, make([]byte, 0, size))
			var r h1.Relay
			r.Start(&src, &dst, byChunks, byChunks, &h1.Limits{})
			err := r.Run()
			var sink *h1.SinkError
			if !errors.As(err, &sink) || !errors.Is(err, errBroken) {
				t.Fatalf("broken after %d: %v (%T), want a SinkError", n, err, err)
			}
			if dst.Written() != int64(n) {
				t.Errorf("broken after %d: Written says %d", n, dst.Written())
			}
			if dst.Flush() == nil {
				t.Errorf("broken after %d: the sink went on", n)
			}
		}
	}
}

func TestBodyCannotBeReframedAtWill(t *testing.T) {
	for _, c := range [][2]h1.Framing{
		{byChunks, byLength(5)},
		{byClose, byLength(5)},
		{byLength(5), byLength(6)},
		{byLength(5), noBody},
		{byChunks, noBody},
		{byLength(5), byChunks},
	} {
		if got := relay([]string{"5\r\nhello\r\n0\r\n\r\n"}, c[0], c[1], h1.Limits{}); !errors.Is(got.err, h1.ErrReframe) || got.out != "" {
			t.Errorf("%v to %v: wrote %q, %v", c[0], c[1], got.out, got.err)
		}
	}
}

func TestBodyIsDiscardedWithoutASink(t *testing.T) {
	for _, c := range []struct {
		in  h1.Framing
		raw string
	}{{byLength(5), "hello"}, {byChunks, "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"}} {
		var src h1.Source
		src.Reset(strings.NewReader(c.raw+next), make([]byte, 100))
		var r h1.Relay
		r.Start(&src, nil, c.in, noBody, &h1.Limits{})
		if err := r.Run(); err != nil || string(src.Buffered()) != next || r.Moved() != 5 {
			t.Errorf("%v: %d moved, left %q, %v", c.in.Kind, r.Moved(), src.Buffered(), err)
		}
	}
}

// lockstep is a connection whose reader looks at what its writer was given.
type lockstep struct {
	pieces
	wrote  bytes.Buffer
	writes int
	before func(l *lockstep) // called before each read
}

func (l *lockstep) Read(b []byte) (int, error) {
	l.before(l)
	return l.pieces.Read(b)
}

func (l *lockstep) Write(b []byte) (int, error) {
	l.writes++
	return l.wrote.Write(b)
}

func TestEveryByteIsWrittenBeforeTheNextRead(t *testing.T) {
	given := ""
	l := &lockstep{}
	l.list = []string{"one", "two", "three", strings.Repeat("x", 10000)}
	l.err = io.EOF
	l.before = func(l *lockstep) {
		if got := l.wrote.String(); got != given {
			t.Errorf("before a read %.50q had been written, of %.50q", got, given)
		}
		if len(l.list) > 0 {
			given += l.list[0][:min(len(l.list[0]), 4096)]
		}
	}
	var src h1.Source
	var dst h1.Sink
	src.Reset(l, make([]byte, 4096))
	dst.Reset(l, make([]byte, 0, 512))
	var r h1.Relay
	r.Start(&src, &dst, byClose, byClose, &h1.Limits{})
	if err := r.Run(); err != nil {
		t.Fatal(err)
	}
	if l.wrote.String() != given {
		t.Errorf("wrote %d bytes of %d", l.wrote.Len(), len(given))
	}
}

func TestHeadAndBodyGoOutInOneWrite(t *testing.T) {
	for _, c := range []struct {
		name    string
		in, out h1.Framing
		raw     string
	}{
		{"by length", byLength(5), byLength(5), "hello"},
		{"by chunks", byChunks, byChunks, "5\r\nhello\r\n1\r\n!\r\n0\r\nX-A: b\r\n\r\n"},
	} {
		l := &lockstep{before: func(*lockstep) { t.Errorf("%s: read although the body is at hand", c.name) }}
		var src h1.Source
		var dst h1.Sink
		head := "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
		from := strings.NewReader(c.raw)
		src.Reset(from, make([]byte, 4096))
		if _, err := src.Fill(); err != nil {
			t.Fatal(err)
		}
		dst.Reset(l, make([]byte, 0, 4096))
		dst.Commit(append(dst.Begin(), head...))
		var r h1.Relay
		r.Start(&src, &dst, c.in, c.out, &h1.Limits{})
		if done, err := r.Step(); !done || err != nil {
			t.Fatalf("%s: %v, %v", c.name, done, err)
		}
		if l.writes != 1 || l.wrote.String() != head+c.raw {
			t.Errorf("%s: %d writes of %q", c.name, l.writes, l.wrote.String())
		}
	}
}

func TestMoveWritesNothing(t *testing.T) {
	l := &lockstep{before: func(*lockstep) { t.Error("read") }}
	var src h1.Source
	var dst h1.Sink
	src.Reset(strings.NewReader("hello"), make([]byte, 4096))
	if _, err := src.Fill(); err != nil {
		t.Fatal(err)
	}
	dst.Reset(l, make([]byte, 0, 4096))
	var r h1.Relay
	r.Start(&src, &dst, byLength(5), byLength(5), &h1.Limits{})
	if done, err := r.Move(); !done || err != nil || l.writes != 0 || !dst.Pending() {
		t.Fatalf("done %v, %v, %d writes", done, err, l.writes)
	}
	// A request that was not sent after all can be relayed once more.
	dst.Abandon()
	if !src.Unread(5) {
		t.Fatal("cannot be unread")
	}
	r.Start(&src, &dst, byLength(5), byLength(5), &h1.Limits{})
	if done, err := r.Step(); !done || err != nil || l.wrote.String() != "hello" {
		t.Fatalf("done %v, %v, wrote %q", done, err, l.wrote.String())
	}
}

func TestRelayGoesOnAfterADeadline(t *testing.T) {
	from := &pieces{list: []string{"he"}, err: os.ErrDeadlineExceeded}
	var to bytes.Buffer
	var src h1.Source
	var dst h1.Sink
	src.Reset(from, make([]byte, 16))
	dst.Reset(&to, nil)
	var r h1.Relay
	r.Start(&src, &dst, byLength(5), byLength(5), &h1.Limits{})
	err := r.Run()
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, new(*h1.SourceError)) {
		t.Fatalf("%v", err)
	}
	if _, err := r.Step(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("without Resume: %v", err)
	}
	from.list = []string{"llo"}
	if !r.Resume() {
		t.Fatal("not resumed")
	}
	if err := r.Run(); err != nil || to.String() != "hello" {
		t.Fatalf("wrote %q, %v", to.String(), err)
	}
	from.err = io.EOF
	r.Start(&src, &dst, byLength(5), byLength(5), &h1.Limits{})
	if err := r.Run(); !errors.Is(err, io.ErrUnexpectedEOF) || r.Resume() {
		t.Fatalf("a cut body was resumed, %v", err)
	}
}

func TestManyBodiesInOneBufferAreToldApart(t *testing.T) {
	var raw, want strings.Builder
	for i := range 100 {
		if i%2 == 0 {
			fmt.Fprintf(&raw, "%x\r\n%0*d\r\n0\r\n\r\n", i+1, i+1, i)
		} else {
			fmt.Fprintf(&raw, "%0*d", i+1, i)
		}
		fmt.Fprintf(&want, "%0*d", i+1, i)
	}
	for _, size := range []int{1, 2, 3, 17, 100, 10000} {
		var to bytes.Buffer
		var src h1.Source
		var dst h1.Sink
		src.Reset(strings.NewReader(raw.String()), make([]byte, size))
		dst.Reset(&to, make([]byte, 0, size))
		var r h1.Relay
		for i := range int64(100) {
			in := byLength(i + 1)
			if i%2 == 0 {
				in = byChunks
			}
			r.Start(&src, &dst, in, byClose, &h1.Limits{})
			if err := r.Run(); err != nil || r.Moved() != i+1 || !r.Done() {
				t.Fatalf("buffers of %d: body %d: moved %d, %v", size, i, r.Moved(), err)
			}
		}
		if to.String() != want.String() {
			t.Errorf("buffers of %d: wrote something else", size)
		}
	}
}
