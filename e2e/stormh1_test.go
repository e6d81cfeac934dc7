package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

// actor is a client of HTTP/1.1 that sends one request after the other, on one
// connection as long as that lasts.
type actor struct {
	*storm
	rng      *rand.Rand
	conn     *net.TCPConn // nil where there is none
	in       *bufio.Reader
	heads    int
	outcomes map[string]int
}

// deed is a kind of request.
type deed struct {
	name   string
	weight int
	do     func(*actor) (outcome string, err error)
}

var deeds = []deed{
	{"kept alive", 40, func(a *actor) (string, error) { return a.exchange("GET /ok", "", "", 200) }},
	{"with a body", 12, func(a *actor) (string, error) {
		return a.exchange("POST /ok", "Content-Length: 600\r\n", stormBody, 200)
	}},
	{"chunked", 4, func(a *actor) (string, error) {
		return a.exchange("POST /ok", "Transfer-Encoding: chunked\r\n", "258\r\n"+stormBody+"\r\n0\r\n\r\n", 200)
	}},
	{"new connection", 5, func(a *actor) (string, error) {
		a.close(false)
		return a.exchange("GET /ok", "Connection: close\r\n", "", 200)
	}},
	{"stream", 4, func(a *actor) (string, error) { return a.exchange("GET /stream", "", "", 200) }},
	{"waiting", 14, func(a *actor) (string, error) { return a.exchange("GET /wait", "", "", 200) }},
	{"panic", 2, func(a *actor) (string, error) { return a.exchange("GET /panic", "", "", 502) }},
	{"connection cut", 2, func(a *actor) (string, error) { return a.exchange("POST /cut", "Content-Length: 0\r\n", "", 502) }},
	{"late panic", 2, func(a *actor) (string, error) { return a.exchange("GET /panic-late", "", "", cutShort) }},
	{"connection cut late", 2, func(a *actor) (string, error) { return a.exchange("GET /cut-late", "", "", cutShort) }},
	{"timeout", 1, func(a *actor) (string, error) { return a.exchange("GET /hang", "", "", 504) }},
	{"late timeout", 1, func(a *actor) (string, error) { return a.exchange("GET /hang-late", "", "", cutShort) }},
	{"abort before the body", 3, func(a *actor) (string, error) {
		return a.abort("POST /ok", "Content-Length: 600\r\n", "", nothing)
	}},
	{"abort within the body", 3, func(a *actor) (string, error) {
		return a.abort("POST /ok", "Content-Length: 600\r\n", stormBody[:250], nothing)
	}},
	{"abort before the response", 4, func(a *actor) (string, error) { return a.abort("GET /slow", "", "", aMoment) }},
	{"abort within the response", 4, func(a *actor) (string, error) { return a.abort("GET /stream", "", "", someBytes) }},
	{"abort while waiting", 4, func(a *actor) (string, error) { return a.abort("GET /wait", "", "", aMoment) }},
	{"tunnel closed by the client", 1, func(a *actor) (string, error) { return a.tunnel("client") }},
	{"tunnel closed by the function", 1, func(a *actor) (string, error) { return a.tunnel("function") }},
	{"tunnel of a client that dies", 1, func(a *actor) (string, error) { return a.tunnel("client-dies") }},
	{"tunnel of a function that dies", 1, func(a *actor) (string, error) { return a.tunnel("function-dies") }},
}

// expectedOutcomes is what each kind must have ended in at least once.
var expectedOutcomes = map[string][]string{
	"kept alive": {"200", "429"}, "with a body": {"200", "429"}, "chunked": {"200", "429"},
	"new connection": {"200", "429"}, "stream": {"200", "429"}, "waiting": {"200", "429"},
	"panic": {"502"}, "connection cut": {"502"}, "late panic": {"cut short"}, "connection cut late": {"cut short"},
	"timeout": {"504"}, "late timeout": {"cut short"},
	"abort before the body": {"closed", "reset"}, "abort within the body": {"closed", "reset"},
	"abort before the response": {"closed", "reset"}, "abort while waiting": {"closed", "reset"},
	"abort within the response":   {"closed", "reset"},
	"tunnel closed by the client": {"101"}, "tunnel closed by the function": {"101"},
	"tunnel of a client that dies": {"101"}, "tunnel of a function that dies": {"101"},
	"stream of HTTP/2": {"200", "429"}, "body over HTTP/2": {"200"}, "panic over HTTP/2": {"502"},
	"timeout over HTTP/2": {"504"}, "late panic over HTTP/2": {"cut short"},
	"reset at once": {"reset"}, "reset within the body": {"reset"}, "reset within the response": {"reset"},
	"connection closed over streams": {"closed"},
}

var stormBody = strings.Repeat("b", 600)

// cutShort is the status that exchange expects of a response that begins well
// and must not end so.
const cutShort = 0

func (a *actor) run() {
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	for a.take(1) {
		n := a.rng.IntN(total)
		i := 0
		for ; n >= deeds[i].weight; i++ {
			n -= deeds[i].weight
		}
		outcome, err := deeds[i].do(a)
		if err != nil {
			a.complain("%s: %v", deeds[i].name, err)
			outcome = "wrong"
			a.close(false)
		}
		a.outcomes[deeds[i].name+": "+outcome]++
		if outcome == "429" {
			time.Sleep(thinkTime(a.rng))
		}
	}
	a.close(false)
	a.report(a.heads, a.outcomes)
}

