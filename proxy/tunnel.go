package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// errTunnelled tells the forwarder that the response has been dealt with.
var errTunnelled = errors.New("the connection has become a tunnel")

// mayUpgrade reports whether the request asks for a protocol that weir passes
// on: websocket alone, over HTTP/1.1 on both sides. Above all not h2c: its
// requests would run past every limit.
func (x *exchange) mayUpgrade(h http.Header) bool {
	return x.r.ProtoMajor == 1 && x.r.ProtoMinor == 1 && x.p.upstream.http1 &&
		len(h["Upgrade"]) == 1 && strings.EqualFold(h["Upgrade"][0], "websocket")
}

// tunnel joins the client's connection with the function's until both
// directions have ended. The exchange keeps its slot, and no timeout applies.
func (x *exchange) tunnel(res *http.Response) error {
	upstream, ok := res.Body.(io.ReadWriteCloser)
	if !ok || !x.mayUpgrade(res.Request.Header) || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") {
		return errUpgrade
	}
	client, buffered, err := x.control().Hijack()
	if err != nil {
		return err
	}
	x.tunnelled = true
	x.dog.stop()
	x.w.status = res.StatusCode
	x.w.started.Store(true)
	t := &tunnel{client: client, upstream: upstream}
	if !x.p.addTunnel(t) {
		x.fail(errShutdown)
		t.close()
		return errTunnelled
	}
	defer x.p.removeTunnel(t)
	if err := writeSwitch(buffered, res); err != nil {
		x.fail(errClientGone)
		t.close()
		return errTunnelled
	}
	t.run(buffered)
	return errTunnelled
}

// writeSwitch sends the head of the 101.
func writeSwitch(w *bufio.ReadWriter, res *http.Response) error {
	if _, err := io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	if err := res.Header.Write(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// tunnel is a pair of connections that relay to each other.
type tunnel struct {
	client   net.Conn
	upstream io.ReadWriteCloser
	once     sync.Once
}

// run relays both ways. fromClient holds what the client sent early. The end of
// one direction is passed on as a half-close; an error ends both.
func (t *tunnel) run(fromClient io.Reader) {
	var wg sync.WaitGroup
	wg.Go(func() { t.relay(t.upstream, fromClient) })
	wg.Go(func() { t.relay(t.client, t.upstream) })
	wg.Wait()
	t.close()
}

func (t *tunnel) relay(dst io.Writer, src io.Reader) {
	b := buffers{}.Get()
	defer buffers{}.Put(b)
	// Without WriterTo and ReaderFrom, which would bring buffers of their own.
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, b)
	half, ok := dst.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		t.close()
	}
}

func (t *tunnel) close() {
	t.once.Do(func() {
		_ = t.client.Close() // nobody is left to tell
		_ = t.upstream.Close()
	})
}

// addTunnel registers a tunnel to be closed at the end; false once that has
// come.
func (p *Proxy) addTunnel(t *tunnel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return false
	}
	p.tunnels[t] = struct{}{}
	return true
}

func (p *Proxy) removeTunnel(t *tunnel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tunnels, t)
}

// closeTunnels ends every tunnel, now and to come.
func (p *Proxy) closeTunnels() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	for t := range p.tunnels {
		t.close()
	}
}
