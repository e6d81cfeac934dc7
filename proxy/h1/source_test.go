package h1_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"weir/proxy/h1"
)

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func fill(t *testing.T, src *h1.Source, want string) {
	t.Helper()
	if _, err := src.Fill(); err != nil {
		t.Fatal(err)
	}
	if got := string(src.Buffered()); got != want {
		t.Fatalf("buffered %q, want %q", got, want)
	}
}

func TestHeadStaysWhileItsBodyIsRead(t *testing.T) {
	head := "POST /path HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n"
	body := strings.Repeat("0123456789", 900)
	for _, before := range []string{"", "x", strings.Repeat("x", 40)} { // consumed already
		var src h1.Source
		var req h1.Request
		src.Reset(strings.NewReader(before+head+body+next), make([]byte, len(before+head)+16))
		if _, err := src.Fill(); err != nil {
			t.Fatal(err)
		}
		src.Discard(len(before))
		n, err := req.Parse(src.Buffered(), &h1.Limits{})
		if err != nil || n != len(head) {
			t.Fatal(n, err)
		}
		req.Rebase(src.Hold(n))
		if got := string(src.Held()); got != head {
			t.Fatalf("held %q", got)
		}
		var got strings.Builder
		var dst h1.Sink
		dst.Reset(&got, nil)
		var r h1.Relay
		r.Start(&src, &dst, req.Body(), req.Body(), &h1.Limits{})
		for steps := 0; ; steps++ {
			done, err := r.Step()
			if err != nil {
				t.Fatal(err)
			}
			if string(req.Path()) != "/path" || string(req.Get("host")) != "h" || string(req.Bytes()) != head {
				t.Fatalf("after %d steps the head reads %q", steps, req.Bytes())
			}
			if done {
				break
			}
			if steps == 3 { // a larger buffer on the way
				room := src.Len()
				src.Grow(make([]byte, room+100))
				req.Rebase(src.Held())
			}
		}
		if got.String() != body {
			t.Fatal("the body differs")
		}
		src.Release()
		for string(src.Buffered()) != next {
			if _, err := src.Fill(); err != nil {
				t.Fatalf("what follows is %q, %v", src.Buffered(), err)
			}
		}
	}
}

func TestSourceSaysWhenItIsFull(t *testing.T) {
	var src h1.Source
	src.Reset(strings.NewReader("0123456789"), make([]byte, 4))
	fill(t, &src, "0123")
	if _, err := src.Fill(); !errors.Is(err, h1.ErrBufferFull) {
		t.Fatalf("%v", err)
	}
	old := src.Grow(make([]byte, 8))
	if len(old) != 4 || src.Len() != 8 {
		t.Fatal("not grown")
	}
	fill(t, &src, "01234567")
	src.Discard(7)
	fill(t, &src, "789")
	if _, err := src.Fill(); err != io.EOF {
		t.Fatalf("%v", err)
	}
	if string(src.Buffered()) != "789" {
		t.Fatalf("at the end %q", src.Buffered())
	}
}

func TestUnreadOnlyWhatIsStillThere(t *testing.T) {
	var src h1.Source
	src.Reset(strings.NewReader("0123456789"), make([]byte, 8))
	fill(t, &src, "01234567")
	src.Hold(2)
	src.Discard(6)
	if src.Unread(7) {
		t.Error("unread what is held")
	}
	if !src.Unread(6) || string(src.Buffered()) != "234567" {
		t.Errorf("buffered %q", src.Buffered())
	}
	src.Discard(6)
	fill(t, &src, "89")
	if src.Unread(1) {
		t.Error("unread what was overwritten")
	}
	src.Discard(2)
	if src.Unread(-1) || !src.Unread(1) || string(src.Buffered()) != "9" {
		t.Errorf("buffered %q", src.Buffered())
	}

	// What was moved is there as well.
	src.Reset(strings.NewReader("0123456789"), make([]byte, 8))
	fill(t, &src, "01234567")
	src.Hold(6)
	src.Release()
	fill(t, &src, "6789")
	src.Discard(1)
	if !src.Unread(1) || string(src.Buffered()) != "6789" {
		t.Errorf("buffered %q", src.Buffered())
	}

	// Nor what was moved over.
	src.Reset(strings.NewReader("0123456789"), make([]byte, 8))
	fill(t, &src, "01234567")
	src.Discard(6)
	fill(t, &src, "6789")
	src.Discard(1)
	if src.Unread(2) || !src.Unread(1) || string(src.Buffered()) != "6789" {
		t.Errorf("buffered %q", src.Buffered())
	}
}

