package amqp

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// Frames of AMQP 0.9.1: type, channel and size, the payload, and an end. That of a
// message's header begins with its class and a weight, which its size follows.
const (
	frameHead    = 7
	frameOfHead  = 2
	messageHead  = frameHead + 12
	frameEnd     = 1
	maxFrame     = 128 << 10
	sizeOfFrame  = 3
	sizeOfBody   = messageHead - 8
	framePayload = maxFrame - frameHead - frameEnd
)

// frames are read from a peer that is not trusted. The client library makes room for a
// frame, and for a message, as large as the peer says.
type frames struct {
	net.Conn

	limit int64 // of a message
	head  [messageHead]byte
	have  int   // bytes of head
	skip  int64 // bytes of the frame that are of no interest
}

// Read implements net.Conn.
func (f *frames) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if tooLarge := f.check(p[:n]); tooLarge != nil {
		_ = f.Close()
		return 0, tooLarge
	}
	return n, err
}

// check what comes next, before the library sees it.
func (f *frames) check(b []byte) error {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(b)))
			b, f.skip = b[n:], f.skip-n
			continue
		}
		n := copy(f.head[f.have:f.wanted()], b)
		b, f.have = b[n:], f.have+n
		if f.have < frameHead {
			continue
		}
		size := int64(binary.BigEndian.Uint32(f.head[sizeOfFrame:]))
		if size > framePayload {
			return fmt.Errorf("RabbitMQ sent a frame of %d bytes; at most %d are accepted", size, framePayload)
		}
		if f.have < f.wanted() {
			continue
		}
		if f.have == messageHead {
			if body := binary.BigEndian.Uint64(f.head[sizeOfBody:]); body > uint64(f.limit) { //nolint:gosec // it is positive
				return fmt.Errorf("RabbitMQ sent a message of %d bytes; at most %d are accepted", body, f.limit)
			}
		}
		f.skip, f.have = size+frameHead+frameEnd-int64(f.have), 0
	}
	return nil
}

// wanted bytes of the frame's beginning. A header of a message is read as far as the size
// of its body.
func (f *frames) wanted() int {
	if f.have >= frameHead && f.head[0] == frameOfHead && binary.BigEndian.Uint32(f.head[sizeOfFrame:]) >= messageHead-frameHead {
		return messageHead
	}
	return frameHead
}

// bounded returns a connection that accepts messages up to a limit, over TLS if there is a
// configuration for that: frames can be looked at only inside of it.
func bounded(ctx context.Context, raw net.Conn, config *tls.Config, limit int64) (net.Conn, error) {
	if config == nil {
		return &frames{Conn: raw, limit: limit}, nil
	}
	secured, err := egress.Secure(ctx, raw, config)
	if err != nil {
		return nil, err
	}
	return &frames{Conn: secured, limit: limit}, nil
}
