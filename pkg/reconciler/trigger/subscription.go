package trigger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// Reasons of conditions.
const (
	// ReasonOtherNamespace: the Broker is in another namespace.
	ReasonOtherNamespace = "BrokerInOtherNamespace"
	// ReasonSubscriberNotResolved: the subscriber has no address.
	ReasonSubscriberNotResolved = "SubscriberNotResolved"
	// ReasonSinkNotResolved: the dead letter sink has no address.
	ReasonSinkNotResolved = "DeadLetterSinkNotResolved"
	// ReasonInvalidParallelism: the annotation is no number from 1 to 1000.
	ReasonInvalidParallelism = "InvalidParallelism"
	// ReasonConnectionChanged: the queues are on another RabbitMQ than the Broker.
	ReasonConnectionChanged = "ConnectionChanged"
	// ReasonQueueConflict: RabbitMQ has a queue of the name with other arguments.
	ReasonQueueConflict = "QueueConflict"
	// ReasonUnavailable: RabbitMQ cannot be reached, or refuses.
	ReasonUnavailable = "RabbitMQUnavailable"
	// ReasonConnecting: the connection has not been tried yet.
	ReasonConnecting = "Connecting"
	// ReasonInvalidFilter: the filters are not valid, or exceed a bound.
	ReasonInvalidFilter = "InvalidFilter"
	// ReasonInvalidDelivery: the delivery spec of the Trigger or its Broker is not valid.
	ReasonInvalidDelivery = "InvalidDelivery"
	// ReasonTooManyTriggers: the namespace has as many Triggers with queues as it may have.
	ReasonTooManyTriggers = "TooManyTriggers"
	// ReasonQueueDeleted: RabbitMQ has lost the queue, or it was deleted a moment ago.
	ReasonQueueDeleted = "QueueDeleted"
	// ReasonReplicas: not every replica serves the Trigger as it is now.
	ReasonReplicas = "ReplicasPending"
)

// drainInterval is how often queues that are to be deleted are looked at.
const drainInterval = 2 * time.Second

// subscription is the queue of the Trigger, its binding, and that the replicas deliver
// from it.
func (r *Reconciler) subscription(ctx context.Context, b *eventingv1.Broker, t *eventingv1.Trigger) error {
	connection, err := r.connections.Of(b)
	var wrong *plane.ConfigError
	if errors.As(err, &wrong) {
		t.Status.MarkNotSubscribed(wrong.Reason, "%s", wrong.Message)
		return nil
	} else if err != nil {
		return fmt.Errorf("failed to read the configuration of the Broker: %w", err)
	}
	if reason, err := r.validity.check(b, t); err != nil {
		t.Status.MarkNotSubscribed(reason, "%s", err)
		return nil
	}
	kind := cmp.Or(connection.QueueType(), config.FromContextOrDefaults(ctx).Eventing.QueueType)
	wanted, err := assignment.Wanted(b.UID, t, queue.Kind(kind))
	if err != nil {
		t.Status.MarkNotSubscribed(ReasonInvalidParallelism, "%s", err)
		return nil
	}
	wanted.Connection = connection.Name
	has := assignment.Of(t)
	if r.connections.Get(has.Connection) == nil { // not one that the controller wrote
		has.Connection = connection.Name
	}
	switch {
	case has.Queue == "" && !r.mayHaveMore(t.Namespace):
		t.Status.MarkNotSubscribed(ReasonTooManyTriggers,
			"Namespace %s has %d Triggers with queues, and may have no more: delete some.", t.Namespace, maxTriggers)
		r.after(types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, retryTooMany)
		return nil
	case has.Queue == "":
		has = wanted
		has.Undeclared = true
	case has.Connection != connection.Name:
		t.Status.MarkNotSubscribed(ReasonConnectionChanged, "The queue is on another RabbitMQ than the Broker: delete the Trigger and create it again.")
		return nil
	case !has.Asks(wanted):
		// Recorded before anything changes: the change of the status enqueues the Trigger.
		has.Towards(wanted).Record(t)
		r.served(t)
		markReplicasPending(t)
		return nil
	}
	return r.declare(ctx, t, has, connection)
}

// declare the queues that the Trigger is assigned.
func (r *Reconciler) declare(ctx context.Context, t *eventingv1.Trigger, has assignment.Assignment, connection *plane.Connection) error {
	switch err := connection.Err(); {
	case !connection.Checked(): // the outcome of the check enqueues the Trigger
		if t.Status.ObservedGeneration != t.Generation || !subscribed(t) {
			t.Status.MarkSubscribedUnknown(ReasonConnecting, "%s", err)
		}
		return nil
	case err != nil: // so does its return
		t.Status.MarkNotSubscribed(ReasonUnavailable, "%s", err)
		return nil
	}
	served := r.served(t)
	defer r.queues.lock(t.UID)()
	has, err := r.queues.settle(ctx, connection.Topology, has, served)
	has.Record(t)
	switch {
	case errors.Is(err, errDeleted):
		t.Status.MarkNotSubscribed(ReasonQueueDeleted, "%s", err)
		r.after(types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, redeclareDelay)
		return nil
	case errors.Is(err, queue.ErrConflict):
		t.Status.MarkNotSubscribed(ReasonQueueConflict, "%s: delete the queue when it is empty, and it is declared again", err)
		return nil
	case err != nil:
		t.Status.MarkNotSubscribed(ReasonUnavailable, "%s", err)
		r.connections.Check(connection.Name)
		return fmt.Errorf("failed to declare the queue of the Trigger: %w", err)
	case !served:
		markReplicasPending(t)
		return nil
	}
	if len(has.Draining) > 0 {
		r.after(types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, drainInterval)
	}
	t.Status.PropagateSubscriptionCondition(&apis.Condition{Status: corev1.ConditionTrue})
	return nil
}

// served says whether every replica serves the Trigger as it is now. What the status
// says of this generation was so: replicas that have started since began with it.
func (r *Reconciler) served(t *eventingv1.Trigger) bool {
	a := assignment.Of(t)
	if subscribed(t) && t.Status.ObservedGeneration == t.Generation && len(a.Keys) == 1 && len(a.Draining) == 0 {
		return true
	}
	return r.replicas.Serves(types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, t.UID, t.Generation)
}

func subscribed(t *eventingv1.Trigger) bool {
	return t.Status.GetCondition(eventingv1.TriggerConditionSubscribed).IsTrue()
}

func markReplicasPending(t *eventingv1.Trigger) {
	t.Status.MarkSubscribedUnknown(ReasonReplicas, "Not every replica of the event plane serves this generation yet.")
}
