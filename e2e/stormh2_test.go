package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// actor2 is a client of HTTP/2 in the clear that sends batches of streams and
// resets some of them.
type actor2 struct {
	*storm
	rng      *rand.Rand
	conn     net.Conn // nil where there is none
	framer   *http2.Framer
	encoder  *hpack.Encoder
	block    bytes.Buffer
	next     uint32 // stream
	refused  bool   // a stream of this batch was
	heads    int
	outcomes map[string]int
}

// stream is one request of a batch.
type stream struct {
	deed2
	status string
	fields http.Header
	bytes  bool // some of the body has come
}

// deed2 is a kind of stream.
type deed2 struct {
	name, method, path string
	weight             int
	body               int  // bytes sent of stormBody
	want               int  // status; cutShort for a stream that begins with 200 and must be reset
	reset              when // by the client
}

type when int

const (
	never when = iota
	atOnce
	withinResponse
)

var deeds2 = []deed2{
	{name: "stream of HTTP/2", method: "GET", path: "/ok", weight: 20, want: 200},
	{name: "body over HTTP/2", method: "POST", path: "/ok", weight: 6, body: len(stormBody), want: 200},
	{name: "panic over HTTP/2", method: "GET", path: "/panic", weight: 2, want: 502},
	{name: "late panic over HTTP/2", method: "GET", path: "/panic-late", weight: 2, want: cutShort},
	{name: "timeout over HTTP/2", method: "GET", path: "/hang", weight: 2, want: 504},
	{name: "reset at once", method: "GET", path: "/slow", weight: 5, reset: atOnce},
	{name: "reset within the body", method: "POST", path: "/ok", weight: 5, body: len(stormBody) / 2, reset: atOnce},
	{name: "reset within the response", method: "GET", path: "/stream", weight: 5, want: 200, reset: withinResponse},
}

func (a *actor2) run() {
	const batch = 10
	for a.take(batch) {
		if err := a.batch(batch); err != nil {
			a.complain("over HTTP/2: %v", err)
			a.close()
		}
		if a.refused {
			a.refused = false
			time.Sleep(thinkTime(a.rng))
		}
	}
	a.close()
	a.report(a.heads, a.outcomes)
}

func (a *actor2) dial() error {
	c, err := net.DialTimeout("tcp", a.addr, patience)
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return err
	}
	a.conn, a.next = c, 1
	a.framer = http2.NewFramer(c, c)
	a.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	a.block.Reset()
	a.encoder = hpack.NewEncoder(&a.block)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	return a.framer.WriteSettings()
}

func (a *actor2) close() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}

// leave closes the connection over open streams, by FIN: a close with frames
// unread would reset it, and weir might never see what was sent before.
func (a *actor2) leave() error {
	defer a.close()
	if err := a.conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, a.conn)
	return err
}

// batch sends n streams and reads until each of them has ended, or leaves them
// all behind.
func (a *actor2) batch(n int) error {
	if a.conn == nil {
		if err := a.dial(); err != nil {
			return err
		}
	}
	total := 0
	for _, d := range deeds2 {
		total += d.weight
	}
	leave := a.rng.IntN(12) == 0
	open := map[uint32]*stream{}
	for range n {
		k := a.rng.IntN(total)
		i := 0
		for ; k >= deeds2[i].weight; i++ {
			k -= deeds2[i].weight
		}
		id := a.next
		a.next += 2
		if err := a.send(id, deeds2[i]); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		switch {
		case leave:
			a.outcomes["connection closed over streams: closed"]++
		case deeds2[i].reset == atOnce:
			a.outcomes[deeds2[i].name+": reset"]++
		default:
			open[id] = &stream{deed2: deeds2[i]}
		}
	}
	if leave {
		return a.leave()
	}
	for len(open) > 0 {
		if err := a.read(open); err != nil {
			return fmt.Errorf("with %d streams open: %w", len(open), err)
		}
	}
	// Both directions have a window of 64 KiB for all streams together; a
	// connection lasts for as long as what was sent surely fits.
	if a.next > 120 || a.rng.IntN(6) == 0 {
		a.close()
	}
	return nil
}

func (a *actor2) send(id uint32, d deed2) error {
	a.block.Reset()
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: d.method},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: d.path},
		{Name: ":authority", Value: "storm"},
	} {
		if err := a.encoder.WriteField(f); err != nil {
			return err
		}
	}
	if err := a.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: a.block.Bytes(), EndStream: d.body == 0, EndHeaders: true,
	}); err != nil {
		return err
	}
	a.heads++
	if d.body > 0 {
		if err := a.framer.WriteData(id, d.reset != atOnce, []byte(stormBody[:d.body])); err != nil {
			return err
		}
	}
	if d.reset == atOnce {
		return a.framer.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	return nil
}

// read takes one frame.
func (a *actor2) read(open map[uint32]*stream) error {
	frame, err := a.framer.ReadFrame()
	if err != nil {
		return err
	}
	id := frame.Header().StreamID
	s := open[id]
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		return a.framer.WriteSettingsAck()
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		return a.framer.WritePing(true, f.Data)
	case *http2.GoAwayFrame:
		return fmt.Errorf("weir sent GOAWAY: %v %q", f.ErrCode, f.DebugData())
	case *http2.MetaHeadersFrame:
		if s == nil {
			return nil
		}
		if s.status == "" {
			s.status, s.fields = f.PseudoValue("status"), http.Header{}
			for _, field := range f.RegularFields() {
				s.fields.Add(field.Name, field.Value)
			}
		}
		if f.StreamEnded() {
			return a.ended(open, id, false)
		}
	case *http2.DataFrame:
		if s == nil {
			return nil
		}
		s.bytes = s.bytes || len(f.Data()) > 0
		if s.bytes && s.reset == withinResponse && s.status == "200" {
			delete(open, id)
			a.outcomes[s.name+": reset"]++
			return a.framer.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if f.StreamEnded() {
			return a.ended(open, id, false)
		}
	case *http2.RSTStreamFrame:
		if s == nil {
			return nil
		}
		return a.ended(open, id, true)
	}
	return nil
}

// ended judges a stream that weir has ended, in order or by a reset.
func (a *actor2) ended(open map[uint32]*stream, id uint32, reset bool) error {
	s := open[id]
	delete(open, id)
	switch {
	case s.status == "429" && !reset:
		a.outcomes[s.name+": 429"]++
		a.refused = true
		return refusal(s.fields)
	case s.want == cutShort && s.status == "200":
		if !reset {
			return errors.New(s.name + ": an answer that was cut short looks complete")
		}
		a.outcomes[s.name+": cut short"]++
		return nil
	case reset:
		return fmt.Errorf("%s: weir reset the stream, with status %q before", s.name, s.status)
	case s.status != fmt.Sprint(s.want):
		return fmt.Errorf("%s: the answer is %q, want %d", s.name, s.status, s.want)
	}
	a.outcomes[s.name+": "+s.status]++
	return nil
}
