package test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
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

// Ingress is a request to where a Broker accepts events, of whatever class it is. The
// address of its status is reached through the API server: it has none outside of the
// cluster.
func (c *Clients) Ingress(ctx context.Context, broker types.NamespacedName) (*rest.Request, error) {
	b, err := c.Eventing.EventingV1().Brokers(broker.Namespace).Get(ctx, broker.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if b.Status.Address == nil || b.Status.Address.URL == nil {
		return nil, fmt.Errorf("broker %s has no address yet", broker)
	}
	host := strings.SplitN(b.Status.Address.URL.Host, ".", 3)
	if len(host) < 3 {
		return nil, fmt.Errorf("broker %s has the address %s, expected that of a Service", broker, b.Status.Address.URL)
	}
	return c.Kube.CoreV1().RESTClient().Post().Namespace(host[1]).Resource("services").
		Name("http:" + host[0] + ":80").SubResource("proxy").Suffix(b.Status.Address.URL.Path), nil
}

// Publish posts an event to a Broker.
func (c *Clients) Publish(ctx context.Context, broker types.NamespacedName, e event.Event) error {
	r, err := c.Ingress(ctx, broker)
	if err != nil {
		return err
	}
	r = r.SetHeader("Ce-Specversion", e.SpecVersion()).SetHeader("Ce-Id", e.ID()).SetHeader("Ce-Type", e.Type()).SetHeader("Ce-Source", e.Source())
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
	err = r.SetHeader("Content-Type", "application/json").Body(e.Data()).Do(ctx).StatusCode(&status).Error()
	if err != nil || status != http.StatusAccepted {
		return fmt.Errorf("broker %s answered %d to the event %s: %w", broker, status, e.ID(), err)
	}
	return nil
}
