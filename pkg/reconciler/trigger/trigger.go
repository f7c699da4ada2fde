// Package trigger reconciles Triggers of the event plane: it declares and deletes their
// queues, and says in their status whether events are delivered.
package trigger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	triggerreconciler "knative.dev/eventing/pkg/client/injection/reconciler/eventing/v1/trigger"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// connections to RabbitMQ.
type connections interface {
	// Of a Broker, as its status says.
	Of(*eventingv1.Broker) (*plane.Connection, error)
	// Names of all connections.
	Names() []string
	// Get a connection by its name, nil if there is none.
	Get(name string) *plane.Connection
	// Check a connection on which an operation failed.
	Check(name string)
}

// replicas of the event plane.
type replicas interface {
	// Serves says whether each serves this generation. If not, the Trigger is enqueued
	// when they do.
	Serves(trigger types.NamespacedName, uid types.UID, generation int64) bool
	Forget(trigger types.NamespacedName)
}

// sinks have addresses.
type sinks interface {
	AddressableFromDestinationV1(ctx context.Context, dest duckv1.Destination, parent any) (*duckv1.Addressable, error)
}

// Reconciler of Triggers of the event plane.
type Reconciler struct {
	owners       *owners
	filled       func() bool // whether the cache has all Brokers
	connections  connections
	replicas     replicas
	sinks        sinks
	dependencies dependencies
	identities   identities
	queues       *queues
	triggers     eventinglisters.TriggerLister
	validity     *validity
	tombstones   *tombstones
	after        func(types.NamespacedName, time.Duration) // enqueues
}

var (
	_ triggerreconciler.Interface = (*Reconciler)(nil)
	_ triggerreconciler.Finalizer = (*Reconciler)(nil)
)

// ReconcileKind implements triggerreconciler.Interface.
func (r *Reconciler) ReconcileKind(ctx context.Context, t *eventingv1.Trigger) reconciler.Event {
	b, err := r.owners.broker(t)
	switch {
	case err != nil:
		return fmt.Errorf("failed to find the Broker: %w", err)
	case b == nil && !r.filled():
		return errors.New("the Brokers of the cluster are not known yet")
	case b == nil || b.DeletionTimestamp != nil:
		// What waits in the queue stays: the Broker may be made again. The words are
		// Knative's, so that no other controller writes others.
		t.Status.MarkBrokerFailed("BrokerDoesNotExist", "Broker %q does not exist", brokerOf(t).Name)
		return nil
	case b.Namespace != t.Namespace:
		t.Status.MarkBrokerFailed(ReasonOtherNamespace,
			"Broker %s/%s is in another namespace, which its class does not support: name a Broker of namespace %s.", b.Namespace, b.Name, t.Namespace)
		return nil
	}
	t.Status.PropagateBrokerCondition(b.Status.GetTopLevelCondition())
	r.subscriber(ctx, t)
	r.deadLetterSink(ctx, b, t)
	return errors.Join(
		r.dependency(ctx, t),
		r.identities.ensure(ctx, t),
		r.subscription(ctx, b, t),
	)
}

// FinalizeKind implements triggerreconciler.Finalizer.
func (r *Reconciler) FinalizeKind(ctx context.Context, t *eventingv1.Trigger) reconciler.Event {
	r.replicas.Forget(types.NamespacedName{Namespace: t.Namespace, Name: t.Name})
	err := r.queues.remove(ctx, t)
	if err == nil {
		return nil
	}
	logging.FromContext(ctx).Warnw("The queues of a deleted Trigger are deleted when RabbitMQ is back", "error", err)
	return r.tombstones.write(ctx, t)
}

// subscriber resolves the address that events are delivered to.
func (r *Reconciler) subscriber(ctx context.Context, t *eventingv1.Trigger) {
	to := t.Spec.Subscriber.DeepCopy()
	if to.Ref != nil && to.Ref.Namespace == "" {
		to.Ref.Namespace = t.Namespace
	}
	address, err := r.sinks.AddressableFromDestinationV1(ctx, *to, t)
	if err != nil {
		// The tracker enqueues the Trigger when the subscriber changes.
		t.Status.MarkSubscriberResolvedFailed(ReasonSubscriberNotResolved, "%v", err)
		address = &duckv1.Addressable{}
	} else {
		t.Status.MarkSubscriberResolvedSucceeded()
	}
	t.Status.SubscriberURI, t.Status.SubscriberCACerts, t.Status.SubscriberAudience = address.URL, address.CACerts, address.Audience
}

// deadLetterSink of the Trigger, or else of its Broker.
func (r *Reconciler) deadLetterSink(ctx context.Context, b *eventingv1.Broker, t *eventingv1.Trigger) {
	t.Status.DeliveryStatus = eventingduckv1.DeliveryStatus{}
	switch own, of := sinkOf(t.Spec.Delivery), sinkOf(b.Spec.Delivery); {
	case own != nil:
		address, err := r.sinks.AddressableFromDestinationV1(ctx, *own, t)
		if err != nil {
			t.Status.MarkDeadLetterSinkResolvedFailed(ReasonSinkNotResolved, "%v", err)
			return
		}
		t.Status.DeliveryStatus = eventingduckv1.NewDeliveryStatusFromAddressable(address)
	case of != nil && !b.Status.IsSet():
		t.Status.MarkDeadLetterSinkResolvedFailed(ReasonSinkNotResolved, "The dead letter sink of Broker %q is not resolved.", b.Name)
		return
	case of != nil:
		t.Status.DeliveryStatus = b.Status.DeliveryStatus
	default:
		t.Status.MarkDeadLetterSinkNotConfigured()
		return
	}
	t.Status.MarkDeadLetterSinkResolvedSucceeded()
}

func sinkOf(d *eventingduckv1.DeliverySpec) *duckv1.Destination {
	if d == nil {
		return nil
	}
	return d.DeadLetterSink
}