// thinkTime is how long a client that was refused stays away: far shorter than
// it is told, or the storm would be none.
func thinkTime(rng *rand.Rand) time.Duration {
	return time.Duration(5+rng.IntN(25)) * time.Millisecond
}

// send sends a request, on a new connection where there is none.
func (a *actor) send(line, fields, body string) error {
	if a.conn == nil {
		c, err := net.DialTimeout("tcp", a.addr, patience)
		if err != nil {
			return err
		}
		a.conn, a.in = c.(*net.TCPConn), bufio.NewReaderSize(c, 2048)
		if err := a.conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(a.conn, line+" HTTP/1.1\r\nHost: storm\r\n"+fields+"\r\n"+body); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	a.heads++
	return nil
}

// close ends the connection: by FIN, or by RST.
func (a *actor) close(reset bool) {
	if a.conn == nil {
		return
	}
	if reset {
		_ = a.conn.SetLinger(0) // else it is closed by FIN
	}
	_ = a.conn.Close()
	a.conn, a.in = nil, nil
}

// exchange sends a request and reads the whole answer, which has that status or
// is a refusal.
func (a *actor) exchange(line, fields, body string, want int) (string, error) {
	if err := a.send(line, fields, body); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(a.in, nil)
	if errors.Is(err, io.ErrUnexpectedEOF) && want == cutShort {
		a.close(false)
		return "cut short", nil // before its head was sent
	}
	if err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.Close {
		defer a.close(false)
	}
	switch {
	case res.StatusCode == http.StatusTooManyRequests && err == nil:
		return "429", refusal(res.Header)
	case line == "GET /hang-late" && res.StatusCode == http.StatusGatewayTimeout && err == nil:
		return "504", nil // a slow machine: the time was over before the response began
	case want == cutShort && res.StatusCode == http.StatusOK:
		if err == nil {
			return "", errors.New("an answer that was cut short looks complete")
		}
		return "cut short", nil
	case err != nil:
		return "", fmt.Errorf("reading the body of a %d: %w", res.StatusCode, err)
	case res.StatusCode != want:
		return "", fmt.Errorf("the answer is %s, want %d", res.Status, want)
	case strings.HasSuffix(line, "/stream") && n != stormStream:
		return "", fmt.Errorf("the answer has %d bytes, want %d", n, stormStream)
	}
	return fmt.Sprint(want), nil
}

// refusal checks what a refusal must say.
func refusal(h http.Header) error {
	for _, name := range []string{"Retry-After", "Weir-Throttled", "Ratelimit", "Proxy-Status"} {
		if h.Get(name) == "" {
			return fmt.Errorf("a refusal has no %s", name)
		}
	}
	return nil
}

// What abort waits for before it leaves.
const (
	nothing = iota
	aMoment
	someBytes
)

// abort sends a request, or a part of it, and leaves.
func (a *actor) abort(line, fields, body string, after int) (string, error) {
	if a.rng.IntN(2) == 0 {
		a.close(false) // begin with a new connection
	}
	if err := a.send(line, fields, body); err != nil {
		return "", err
	}
	switch after {
	case aMoment:
		time.Sleep(time.Duration(a.rng.IntN(5000)) * time.Microsecond)
	case someBytes:
		if _, err := a.in.Peek(200); err != nil {
			return "", fmt.Errorf("waiting for a part of the answer: %w", err)
		}
	}
	if reset := a.rng.IntN(2) == 0; reset {
		a.close(true)
		return "reset", nil
	}
	a.close(false)
	return "closed", nil
}

// tunnel upgrades to a WebSocket, has one message echoed, and sees it end.
func (a *actor) tunnel(end string) (string, error) {
	a.close(false)
	defer a.close(false)
	if err := a.send("GET /websocket?end="+end, "Connection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n", ""); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if res.StatusCode == http.StatusTooManyRequests {
		return "429", refusal(res.Header)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return "", fmt.Errorf("the answer is %s, want 101", res.Status)
	}
	// Frames (RFC 6455, 5.2) masked with zeros: text "x", and close with 1000.
	const text, closing = "\x81\x81\x00\x00\x00\x00x", "\x88\x82\x00\x00\x00\x00\x03\xe8"
	if _, err := io.WriteString(a.conn, text); err != nil {
		return "", err
	}
	var echo [3]byte
	if _, err := io.ReadFull(a.in, echo[:]); err != nil || string(echo[:]) != "\x81\x01x" {
		return "", fmt.Errorf("the echo is %q: %w", echo, err)
	}
	switch end {
	case "client-dies":
		a.close(a.rng.IntN(2) == 0)
		return "101", nil
	case "client":
		if _, err := io.WriteString(a.conn, closing); err != nil {
			return "", err
		}
	case "function":
		var frame [4]byte
		if _, err := io.ReadFull(a.in, frame[:]); err != nil || frame[0] != 0x88 {
			return "", fmt.Errorf("the close frame is %q: %w", frame, err)
		}
		if _, err := io.WriteString(a.conn, closing); err != nil {
			return "", err
		}
	}
	// The function's end of the connection is passed on.
	if _, err := io.Copy(io.Discard, a.in); err != nil {
		return "", fmt.Errorf("waiting for the tunnel's end: %w", err)
	}
	return "101", nil
}
