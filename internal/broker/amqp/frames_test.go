package amqp

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// frameOf a type with a payload.
func frameOf(kind byte, payload []byte) []byte {
	b := []byte{kind, 0, 1}
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), 0xCE)
}

// headerOf a message of a size.
func headerOf(size uint64) []byte {
	return frameOf(2, append(binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, size), "properties"...))
}

// stream is a connection from which bytes are read in pieces.
type stream struct {
	net.Conn
	from   io.Reader
	piece  int
	closed bool
}

func (s *stream) Read(p []byte) (int, error) { return s.from.Read(p[:min(len(p), s.piece)]) }
func (s *stream) Close() error               { s.closed = true; return nil }

func TestFrames(t *testing.T) {
	t.Parallel()
	ordinary := bytes.Join([][]byte{frameOf(1, []byte("method")), headerOf(1000), frameOf(3, make([]byte, 1000)), frameOf(8, nil), headerOf(0), frameOf(2, []byte("short"))}, nil)
	for name, tt := range map[string]struct {
		sent []byte
		err  string
	}{
		"ordinary":            {ordinary, ""},
		"a message too large": {append(bytes.Clone(ordinary), headerOf(1001)...), "a message of 1001 bytes; at most 1000"},
		"an absurd size":      {headerOf(1 << 63), "at most 1000"},
		"a frame too large":   {[]byte{3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF}, "a frame of 4294967295 bytes"},
		"another protocol":    {[]byte("HTTP/1.1 400 Bad Request"), "a frame of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, piece := range []int{1, 3, 7, 4096} {
				s := &stream{from: bytes.NewReader(tt.sent), piece: piece}
				got, err := io.ReadAll(&frames{Conn: s, limit: 1000})
				switch {
				case tt.err == "" && (err != nil || !bytes.Equal(got, tt.sent)):
					t.Errorf("pieces of %d: %d bytes, %v", piece, len(got), err)
				case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !s.closed):
					t.Errorf("pieces of %d: %v, closed %t", piece, err, s.closed)
				}
			}
		})
	}
}

// TestMaxMessage: what a user puts into a queue of their own RabbitMQ is not read whatever
// its size, and the consumer says why.
func TestMaxMessage(t *testing.T) {
	t.Parallel()
	r := own(t)
	direct := r.engine(t)
	q := aQueue(t, direct, false)
	e := r.engine(t, quick, func(o *Options) { o.MaxMessage = 1000 })
	c := consume(t, e, q, 5)
	must(t, direct.Put(t.Context(), q, &queue.Message{Body: bytes.Repeat([]byte("x"), 1000)}))
	must(t, c.next(t, strings.Repeat("x", 1000)).Ack())
	must(t, direct.Put(t.Context(), q, &queue.Message{Body: bytes.Repeat([]byte("y"), 1001)}))
	eventually(t, "the connection is closed", func() bool {
		err := c.c.Err()
		return err != nil && strings.Contains(err.Error(), "at most 1000")
	})
	if len(c.deliveries) > 0 {
		t.Error("the message was handed out")
	}
	_, err := direct.Inspect(t.Context(), q)
	must(t, err)
	must(t, direct.Delete(context.WithoutCancel(t.Context()), q))
}
