package amqp

import (
	"context"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Channel is a channel of the consuming connection, for what package queue does not
// have. A connection with replaced credentials stays open until its channels are closed.
type Channel struct {
	conn    *conn
	channel *amqp.Channel
	busy    chan struct{} // held while a call is on the channel: answers carry no name
	once    sync.Once
}

// Channel opens a channel. Errors: queue.ErrUnavailable.
func (e *Engine) Channel(ctx context.Context) (*Channel, error) {
	if err := e.begin(); err != nil {
		return nil, err
	}
	c, err := e.consuming.get(ctx)
	if err != nil {
		return nil, err
	}
	for !c.use() {
		if c, err = e.consuming.get(ctx); err != nil {
			return nil, err
		}
	}
	out := &Channel{conn: c, busy: make(chan struct{}, 1)}
	// Not with ctx: the channel would stay open if it ended meanwhile.
	err = c.call(context.WithoutCancel(ctx), func() (err error) {
		out.channel, err = c.amqp.Channel()
		return err
	})
	if err != nil {
		c.release()
		return nil, asUnavailable(err)
	}
	return out, nil
}

// Do calls f, which may wait for one answer of RabbitMQ at a time. If ctx ends first, f
// goes on without its caller. Errors: queue.ErrUnavailable, or the *amqp091.Error by
// which RabbitMQ closed the channel.
func (c *Channel) Do(ctx context.Context, f func(ch *amqp.Channel) error) error {
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	return c.conn.call(ctx, func() error {
		defer func() { <-c.busy }()
		return f(c.channel)
	})
}

// Close the channel. Messages that were got and not acknowledged return to their queue.
func (c *Channel) Close() {
	c.once.Do(func() {
		defer c.conn.release()
		_ = c.Do(context.Background(), (*amqp.Channel).Close)
	})
}

// Answered says whether an error is RabbitMQ's answer with a code, such as
// amqp091.NotFound.
func Answered(err error, code int) bool { return answered(err, code) }
