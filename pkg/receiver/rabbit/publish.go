package rabbit

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

var _ deadletter.Store = (*Broker)(nil)

// Publish implements deadletter.Store.
func (b *Broker) Publish(ctx context.Context, queue string, e *event.Event) error {
	return failed(queue, b.engine.Put(ctx, queue, message(e)))
}
