package test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
)

// AwaitBroker watches a broker until it is ready.
func (c *Clients) AwaitBroker(ctx context.Context, key types.NamespacedName) (*eventingv1.Broker, error) {
	return await[eventingv1.Broker](ctx, c.Eventing.EventingV1().RESTClient(), "brokers", key, "Ready", func(b *eventingv1.Broker) bool {
		return b.Status.ObservedGeneration == b.Generation && b.Status.Status.GetCondition(apis.ConditionReady).IsTrue()
	})
}

// AwaitBrokerGone watches a broker until it is no more.
func (c *Clients) AwaitBrokerGone(ctx context.Context, key types.NamespacedName) error {
	return awaitGone[eventingv1.Broker](ctx, c.Eventing.EventingV1().RESTClient(), "brokers", key)
}

// AwaitTriggerGone watches a Trigger until it is no more.
func (c *Clients) AwaitTriggerGone(ctx context.Context, key types.NamespacedName) error {
	return awaitGone[eventingv1.Trigger](ctx, c.Eventing.EventingV1().RESTClient(), "triggers", key)
}

// Publish posts an event to a broker on RabbitMQ, whose ingress is reached through
// the API server: it has no address outside of the cluster.
func (c *Clients) Publish(ctx context.Context, broker types.NamespacedName, e event.Event) error {
	r := c.Kube.CoreV1().RESTClient().Post().Namespace(broker.Namespace).Resource("services").
		Name("http:"+broker.Name+"-broker-ingress:80").SubResource("proxy").
		SetHeader("Ce-Specversion", e.SpecVersion()).SetHeader("Ce-Id", e.ID()).SetHeader("Ce-Type", e.Type()).SetHeader("Ce-Source", e.Source())
	if e.Subject() != "" {
		r = r.SetHeader("Ce-Subject", e.Subject())
	}
	if !e.Time().IsZero() {
		r = r.SetHeader("Ce-Time", e.Time().UTC().Format(time.RFC3339Nano))
	}
	for name, value := range e.Extensions() {
		r = r.SetHeader("Ce-"+name, fmt.Sprint(value))
	}
	status := 0
	err := r.SetHeader("Content-Type", "application/json").Body(e.Data()).Do(ctx).StatusCode(&status).Error()
	if err != nil || status != http.StatusAccepted {
		return fmt.Errorf("broker %s answered %d to the event %s: %w", broker, status, e.ID(), err)
	}
	return nil
}
