package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// deliveryLimit of a quorum queue. Unset, it is 20 from RabbitMQ 4.0 on, which drops
// messages that were returned more often; a negative one discards at the first return
// in 3.10.
const deliveryLimit = 1_000_000

// DeclareExchange implements queue.Topology.
func (e *Engine) DeclareExchange(ctx context.Context) error {
	err := e.apart(ctx, func(ch *amqp.Channel) error {
		const durable, autoDelete, internal, noWait = true, false, false, false
		return ch.ExchangeDeclare(queue.Exchange, amqp.ExchangeDirect, durable, autoDelete, internal, noWait, nil)
	})
	return asUnavailable(err)
}

// Declare implements queue.Topology.
func (e *Engine) Declare(ctx context.Context, d queue.Declaration) error {
	if err := d.Validate(); err != nil {
		return err
	}
	err := e.apart(ctx, func(ch *amqp.Channel) error {
		const durable, autoDelete, exclusive, noWait = true, false, false, false
		_, err := ch.QueueDeclare(d.Name, durable, autoDelete, exclusive, noWait, arguments(d))
		return err
	})
	if answered(err, amqp.PreconditionFailed) {
		return fmt.Errorf("%w: %s: %w", queue.ErrConflict, d.Name, err)
	}
	return asUnavailable(err)
}

// segment of a stream, in bytes. RabbitMQ drops whole segments.
const segment = 16 << 20

func arguments(d queue.Declaration) amqp.Table {
	if d.Kind == queue.Stream {
		return amqp.Table{
			"x-queue-type": string(queue.Stream), "x-max-age": fmt.Sprintf("%ds", d.MaxAge/time.Second),
			"x-max-length-bytes": d.MaxBytes, "x-stream-max-segment-size-bytes": int64(segment),
		}
	}
	out := amqp.Table{"x-queue-type": string(queue.Classic)}
	if !d.OverflowByPolicy { // an argument is stronger than a policy
		out["x-overflow"] = "reject-publish"
	}
	if d.Kind != queue.Classic {
		out["x-queue-type"], out["x-delivery-limit"] = string(queue.Quorum), int64(deliveryLimit)
	}
	if d.Ordered {
		out["x-single-active-consumer"] = true
	}
	return out
}

// Inspect implements queue.Topology.
func (e *Engine) Inspect(ctx context.Context, name string) (queue.State, error) {
	if err := queue.ValidateName("queue", name); err != nil {
		return queue.State{}, err
	}
	if err := e.begin(); err != nil {
		return queue.State{}, err
	}
	return e.control.inspect(ctx, name)
}

// Bind implements queue.Topology.
func (e *Engine) Bind(ctx context.Context, name, key string) error {
	if err := errors.Join(queue.ValidateName("queue", name), queue.ValidateName("key", key)); err != nil {
		return err
	}
	err := e.apart(ctx, func(ch *amqp.Channel) error {
		const noWait = false
		return ch.QueueBind(name, key, queue.Exchange, noWait, nil)
	})
	if answered(err, amqp.NotFound) && !strings.Contains(err.Error(), "no exchange") {
		return fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
	}
	return asUnavailable(err)
}

// Unbind implements queue.Topology.
func (e *Engine) Unbind(ctx context.Context, name, key string) error {
	if err := errors.Join(queue.ValidateName("queue", name), queue.ValidateName("key", key)); err != nil {
		return err
	}
	err := e.apart(ctx, func(ch *amqp.Channel) error { return ch.QueueUnbind(name, key, queue.Exchange, nil) })
	if answered(err, amqp.NotFound) {
		return nil
	}
	return asUnavailable(err)
}

// Delete implements queue.Topology.
func (e *Engine) Delete(ctx context.Context, name string) error {
	if err := queue.ValidateName("queue", name); err != nil {
		return err
	}
	err := e.apart(ctx, func(ch *amqp.Channel) error {
		const ifUnused, ifEmpty, noWait = false, false, false // quorum queues know no condition
		_, err := ch.QueueDelete(name, ifUnused, ifEmpty, noWait)
		return err
	})
	if answered(err, amqp.NotFound) {
		return nil
	}
	return asUnavailable(err)
}

// apart does something on a channel of its own: RabbitMQ closes the channel of what it
// refuses.
func (e *Engine) apart(ctx context.Context, f func(ch *amqp.Channel) error) error {
	if err := e.begin(); err != nil {
		return err
	}
	c, err := e.consuming.get(ctx)
	if err != nil {
		return err
	}
	return c.call(ctx, func() error {
		ch, err := c.amqp.Channel()
		if err != nil {
			return err
		}
		if err := f(ch); err != nil {
			_ = ch.Close()
			return err
		}
		return ch.Close()
	})
}

// answered says whether RabbitMQ answered with a code.
func answered(err error, code int) bool {
	var answer *amqp.Error
	return errors.As(err, &answer) && answer.Server && answer.Code == code
}

// control is a channel for looking at queues, opened again when RabbitMQ has closed it
// because a queue does not exist.
type control struct {
	link *link
	busy chan struct{} // held while a call is on the channel: answers carry no name

	conn    *conn
	channel *amqp.Channel
}

func (c *control) inspect(ctx context.Context, name string) (queue.State, error) {
	conn, err := c.link.get(ctx)
	if err != nil {
		return queue.State{}, err
	}
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return queue.State{}, unavailable(ctx.Err())
	}
	var state queue.State
	err = conn.call(ctx, func() (err error) {
		defer func() { <-c.busy }()
		state, err = c.declarePassive(conn, name)
		return err
	})
	switch {
	case answered(err, amqp.NotFound):
		return queue.State{}, fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
	case err != nil:
		return queue.State{}, asUnavailable(err)
	}
	return state, nil
}

func (c *control) declarePassive(conn *conn, name string) (queue.State, error) {
	if c.channel == nil || c.conn != conn || c.channel.IsClosed() {
		if c.channel != nil && c.conn == conn {
			_ = c.channel.Close()
		}
		ch, err := conn.amqp.Channel()
		if err != nil {
			return queue.State{}, err
		}
		c.conn, c.channel = conn, ch
	}
	const durable, autoDelete, exclusive, noWait = true, false, false, false
	q, err := c.channel.QueueDeclarePassive(name, durable, autoDelete, exclusive, noWait, nil)
	return queue.State{Messages: q.Messages, Consumers: q.Consumers}, err
}
