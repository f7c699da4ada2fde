package rabbit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// closeTimeout of the connections.
const closeTimeout = 10 * time.Second

// Broker keeps dead letters in RabbitMQ. It connects when it is first used.
type Broker struct {
	engine *amqp.Engine
	// streams are on a connection of their own, which is replaced if it leads to a node
	// without a replica: replays that are under way go on.
	streams *amqp.Engine

	mu   sync.Mutex
	held map[string]chan struct{} // locks of this process; closed when they are given back
}

// New returns a Broker that reads its connection from the files of a Secret, as
// amqp.ReadCredentials does.
func New(dir string) *Broker {
	return &Broker{
		engine:  newEngine(dir, "knative-lambda-receiver"),
		streams: newEngine(dir, "knative-lambda-receiver streams"),
		held:    map[string]chan struct{}{},
	}
}

func newEngine(dir, name string) *amqp.Engine {
	return amqp.New(amqp.Options{Credentials: dir, Name: name, Lazy: true, Logger: slog.Default()})
}

// Subscriber reads streams.
func (b *Broker) Subscriber() queue.Subscriber { return b.streams }

// Close ends the connections.
func (b *Broker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return errors.Join(b.engine.Close(ctx), b.streams.Close(ctx))
}

// failed translates an error of the engine into one of dead letters.
func failed(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, queue.ErrNoQueue):
		return fmt.Errorf("%w: %s", deadletter.ErrNoQueue, name)
	case errors.Is(err, queue.ErrFull):
		return fmt.Errorf("%w: %s", deadletter.ErrFull, name)
	case errors.Is(err, amqp.ErrNotConfigured):
		return fmt.Errorf("%w: %w: apply config/rabbitmq/setup.yaml, which writes the Secret knative-lambda-rabbitmq-receiver", deadletter.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
}
