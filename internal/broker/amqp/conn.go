package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// answerTimeouts is how many times the timeout an answer may take.
const answerTimeouts = 3

// conn is one connection. The client library knows neither contexts nor deadlines: a
// call that RabbitMQ does not answer, and a write that it does not read, would hang
// with the locks of the library held. conn closes the socket of such a connection.
type conn struct {
	amqp        *amqp.Connection
	socket      *socket
	fingerprint string
	timeout     time.Duration
	born        time.Time
	// lost is closed when the connection is, and cause says why.
	lost chan struct{}
	// retired is closed when a connection with other credentials has taken over.
	retired chan struct{}

	mu       sync.Mutex
	cause    error
	blocked  string        // reason
	blocking chan struct{} // closed while RabbitMQ accepts no messages
	users    int
	draining bool
}

// dial opens a connection.
func dial(ctx context.Context, o *Options, c Credentials, name string) (*conn, error) {
	uri, err := c.URI()
	if err != nil {
		return nil, err
	}
	config, err := c.tls(&uri)
	if err != nil {
		return nil, err
	}
	out := &conn{
		fingerprint: c.fingerprint(), timeout: o.Timeout, born: time.Now(),
		lost: make(chan struct{}), retired: make(chan struct{}), blocking: make(chan struct{}),
	}
	defer context.AfterFunc(ctx, out.abort)()
	inside, frameSize := config, 0
	if o.MaxMessage > 0 { // TLS ends before the library
		uri.Scheme, frameSize = "amqp", maxFrame
	}
	conn, err := amqp.DialConfig(uri.String(), amqp.Config{
		Vhost: uri.Vhost, SASL: []amqp.Authentication{uri.PlainAuth()}, Heartbeat: o.Heartbeat, TLSClientConfig: config, FrameSize: frameSize,
		Properties: amqp.Table{"product": o.Name, "connection_name": name},
		Dial: func(network, address string) (net.Conn, error) {
			raw, err := o.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			s := out.adopt(raw)
			// The handshake has a deadline too; the library removes it afterwards.
			if err := raw.SetDeadline(time.Now().Add(o.Timeout)); err != nil || o.MaxMessage == 0 {
				return s, err
			}
			return bounded(ctx, s, inside, o.MaxMessage)
		},
	})
	if err != nil {
		out.abort()
		return nil, refusal(err)
	}
	out.amqp = conn
	go out.watch(conn.NotifyClose(make(chan *amqp.Error, 1)), conn.NotifyBlocked(make(chan amqp.Blocking, 1)))
	return out, nil
}

// refusal marks the errors that another attempt does not cure.
func refusal(err error) error {
	if errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrVhost) || answered(err, amqp.AccessRefused) || answered(err, amqp.NotAllowed) {
		return fmt.Errorf("%w: %w", queue.ErrRefused, err)
	}
	return err
}

func (c *conn) adopt(raw net.Conn) *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket = &socket{Conn: raw, timeout: c.timeout}
	return c.socket
}

// abort a connection that may have no socket yet.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		_ = c.socket.Close()
	}
}

// watch until the connection is lost. The library closes both channels.
func (c *conn) watch(closes chan *amqp.Error, blocks chan amqp.Blocking) {
	for b := range blocks {
		c.mu.Lock()
		if !b.Active && c.blocked != "" {
			c.blocked, c.blocking = "", make(chan struct{})
		} else if b.Active && c.blocked == "" {
			c.blocked = cmp.Or(b.Reason, "no reason given")
			close(c.blocking)
		}
		c.mu.Unlock()
	}
	err := <-closes
	c.mu.Lock()
	if c.cause == nil && err != nil {
		c.cause = err
	}
	c.mu.Unlock()
	close(c.lost)
}

// kill closes the socket, whatever hangs.
func (c *conn) kill(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	_ = c.socket.Close()
}

// isBlocked returns the reason for which RabbitMQ accepts no messages, or "", and a
// channel that is closed when it does not.
func (c *conn) isBlocked() (reason string, blocking <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocked, c.blocking
}

func (c *conn) isLost() bool {
	return c.amqp.IsClosed() || isClosed(c.lost)
}

// failure wraps an error of this connection as queue.ErrUnavailable, unless it is
// something that RabbitMQ answered.
func (c *conn) failure(err error) error {
	var answer *amqp.Error
	if err == nil || errors.As(err, &answer) && answer.Server {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		err = c.cause
	}
	return unavailable(err)
}

// call does something that waits for RabbitMQ's answer. If ctx ends before that, the
// call goes on without its caller; if RabbitMQ does not answer in time, the
// connection is closed.
func (c *conn) call(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() {
		answered := make(chan struct{})
		defer close(answered)
		go c.expect(answered)
		done <- f()
	}()
	select {
	case err := <-done:
		return c.failure(err)
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// expect an answer. Heartbeats and the deadlines of writes find a connection that
// hangs; an operation on a queue without a leader may take longer than those.
func (c *conn) expect(answered <-chan struct{}) {
	limit := answerTimeouts * c.timeout
	for {
		select {
		case <-answered:
			return
		case <-time.After(limit):
		}
		if reason, _ := c.isBlocked(); reason == "" { // else it reads nothing until it has room
			c.kill(fmt.Errorf("RabbitMQ did not answer within %s", limit))
			return
		}
	}
}

// use keeps the connection open until release. It is false if a connection with other
// credentials has taken over.
func (c *conn) use() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return false
	}
	c.users++
	return true
}

func (c *conn) release() {
	c.mu.Lock()
	c.users--
	idle := c.draining && c.users == 0
	c.mu.Unlock()
	if idle {
		go c.close()
	}
}

// retire closes the connection when it is no longer in use, or after drainTimeout.
func (c *conn) retire() {
	c.mu.Lock()
	c.draining = true
	idle := c.users == 0
	c.mu.Unlock()
	close(c.retired)
	if idle {
		c.close()
		return
	}
	select {
	case <-c.lost:
	case <-time.After(drainTimeout):
		c.close()
	}
}

// close gracefully, or the hard way if that takes too long.
func (c *conn) close() {
	timer := time.AfterFunc(closeTimeout, func() { _ = c.socket.Close() })
	defer timer.Stop()
	_ = c.amqp.Close()
}

// socket closes itself when a write fails or takes too long.
type socket struct {
	net.Conn

	timeout time.Duration
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", queue.ErrUnavailable, err) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
