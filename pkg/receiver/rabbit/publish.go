package rabbit

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// maxIdle channels that are kept for the next letters.
const maxIdle = 16

// confirming is a channel on which RabbitMQ says what became of each message. One
// message at a time is on it, so that what comes back is that one.
type confirming struct {
	conn     *amqp.Connection
	channel  *amqp.Channel
	returned chan amqp.Return
}

var _ deadletter.Store = (*Broker)(nil)

// Publish implements deadletter.Store.
func (b *Broker) Publish(ctx context.Context, queue string, e *event.Event) error {
	c, err := b.take(ctx)
	if err != nil {
		return err
	}
	err = c.publish(ctx, queue, publishing(e))
	b.give(c)
	return err
}

func (c *confirming) publish(ctx context.Context, queue string, p amqp.Publishing) error {
	const mandatory, immediate = true, false
	confirm, err := c.channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, mandatory, immediate, p)
	if err != nil {
		return fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	acked, err := confirm.WaitContext(ctx)
	if err != nil {
		_ = c.channel.Close() // an answer that came later would be taken for the next message's
		return fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	select {
	case <-c.returned: // comes before the confirmation
		return fmt.Errorf("%w: %s", deadletter.ErrNoQueue, queue)
	default:
	}
	switch {
	case acked:
		return nil
	case c.channel.IsClosed():
		return fmt.Errorf("%w: the connection broke before it had taken the event", deadletter.ErrUnavailable)
	}
	return fmt.Errorf("%w: %s", deadletter.ErrFull, queue)
}

// take returns an idle channel or opens one.
func (b *Broker) take(ctx context.Context) (*confirming, error) {
	conn, err := b.connection(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	for len(b.channels) > 0 {
		last := len(b.channels) - 1
		c := b.channels[last]
		b.channels = b.channels[:last]
		if c.conn == conn && !c.channel.IsClosed() {
			b.mu.Unlock()
			return c, nil
		}
	}
	b.mu.Unlock()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
	}
	return &confirming{conn: conn, channel: ch, returned: ch.NotifyReturn(make(chan amqp.Return, 1))}, nil
}

// give keeps a channel for the next letter.
func (b *Broker) give(c *confirming) {
	b.mu.Lock()
	keep := !c.channel.IsClosed() && c.conn == b.conn && len(b.channels) < maxIdle
	if keep {
		b.channels = append(b.channels, c)
	}
	b.mu.Unlock()
	if !keep {
		_ = c.channel.Close()
	}
}
