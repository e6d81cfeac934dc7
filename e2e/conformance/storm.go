package conformance

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	stormClients  = 16
	stormRequests = 60 // of each client
)

// storm mixes requests that end in every way there is. With wild, also those
// that weir gives up while the function goes on, and tunnels.
func storm(t testing.TB, s *Stage, wild bool) {
	t.Helper()
	s.Function.Handle("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.Function.Handle("/cut", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "begun") //nolint:errcheck // the client may have left
		flush(w)
		panic(http.ErrAbortHandler)
	})
	s.Function.Handle("/early", early(404, 103))
	s.Function.Handle("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // work
		io.WriteString(w, "slow")                                  //nolint:errcheck // the client may have left
	})
	s.Function.Handle("/hang", func(_ http.ResponseWriter, r *http.Request) { s.Function.linger(r) })
	s.Function.Tunnel("/up", "", echoTunnel)

	kinds := []func(){
		func() { s.stormRequest("POST /echo", 0) },
		func() { s.stormRequest("GET /slow", 0) },
		func() { s.stormRequest("GET /early", 0) },
		func() { s.stormRequest("POST /panic", 0) },
		func() { s.stormRequest("GET /cut", 0) },
		func() { s.stormRequest("GET /slow", 4*time.Millisecond) },
		func() { s.stormRequest("POST /echo", 2*time.Millisecond) },
	}
	if wild {
		kinds = append(kinds, func() { s.stormRequest("GET /hang", 0) }, func() { s.stormRequest("GET /hang", 10*time.Millisecond) })
		if !s.Carrier.H2 {
			kinds = append(kinds, func() { s.stormTunnel(false) }, func() { s.stormTunnel(true) })
		}
	}
	s.Do(t, "GET /", nil).want(t, 200)
	files := s.openFiles(t)
	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(func() {
			for range stormRequests {
				kinds[rand.IntN(len(kinds))]()
			}
		})
	}
	clients.Wait()
	s.closeClients()
	s.awaitNothingRuns(t)
	s.Function.awaitIdle(t)
	full(t, s)() // every slot can still be had
	eventually(t, "weir's descriptors back to what they were", func() (bool, string) {
		s.closeClients()
		n := s.openFiles(t)
		// It may keep a connection to the function for each slot.
		return n <= files+2*s.limit+2, strconv.Itoa(n) + " open, " + strconv.Itoa(files) + " before"
	})
}

// stormRequest does a request whose outcome does not matter; the client leaves
// at a random moment before the given time, unless that is 0.
func (s *Stage) stormRequest(line string, leave time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if leave > 0 {
		defer time.AfterFunc(rand.N(leave), cancel).Stop()
	}
	var body any
	if strings.HasPrefix(line, "POST") {
		body = "body"
	}
	resp, err := s.Client().Do(s.Request(ctx, line, body))
	if err == nil {
		io.Copy(io.Discard, resp.Body) //nolint:errcheck // any outcome will do
		resp.Body.Close()
	}
}

// stormTunnel opens a tunnel, says something and leaves, in order or not.
func (s *Stage) stormTunnel(abort bool) {
	conn, err := s.dial("http/1.1")
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a deadline on an open connection
	io.WriteString(conn, askTunnel("/up"))     //nolint:errcheck // any outcome will do
	conn.Read(make([]byte, 16))                //nolint:errcheck // likewise
	if !abort {
		io.WriteString(conn, "x") //nolint:errcheck // likewise
		closeWrite(conn)          //nolint:errcheck // likewise
		io.Copy(io.Discard, conn) //nolint:errcheck // likewise
	}
}

// openFiles counts weir's descriptors.
func (s *Stage) openFiles(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("weir's descriptors are counted in /proc, which %s has not", runtime.GOOS)
	}
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(s.Weir.PID) + "/fd")
	if err != nil {
		t.Fatalf("weir's descriptors: %v", err)
	}
	return len(entries)
}
