package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

var (
	// errNotConnected: the connection that the queues of a Trigger are on is not open.
	errNotConnected = errors.New("the connection to RabbitMQ that the queue is on is not open")
	// errNoDeadLetters: the connection of dead letter queues is another one, which is away.
	errNoDeadLetters = errors.New("the RabbitMQ of dead letter queues is not available")
)

// installation is the connection of Options.
type installation struct {
	queue.Subscriber
	queue.Publisher
	Inspector
}

// connection of a name, empty for the installation's; nil while it is not open.
func (d *Dispatcher) connection(name string) Connection {
	switch {
	case name == "":
		return d.installation
	case d.options.Connection == nil:
		return nil
	}
	return d.options.Connection(name)
}

// publishReply on the connection of the Broker.
func (d *Dispatcher) publishReply(ctx context.Context, s *subscription, keys []string, m *queue.Message) error {
	c := d.connection(s.replies)
	if c == nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, errNotConnected)
	}
	return c.Publish(ctx, keys, m)
}

// putDeadLetter into a queue of the installation's connection. If that is away, an event of
// another connection is not held in hand: it can wait on its own.
func (l *lane) putDeadLetter(ctx context.Context, name string, m *queue.Message) error {
	err := l.w.d.options.Publisher.Put(ctx, name, m)
	if l.on != l.w.d.installation && (errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrBlocked)) {
		return fmt.Errorf("%w: %v", errNoDeadLetters, err) //nolint:errorlint // store would try again
	}
	return err
}
