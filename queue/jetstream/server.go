//go:build !noqueueserver

package jetstream

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// embedded is the server within this process. A build with the tag noqueueserver has
// none: half the size, for sidecars without a queue or with an external one.
type embedded = server.Server

// startServer starts one for the calls in o.Dir, by way of place.
func startServer(o *Options, place string) (*embedded, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "weir", DontListen: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: place, SyncAlways: !o.NoSync, DisableJetStreamBanner: true,
		// What room lets in, with a reserve for settling it.
		JetStreamMaxStore: o.MaxBytes + o.MaxBytes/8, JetStreamMaxMemory: minBytes,
		// One connection, which is this process: what it asks for it also reads.
		MaxPending: 256 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	start := &startLog{}
	s.SetLoggerV2(serverLog{o.Log, start, strings.NewReplacer(place, o.Dir)}, false, false, false)
	s.Start()
	if reason := start.end(); reason != "" { // it would never be ready
		stopServer(s)
		return nil, fmt.Errorf("jetstream: the server for the calls in %s did not start: %s", o.Dir, reason)
	}
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		stopServer(s)
		return nil, fmt.Errorf("jetstream: the server for the calls in %s did not start within %v; the log says why", o.Dir, startTimeout)
	}
	return s, nil
}

func stopServer(s *embedded) {
	s.Shutdown()
	s.WaitForShutdown()
}