func TestSourceLendsItsBufferOnlyWhenIdle(t *testing.T) {
	var src h1.Source
	buf := make([]byte, 8)
	src.Reset(strings.NewReader("0123456789"), buf)
	if got := src.Detach(); len(got) != 8 {
		t.Fatal("not the buffer")
	}
	src.Attach(buf)
	fill(t, &src, "01234567")
	for name, misuse := range map[string]func(){
		"Detach with bytes buffered": func() { src.Detach() },
		"Attach twice":               func() { src.Attach(buf) },
		"Discard too many":           func() { src.Discard(9) },
		"Hold too many":              func() { src.Hold(9) },
		"Grow to a smaller buffer":   func() { src.Grow(make([]byte, 8)) },
	} {
		if !panics(misuse) {
			t.Errorf("%s did not panic", name)
		}
	}
	src.Hold(8)
	if !panics(func() { src.Hold(0) }) {
		t.Error("Hold twice did not panic")
	}
	if !panics(func() { src.Detach() }) {
		t.Error("Detach with bytes held did not panic")
	}
	src.Release()
	src.Detach()
}

func TestReadErrorsLast(t *testing.T) {
	reset := errors.New("reset")
	var src h1.Source
	src.Reset(io.MultiReader(strings.NewReader("ab"), &pieces{err: reset}), make([]byte, 8))
	fill(t, &src, "ab")
	for range 2 {
		if _, err := src.Fill(); err != reset {
			t.Fatalf("%v", err)
		}
	}
	// But for a deadline, which can be moved.
	from := &pieces{err: os.ErrDeadlineExceeded}
	src.Reset(from, make([]byte, 8))
	if _, err := src.Fill(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	from.list = []string{"cd"}
	fill(t, &src, "cd")

	src.Reset(&pieces{}, make([]byte, 8)) // neither bytes nor an error
	if _, err := src.Fill(); err != io.ErrNoProgress {
		t.Fatalf("%v", err)
	}
}

func TestErrorThatComesWithBytesComesAfterThem(t *testing.T) {
	var src h1.Source
	src.Reset(readerFunc(func(b []byte) (int, error) { return copy(b, "ab"), io.EOF }), make([]byte, 8))
	fill(t, &src, "ab")
	if n, err := src.Fill(); n != 0 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestSinkKeepsOrderWhateverItsSize(t *testing.T) {
	for _, size := range []int{0, 1, 10, 100, 5000} {
		var want, got strings.Builder
		var dst h1.Sink
		dst.Reset(&got, make([]byte, size))
		for i := range 50 {
			head := strings.Repeat("h", i)
			body := strings.Repeat("b", i*i)
			want.WriteString(head + body)
			dst.Commit(append(dst.Begin(), head...))
			var src h1.Source
			src.Reset(strings.NewReader(body), make([]byte, 512))
			var r h1.Relay
			r.Start(&src, &dst, byLength(int64(len(body))), byLength(int64(len(body))), &h1.Limits{})
			if err := r.Run(); err != nil {
				t.Fatal(err)
			}
		}
		if err := dst.Flush(); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || dst.Written() != int64(want.Len()) {
			t.Errorf("buffer of %d: wrote %d of %d bytes, or others", size, got.Len(), want.Len())
		}
		dst.Detach()
	}
}

func TestSinkLendsItsBufferOnlyWhenIdle(t *testing.T) {
	var dst h1.Sink
	dst.Reset(io.Discard, make([]byte, 8))
	dst.Commit(append(dst.Begin(), "abc"...))
	if !panics(func() { dst.Detach() }) {
		t.Error("Detach with bytes pending did not panic")
	}
	if !panics(func() { dst.Attach(nil) }) {
		t.Error("Attach twice did not panic")
	}
	if err := dst.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := dst.Detach(); cap(got) != 8 {
		t.Errorf("detached %d bytes", cap(got))
	}
	dst.Attach(make([]byte, 8))
}
