package conformance

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Frames is a client's HTTP/2 connection to weir whose frames the case writes
// (RFC 9113). Settings and pings are acknowledged, and windows refilled unless
// Stingy, by a reader of its own.
type Frames struct {
	t    testing.TB
	conn net.Conn

	wmu  sync.Mutex // guards what follows, and the order of frames
	fr   *http2.Framer
	hbuf bytes.Buffer
	henc *hpack.Encoder
	next uint32

	mu       sync.Mutex
	streams  map[uint32]*Stream
	settings map[http2.SettingID]uint32 // weir's
	goAways  []http2.GoAwayFrame

	settled chan struct{} // closed at weir's first SETTINGS
	goAway  chan struct{} // closed at weir's first GOAWAY
	closed  chan struct{} // closed when the reader has ended
	stingy  bool
}

// Stream is one request on a Frames connection.
type Stream struct {
	ID uint32

	f     *Frames
	heads []map[string][]string // of each HEADERS, pseudo fields included
	ends  []bool                // whether each of those ended the stream
	data  []byte
	reset *http2.ErrCode
	began chan struct{} // closed at the first final HEADERS
	done  chan struct{} // closed at END_STREAM, RST_STREAM or the connection's end
	got   chan struct{} // a token whenever something arrived
	over  bool
}

// Frames connects to weir over the stage's carrier, which must be HTTP/2, and
// exchanges settings. Where stingy, every stream's window is 0 and stays so.
func (s *Stage) Frames(t testing.TB) *Frames { t.Helper(); return s.frames(t, false) }

func (s *Stage) frames(t testing.TB, stingy bool) *Frames {
	t.Helper()
	if !s.Carrier.H2 {
		t.Fatalf("frames over %s: the case is registered for the wrong carriers", s.Carrier.Name)
	}
	conn, err := s.dial("h2")
	if err != nil {
		t.Fatalf("connecting to weir: %v", err)
	}
	conn.SetDeadline(time.Now().Add(2 * patience)) //nolint:errcheck // a deadline on an open connection
	f := &Frames{
		t: t, conn: conn, fr: http2.NewFramer(conn, conn), next: 1, stingy: stingy,
		streams: map[uint32]*Stream{}, settings: map[http2.SettingID]uint32{},
		settled: make(chan struct{}), goAway: make(chan struct{}), closed: make(chan struct{}),
	}
	f.henc = hpack.NewEncoder(&f.hbuf)
	f.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.fr.AllowIllegalWrites = true
	settings := []http2.Setting{{ID: http2.SettingEnablePush, Val: 0}}
	if stingy {
		settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatalf("sending the preface: %v", err)
	}
	if err := f.fr.WriteSettings(settings...); err != nil {
		t.Fatalf("sending SETTINGS: %v", err)
	}
	go f.read()
	s.atEnd(t, func() {
		conn.Close()
		<-f.closed
	})
	await(t, "weir's SETTINGS", f.settled)
	return f
}

// read takes weir's frames until the connection ends.
func (f *Frames) read() {
	defer close(f.closed)
	defer f.endAll()
	for {
		frame, err := f.fr.ReadFrame()
		if err != nil {
			var streamErr http2.StreamError
			if errors.As(err, &streamErr) { // a malformed head of weir's
				f.t.Errorf("weir sent a malformed head on stream %d: %v", streamErr.StreamID, streamErr)
				continue
			}
			return
		}
		f.reply(frame)
		f.take(frame)
	}
}

// reply sends what a frame calls for: acknowledgements, and window for what was
// received. An error shows as the connection's end.
func (f *Frames) reply(frame http2.Frame) {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			f.fr.WriteSettingsAck() //nolint:errcheck // see above
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			f.fr.WritePing(true, frame.Data) //nolint:errcheck // see above
		}
	case *http2.DataFrame:
		if frame.Length == 0 || f.stingy {
			return
		}
		f.fr.WriteWindowUpdate(0, frame.Length) //nolint:errcheck // see above
		if !frame.StreamEnded() {
			f.fr.WriteWindowUpdate(frame.StreamID, frame.Length) //nolint:errcheck // see above
		}
	}
}

func (f *Frames) endAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, st := range f.streams {
		st.finish()
	}
	select {
	case <-f.settled:
	default:
		close(f.settled)
	}
}

