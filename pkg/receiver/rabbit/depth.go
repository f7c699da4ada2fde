package rabbit

import (
	"context"
	"errors"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

var _ deadletter.Counter = (*Broker)(nil)

// Depths implements deadletter.Counter.
func (b *Broker) Depths(ctx context.Context, queues []string) (map[string]int, error) {
	depths := make(map[string]int, len(queues))
	for _, name := range queues {
		state, err := b.engine.Inspect(ctx, name)
		switch {
		case errors.Is(err, queue.ErrNoQueue):
		case err != nil:
			return nil, failed(name, err)
		default:
			depths[name] = state.Messages
		}
	}
	return depths, nil
}
