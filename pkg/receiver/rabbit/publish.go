package rabbit

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"

	planeevent "github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

var _ deadletter.Store = (*Broker)(nil)

// Publish implements deadletter.Store.
func (b *Broker) Publish(ctx context.Context, queue string, e *event.Event) error {
	m, err := planeevent.Encode(e)
	if err != nil {
		return err
	}
	return failed(queue, b.engine.Put(ctx, queue, m))
}