func (f *Frames) take(frame http2.Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.streams[frame.Header().StreamID]
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return
		}
		frame.ForeachSetting(func(s http2.Setting) error { //nolint:errcheck // the function returns none
			f.settings[s.ID] = s.Val
			return nil
		})
		select {
		case <-f.settled:
		default:
			close(f.settled)
		}
	case *http2.GoAwayFrame:
		f.goAways = append(f.goAways, http2.GoAwayFrame{LastStreamID: frame.LastStreamID, ErrCode: frame.ErrCode})
		if len(f.goAways) == 1 {
			close(f.goAway)
		}
	case *http2.MetaHeadersFrame:
		if st == nil {
			return
		}
		fields := map[string][]string{}
		for _, field := range frame.Fields {
			fields[field.Name] = append(fields[field.Name], field.Value)
		}
		st.heads = append(st.heads, fields)
		st.ends = append(st.ends, frame.StreamEnded())
		if status := fields[":status"]; len(status) == 1 && status[0][0] != '1' {
			close(st.began)
		}
		if frame.StreamEnded() {
			st.finish()
		}
		st.note()
	case *http2.DataFrame:
		if st == nil {
			return
		}
		st.data = append(st.data, frame.Data()...)
		if frame.StreamEnded() {
			st.finish()
		}
		st.note()
	case *http2.RSTStreamFrame:
		if st != nil && !st.over { // after END_STREAM it only stops the request (RFC 9113 8.1)
			code := frame.ErrCode
			st.reset = &code
			st.finish()
		}
	}
}

// write sends frames, one sender at a time.
func (f *Frames) write(send func() error) error {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	return send()
}

func (st *Stream) finish() {
	if !st.over {
		st.over = true
		close(st.done)
	}
}

func (st *Stream) note() {
	select {
	case st.got <- struct{}{}:
	default:
	}
}

// request gives the fields of a plain request; more field lines may follow.
func (s *Stage) request(line string, fields ...string) []string {
	method, target, _ := strings.Cut(line, " ")
	return append([]string{":method: " + method, ":scheme: " + s.scheme(), ":authority: " + s.Weir.Addr, ":path: " + target}, fields...)
}

// Open sends HEADERS with field lines ("name: value", pseudo fields first) on a
// new stream.
func (f *Frames) Open(end bool, lines ...string) *Stream {
	f.t.Helper()
	f.wmu.Lock()
	defer f.wmu.Unlock()
	st, err := f.open(end, f.encode(lines))
	if err != nil {
		f.t.Fatalf("sending HEADERS: %v", err)
	}
	return st
}

// OpenLarge is Open for a head of more than one frame.
func (f *Frames) OpenLarge(end bool, lines ...string) *Stream {
	f.t.Helper()
	f.wmu.Lock()
	defer f.wmu.Unlock()
	st, err := f.open(end, slices.Collect(slices.Chunk(f.encode(lines), 16<<10))...)
	if err != nil {
		f.t.Fatalf("sending HEADERS and CONTINUATION: %v", err)
	}
	return st
}

// open sends a head in as many frames as fragments; wmu is held.
func (f *Frames) open(end bool, fragments ...[]byte) (*Stream, error) {
	id := f.next
	f.next += 2
	st := &Stream{ID: id, f: f, began: make(chan struct{}), done: make(chan struct{}), got: make(chan struct{}, 1)}
	f.mu.Lock()
	f.streams[id] = st
	f.mu.Unlock()
	last := len(fragments) - 1
	err := f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: fragments[0], EndHeaders: last == 0, EndStream: end})
	for i, fragment := range fragments[1:] {
		if err != nil {
			break
		}
		err = f.fr.WriteContinuation(id, i+1 == last, fragment)
	}
	return st, err
}

// encode compresses field lines; wmu is held. The name ends at the first ": "
// after its first byte.
func (f *Frames) encode(lines []string) []byte {
	f.hbuf.Reset()
	for _, line := range lines {
		i := strings.Index(line[1:], ": ") + 1
		if i == 0 {
			panic("conformance: " + strconv.Quote(line) + " is no field line")
		}
		if err := f.henc.WriteField(hpack.HeaderField{Name: line[:i], Value: line[i+2:]}); err != nil {
			panic(err) // a bytes.Buffer does not fail
		}
	}
	return bytes.Clone(f.hbuf.Bytes())
}

// Exchange sends a request without a body and waits for its response.
func (f *Frames) Exchange(lines ...string) *Response {
	f.t.Helper()
	return f.Open(true, lines...).Response()
}

// Data sends a DATA frame.
func (st *Stream) Data(data string, end bool) {
	st.f.t.Helper()
	if err := st.f.write(func() error { return st.f.fr.WriteData(st.ID, end, []byte(data)) }); err != nil {
		st.f.t.Fatalf("sending DATA: %v", err)
	}
}

