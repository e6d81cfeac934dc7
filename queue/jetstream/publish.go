package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publish sends a message to a subject of the same server, and returns once a stream
// there has stored it; where none takes the subject, that is an error. Repeated under
// the same id within the stream's duplicate window, it is stored once. Field names go
// out in lower case: those of NATS are told apart by it.
func (s *Store) Publish(ctx context.Context, subject, id string, fields map[string][]string, body []byte) error {
	if err := s.Up(); err != nil {
		return err
	}
	m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	for name, values := range fields {
		m.Header[strings.ToLower(name)] = values
	}
	set(m, jetstream.MsgIDHeader, id)
	ctx, cancel := context.WithTimeout(ctx, s.o.WriteTimeout)
	defer cancel()
	_, err := s.session.Load().js.PublishMsg(ctx, m)
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("no JetStream stream takes the subject %s: make one, so that what is sent there is kept", subject)
	case err != nil:
		return fmt.Errorf("jetstream: publishing to %s: %w", subject, err)
	}
	return nil
}
