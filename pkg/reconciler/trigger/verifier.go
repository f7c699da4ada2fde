package trigger

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// verifyInterval is how often each queue is looked at.
	verifyInterval = time.Minute
	// verifyRate is how many queues are looked at in a second, at most.
	verifyRate = 50
)

// verifier finds queues that RabbitMQ has lost, or that a person has deleted.
type verifier struct {
	triggers eventinglisters.TriggerLister
	owners   *owners
	queues   *queues
	leads    func(types.NamespacedName) bool
	enqueue  func(types.NamespacedName)
	// clean up after tombstones.
	clean func(context.Context) error
}

// run until the context ends.
func (v *verifier) run(ctx context.Context) {
	pace := time.NewTicker(time.Second / verifyRate)
	defer pace.Stop()
	every(ctx, verifyInterval, func() {
		if err := v.clean(ctx); err != nil {
			logging.FromContext(ctx).Warnw("Queues of deleted Triggers are still there", "error", err)
		}
		v.round(ctx, pace.C)
	})
}

// round looks at the queues of all Triggers that this replica leads.
func (v *verifier) round(ctx context.Context, pace <-chan time.Time) {
	all, err := v.triggers.List(labels.Everything())
	if err != nil {
		logging.FromContext(ctx).Errorw("The queues of Triggers cannot be verified", "error", err)
		return
	}
	for _, t := range all {
		key := types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
		if !subscribed(t) || !v.leads(key) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-pace:
		}
		if err := v.verify(ctx, key); err != nil {
			logging.FromContext(ctx).Warnw("The queue of a Trigger cannot be verified", "trigger", key.String(), "error", err)
		}
	}
}

// verify a Trigger that is ready. Its queue is looked at only, and a lost one is left to
// a reconcile; the binding, which cannot be looked at, is made once more.
func (v *verifier) verify(ctx context.Context, key types.NamespacedName) error {
	t, err := v.triggers.Triggers(key.Namespace).Get(key.Name)
	if err != nil {
		return nil // deleted
	}
	defer v.queues.lock(t.UID)()
	// The newest, now that no reconcile changes its queues.
	if t, err = v.triggers.Triggers(key.Namespace).Get(key.Name); err != nil {
		return nil // deleted
	}
	has, wanted, ok := v.settled(t)
	if !ok {
		return nil
	}
	connection := v.queues.on(has.Connection)
	if connection == nil || connection.Err() != nil {
		return nil // its return enqueues the Trigger
	}
	_, err = connection.Topology.Inspect(ctx, has.Queue)
	if err == nil {
		err = connection.Topology.Bind(ctx, has.Queue, wanted.Keys[0])
	}
	switch {
	case errors.Is(err, queue.ErrNoQueue):
		v.enqueue(key)
		return nil
	case err != nil:
		v.queues.connections.Check(has.Connection)
	}
	return err
}

// settled says whether the Trigger has what it is to have, and nothing else.
func (v *verifier) settled(t *eventingv1.Trigger) (has, wanted assignment.Assignment, ok bool) {
	b, err := v.owners.broker(t)
	if err != nil || b == nil || b.DeletionTimestamp != nil || t.DeletionTimestamp != nil || !subscribed(t) ||
		!assignment.Serves(b) || t.Status.ObservedGeneration != t.Generation {
		return has, wanted, false
	}
	has = assignment.Of(t)
	wanted, err = assignment.Wanted(b.UID, t, has.Kind)
	return has, wanted, err == nil && has.Asks(wanted) && len(has.Keys) == 1 && len(has.Draining) == 0
}