// Trailers sends HEADERS that end the stream.
func (st *Stream) Trailers(lines ...string) {
	st.f.t.Helper()
	err := st.f.write(func() error {
		return st.f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: st.ID, BlockFragment: st.f.encode(lines), EndHeaders: true, EndStream: true})
	})
	if err != nil {
		st.f.t.Fatalf("sending trailers: %v", err)
	}
}

// Reset sends RST_STREAM with CANCEL.
func (st *Stream) Reset() {
	st.f.t.Helper()
	if err := st.f.write(func() error { return st.f.fr.WriteRSTStream(st.ID, http2.ErrCodeCancel) }); err != nil {
		st.f.t.Fatalf("sending RST_STREAM: %v", err)
	}
}

// Began waits for the response's final head.
func (st *Stream) Began() {
	st.f.t.Helper()
	await(st.f.t, "a response's head on the stream", st.began)
}

// AwaitData waits until the response's body so far is want.
func (st *Stream) AwaitData(want string) {
	st.f.t.Helper()
	deadline := time.After(patience)
	for {
		st.f.mu.Lock()
		got := string(st.data)
		st.f.mu.Unlock()
		if got == want {
			return
		}
		select {
		case <-st.got:
		case <-deadline:
			st.f.t.Fatalf("the body so far is %q, want %q", got, want)
		}
	}
}

// errReset is a body that ended in RST_STREAM.
type errReset struct{ code http2.ErrCode }

func (e errReset) Error() string { return "stream reset: " + e.code.String() }

// Response waits for the stream's end and gives what came. A stream that ended
// without a head fails the case.
func (st *Stream) Response() *Response {
	st.f.t.Helper()
	resp, err := st.TryResponse()
	if err != nil {
		st.f.t.Fatalf("no response on stream %d: %v", st.ID, err)
	}
	return resp
}

// TryResponse is Response where the stream may be reset without one.
func (st *Stream) TryResponse() (*Response, error) {
	st.f.t.Helper()
	await(st.f.t, "the stream's end", st.done)
	st.f.mu.Lock()
	defer st.f.mu.Unlock()
	r := &Response{Proto: "HTTP/2.0", Body: st.data}
	ended := false
	for i, fields := range st.heads {
		h := http.Header{}
		for name, values := range fields {
			if name[0] != ':' {
				h[http.CanonicalHeaderKey(name)] = values
			}
		}
		ended = ended || st.ends[i]
		if r.Status != 0 {
			r.Trailer = h
			continue
		}
		status, err := strconv.Atoi(strings.Join(fields[":status"], ","))
		switch {
		case err != nil:
			return nil, errors.New("a response head without a :status")
		case status < 200:
			r.Interim = append(r.Interim, Interim{Status: status, Fields: h})
		default:
			r.Status, r.Fields = status, h
		}
	}
	switch {
	case r.Status == 0 && st.reset != nil:
		return nil, errReset{*st.reset}
	case r.Status == 0:
		return nil, io.ErrUnexpectedEOF
	case st.reset != nil:
		r.BodyErr = errReset{*st.reset}
	}
	return r, nil
}

// single says whether the response was one HEADERS frame that ended the stream.
func (st *Stream) single() bool {
	st.f.mu.Lock()
	defer st.f.mu.Unlock()
	return len(st.heads) == 1 && st.ends[0] && len(st.data) == 0
}

// GoAways returns the GOAWAY frames received so far.
func (f *Frames) GoAways() []http2.GoAwayFrame {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]http2.GoAwayFrame(nil), f.goAways...)
}

// Setting returns one of weir's settings.
func (f *Frames) Setting(id http2.SettingID) (uint32, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.settings[id]
	return v, ok
}

// abortUpload starts a chunked (or streamed) upload, sends the parts and leaves
// without ending it, once the function has been reached.
func abortUpload(t testing.TB, s *Stage, path string, parts ...string) {
	t.Helper()
	begun := s.Function.Count().Begun
	reached := func() {
		eventually(t, "the upload reaching the function", func() (bool, string) {
			return s.Function.Count().Begun > begun, "it has not"
		})
	}
	if s.Carrier.H2 {
		st := s.Frames(t).Open(false, s.request("POST "+path)...)
		for _, part := range parts {
			st.Data(part, false)
		}
		reached()
		st.Reset()
		return
	}
	c := s.Dial(t)
	c.Send("POST " + path + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, part := range parts {
		c.Send(chunk(part))
	}
	reached()
	c.Close()
}
