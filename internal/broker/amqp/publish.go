package amqp

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// carbonCopies is the header of further routing keys that RabbitMQ removes.
const carbonCopies = "BCC"

var errNotRouted = errors.New("RabbitMQ returned the message")

// Publish implements queue.Publisher.
func (e *Engine) Publish(ctx context.Context, keys []string, m *queue.Message) error {
	if err := queue.ValidateKeys(keys); err != nil {
		return err
	}
	err := e.publish(ctx, queue.Exchange, keys, m)
	if errors.Is(err, errNotRouted) {
		return queue.ErrUnrouted
	}
	return err
}

// Put implements queue.Publisher.
func (e *Engine) Put(ctx context.Context, name string, m *queue.Message) error {
	if err := queue.ValidateName("queue", name); err != nil {
		return err
	}
	const byName = "" // the default exchange
	err := e.publish(ctx, byName, []string{name}, m)
	switch {
	case errors.Is(err, errNotRouted):
		return fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
	case errors.Is(err, queue.ErrFull):
		return fmt.Errorf("%w: %s", queue.ErrFull, name)
	}
	return err
}

func (e *Engine) publish(ctx context.Context, exchange string, keys []string, m *queue.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if err := e.begin(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.Timeout, fmt.Errorf("no confirmation within %s", e.o.Timeout))
	defer cancel()
	ch, err := e.publishers.take(ctx)
	if err != nil {
		return err
	}
	defer e.publishers.give(ch)
	r := &request{ctx: ctx, exchange: exchange, key: keys[0], publishing: publishing(keys, m), sent: make(chan outcome, 1)}
	if err := ch.fits(r); err != nil {
		return err
	}
	return ch.publish(r)
}

func publishing(keys []string, m *queue.Message) amqp.Publishing {
	headers := make(amqp.Table, len(m.Headers)+1)
	for name, value := range m.Headers {
		headers[name] = value
	}
	if len(keys) > 1 {
		copies := make([]any, 0, queue.MaxKeys)
		for _, key := range keys[1:] {
			copies = append(copies, key)
		}
		headers[carbonCopies] = copies
	}
	// What comes from the event does not go into properties: they are cut off at 255
	// bytes.
	return amqp.Publishing{Headers: headers, DeliveryMode: amqp.Persistent, Timestamp: time.Now(), Body: m.Body}
}

// request to publish one message.
type request struct {
	ctx           context.Context
	exchange, key string
	publishing    amqp.Publishing
	sent          chan outcome // of writing it
	returned      bool         // guarded by the channel's lock
}

type outcome struct {
	confirm *amqp.DeferredConfirmation
	err     error
}

// fits says whether the headers fit into a frame of this connection.
func (p *publisher) fits(r *request) error {
	const (
		overhead = 1 << 10 // of the frame and of the keys
		perField = 16
	)
	size, limit := overhead, p.conn.amqp.Config.FrameSize
	for name, value := range r.publishing.Headers {
		size += len(name) + perField
		switch v := value.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		}
	}
	if limit > 0 && size > limit {
		return fmt.Errorf("the headers have %d bytes, and RabbitMQ's frame_max is %d: raise it to 131072", size, limit)
	}
	return nil
}

// publish and wait for the confirmation.
func (p *publisher) publish(r *request) error {
	p.remember(r)
	defer p.forget(r)
	_, blocking := p.conn.isBlocked()
	select { // no goroutine waits for the socket with a message that nothing has been written of
	case p.requests <- r:
	case <-blocking:
		return p.notSent()
	case <-r.ctx.Done():
		return unavailable(context.Cause(r.ctx))
	case <-p.lost:
		return p.failure(r.ctx)
	}
	var o outcome
	select {
	case o = <-r.sent:
	case <-r.ctx.Done():
		p.abandon()
		return unavailable(context.Cause(r.ctx))
	case <-p.lost:
		return p.failure(r.ctx)
	}
	if o.err != nil {
		return o.err
	}
	select {
	case <-o.confirm.Done():
	case <-r.ctx.Done():
		p.abandon()
		return unavailable(context.Cause(r.ctx))
	}
	return p.confirmed(r, o.confirm.Acked())
}

// confirmed says what a confirmation means: the library takes the end of a channel for
// a refusal, and RabbitMQ confirms what it returns.
func (p *publisher) confirmed(r *request, acked bool) error {
	if !acked {
		if p.channel.IsClosed() {
			return p.failure(r.ctx)
		}
		return queue.ErrFull
	}
	select { // a return precedes its confirmation: once the collector is free, it has seen it
	case <-p.barrier:
	case <-p.lost:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.returned {
		return errNotRouted
	}
	return nil
}

// write requests, one after the other. Only this goroutine waits for the socket.
func (p *publisher) write() {
	for {
		select {
		case r := <-p.requests:
			r.sent <- p.send(r)
		case <-p.lost:
			return
		}
	}
}

func (p *publisher) send(r *request) outcome {
	if err := r.ctx.Err(); err != nil {
		return outcome{err: unavailable(context.Cause(r.ctx))}
	}
	if reason, _ := p.conn.isBlocked(); reason != "" {
		return outcome{err: p.notSent()}
	}
	const mandatory, immediate = true, false
	confirm, err := p.channel.PublishWithDeferredConfirm(r.exchange, r.key, mandatory, immediate, r.publishing)
	if err != nil {
		return outcome{err: asUnavailable(p.conn.failure(err))}
	}
	return outcome{confirm: confirm}
}

func (p *publisher) notSent() error {
	reason, _ := p.conn.isBlocked()
	return fmt.Errorf("%w: %s", queue.ErrBlocked, reason)
}
