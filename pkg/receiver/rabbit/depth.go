package rabbit

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

var _ deadletter.Counter = (*Broker)(nil)

// Depths implements deadletter.Counter.
func (b *Broker) Depths(ctx context.Context, queues []string) (map[string]int, error) {
	depths := make(map[string]int, len(queues))
	var ch *amqp.Channel
	defer func() {
		if ch != nil {
			_ = ch.Close()
		}
	}()
	for _, queue := range queues {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
		}
		if ch == nil {
			var err error
			if ch, err = b.channel(ctx); err != nil {
				return nil, err
			}
		}
		state, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		var refused *amqp.Error
		switch {
		case errors.As(err, &refused) && refused.Code == amqp.NotFound:
			ch = nil // RabbitMQ has closed it
		case err != nil:
			return nil, fmt.Errorf("%w: %w", deadletter.ErrUnavailable, err)
		default:
			depths[queue] = state.Messages
		}
	}
	return depths, nil
}
