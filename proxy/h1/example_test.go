package h1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"weir/proxy/h1"
)

func Example() {
	limits := &h1.Limits{Body: 1 << 20}
	client := strings.NewReader("POST /greet?to=you HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\nX-Caller: forged\r\n" +
		"Content-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\n")
	var upstream bytes.Buffer

	var src h1.Source
	var dst h1.Sink
	var req h1.Request
	var relay h1.Relay
	src.Reset(client, make([]byte, 4096))
	dst.Reset(&upstream, make([]byte, 4096))

	for {
		n, err := req.Parse(src.Buffered(), limits)
		if err != nil {
			fmt.Println("refuse:", err)
			return
		}
		if n > 0 {
			req.Rebase(src.Hold(n))
			break
		}
		if _, err := src.Fill(); err != nil {
			fmt.Println("client gone:", err)
			return
		}
	}

	req.DropLike("X-Caller")
	b := req.AppendLine(dst.Begin(), "localhost")
	b = req.AppendFields(b, req.Body())
	b = h1.AppendField(b, "Via", "1.1 weir")
	b = req.Body().AppendTo(b)
	dst.Commit(h1.AppendEnd(b))

	relay.Start(&src, &dst, req.Body(), req.Body(), limits)
	for {
		done, err := relay.Step()
		if err != nil {
			fmt.Println("abort both sides:", err)
			return
		}
		if done {
			break
		}
	}
	fmt.Println(strings.ReplaceAll(upstream.String(), "\r", ""))
	fmt.Printf("served %s, next: %q\n", req.Path(), src.Buffered())
	src.Release()
	// Output:
	// POST /greet?to=you HTTP/1.1
	// Host: example.com
	// Via: 1.1 weir
	// Content-Length: 5
	//
	// hello
	// served /greet, next: "GET /next HTTP/1.1\r\n"
}

func ExampleRequest_Parse() {
	limits := &h1.Limits{}
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		var req h1.Request
		n, err := req.Parse([]byte(raw), limits)
		var refusal *h1.Error
		switch {
		case errors.As(err, &refusal):
			fmt.Println(refusal.Status, refusal.Fault)
		case n == 0:
			fmt.Println("more bytes are needed")
		default:
			fmt.Printf("%s %s for %s, %d bytes, websocket: %v\n", req.Method(), req.Target(), req.Host(), n, req.UpgradesToWebSocket())
		}
	}
	// Output:
	// GET / for h, 68 bytes, websocket: true
	// more bytes are needed
	// 400 Transfer-Encoding beside Content-Length
}

func ExampleResponse_Parse() {
	raw := []byte("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\nno such page")
	limits := &h1.Limits{}
	var resp h1.Response
	for {
		resp.Reset()
		n, err := resp.Parse(raw, h1.GET, limits)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d %s: %v, to an HTTP/1.1 client %v\n", resp.Status(), resp.Reason(), resp.Body().Kind, resp.Forwarded(1).Kind)
		if !resp.Interim() {
			break
		}
		raw = raw[n:]
	}
	// Output:
	// 103 Early Hints: no body, to an HTTP/1.1 client no body
	// 404 Not Found: until close, to an HTTP/1.1 client chunked
}

func ExampleRequest_AppendFields() {
	var req h1.Request
	if _, err := req.Parse([]byte("GET http://example.com/a%2Fb HTTP/1.1\r\nHost: ignored\r\nX-B:  2\r\nConnection: x-secret\r\nX-Secret: s\r\nx-a: 1\r\n\r\n"), &h1.Limits{}); err != nil {
		fmt.Println(err)
		return
	}
	b := req.AppendLine(nil, "localhost")
	b = req.AppendFields(b, req.Body())
	b = h1.AppendConnection(b, h1.OptionClose)
	os.Stdout.Write(bytes.ReplaceAll(b, []byte("\r"), nil)) //nolint:errcheck
	// Output:
	// GET /a%2Fb HTTP/1.1
	// Host: example.com
	// X-B:  2
	// x-a: 1
	// Connection: close
}

// A response of weir's own.
func ExampleAppendStatus() {
	b := h1.AppendStatus(nil, 429, "Too Many Requests")
	b = h1.AppendInt(b, "Retry-After", 2)
	b = h1.AppendField(b, "Weir-Throttled", "max_inflight")
	b = h1.Framing{Kind: h1.ByLength, Length: 0}.AppendTo(b)
	b = h1.AppendEnd(b)
	fmt.Printf("%q\n", b)
	// Output:
	// "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nWeir-Throttled: max_inflight\r\nContent-Length: 0\r\n\r\n"
}

func ExampleRelay_Step() {
	for _, body := range []string{
		"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		"5\r\nhello\r\n",
		"5\nhello\r\n0\r\n\r\n",
	} {
		var out bytes.Buffer
		var src h1.Source
		var dst h1.Sink
		var relay h1.Relay
		src.Reset(strings.NewReader(body), make([]byte, 1024))
		dst.Reset(&out, make([]byte, 1024))
		chunked := h1.Framing{Kind: h1.ByChunks}
		relay.Start(&src, &dst, chunked, chunked, &h1.Limits{})
		err := relay.Run()

		var malformed *h1.Error
		var source *h1.SourceError
		switch {
		case err == nil:
			fmt.Printf("complete: %q\n", out.String())
		case errors.As(err, &malformed):
			fmt.Println("malformed:", malformed.Status, malformed.Fault)
		case errors.As(err, &source):
			fmt.Println("cut short:", errors.Is(err, io.ErrUnexpectedEOF), "after", relay.Moved(), "bytes")
		}
	}
	// Output:
	// complete: "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
	// cut short: true after 5 bytes
	// malformed: 400 line ends in a bare LF
}
