package eventing

import (
	"context"
	"errors"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// EnsureDeadLetters declares the owner's dead letter queue, and returns whether dead
// letters have a place to go. explicit says that its own spec asks for the queue: then the
// condition says why there is none. While RabbitMQ is away there is no queue yet: its
// return enqueues the owner.
func (p *Pass) EnsureDeadLetters(ctx context.Context, explicit bool, name string, b deadletters.Bounds) bool {
	err := p.Queues.Ensure(ctx, name, b)
	var unbound *deadletters.BoundsError
	switch {
	case err == nil:
	case errors.Is(err, amqp.ErrNotConfigured):
		if explicit {
			p.Tell(&Trouble{Reason: v1alpha1.ReasonRabbitMQNotConfigured, Failed: true,
				Message: "The installation has no RabbitMQ for a dead letter queue: run the setup Job, or set eventing.dlq.enabled to false."})
		}
		return false
	case errors.As(err, &unbound):
		p.Unbound = "The dead letter queue keeps the bounds that it had, or the default ones: " + err.Error() + "."
	case errors.Is(err, queue.ErrConflict):
		p.Tell(&Trouble{Reason: v1alpha1.ReasonDeadLetterQueueNotReady, Failed: true,
			Message: err.Error() + ": delete the queue in RabbitMQ when it is empty, and it is declared again."})
	default:
		p.Tell(&Trouble{Reason: v1alpha1.ReasonDeadLetterQueueNotReady, Message: "The dead letter queue waits for RabbitMQ: " + err.Error() + "."})
	}
	return true
}

// RemoveDeadLetters deletes the owner's dead letter queue, with what is in it. If RabbitMQ
// is away, it is deleted when that returns.
func (p *Pass) RemoveDeadLetters(ctx context.Context, name string) {
	_ = p.Queues.Delete(ctx, name)
}
