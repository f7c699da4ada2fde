package lambdaagent

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
)

const (
	// drainInterval is how often the queue of a Trigger that is to be deleted is looked at.
	drainInterval = 5 * time.Second
	// drainSlack is how much longer than a backoff an event may be away from its queue.
	drainSlack = 10 * time.Second
)

// inspector looks at the queues of a Trigger. Its error is queue.ErrNoQueue if there is
// none.
type inspector func(ctx context.Context, t *eventingv1.Trigger) (queue.State, error)

// inspectOn the connections of the event plane.
func inspectOn(connections *plane.Connections) inspector {
	return func(ctx context.Context, t *eventingv1.Trigger) (all queue.State, err error) {
		names := assignment.Queues(t)
		if assignment.Of(t).Queue == "" {
			return all, queue.ErrNoQueue
		}
		connection := connections.Get(assignment.Of(t).Connection)
		if connection == nil {
			return all, queue.ErrUnavailable
		}
		if err := connection.Err(); err != nil {
			return all, err
		}
		found := false
		for _, name := range names {
			state, err := connection.Topology.Inspect(ctx, name)
			switch {
			case errors.Is(err, queue.ErrNoQueue):
				continue
			case err != nil:
				return all, err
			}
			found = true
			all.Messages += state.Messages
			all.Consumers += state.Consumers
		}
		if !found {
			return all, queue.ErrNoQueue
		}
		return all, nil
	}
}

// drains are Triggers that are to be deleted, by UID: since when their queues are empty.
// After a restart of the controller they wait once more.
type drains struct {
	mu    sync.Mutex
	empty map[types.UID]time.Time
}

// left is how long a Trigger stays whose queue is empty now.
func (d *drains) left(uid types.UID, c clock.PassiveClock, wait time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.empty == nil {
		d.empty = map[types.UID]time.Time{}
	}
	since, ok := d.empty[uid]
	if !ok {
		since = c.Now()
		d.empty[uid] = since
	}
	return wait - c.Since(since)
}

// forget a Trigger, or that its queue is empty.
func (d *drains) forget(uid types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.empty, uid)
}

// drain reports whether a Trigger that is not wanted stays, because events of a route wait
// in its queue and the agent at its other end was deleted. The event plane makes dead
// letters of them. The queue has to stay empty for as long as an event may be away from
// it, which waits for its next attempt.
func (e *eventing) drain(ctx context.Context, t *eventingv1.Trigger) (bool, error) {
	target, route := resources.TargetOf(t)
	if !route || e.maker.Class != lambda.BrokerClass || e.maker.Dead == nil {
		return false, nil
	}
	marked, exists := t.Annotations[lambda.DeletedTargetAnnotationKey] != "", e.index.Has(target)
	if !marked && exists {
		return false, nil
	}
	if marked {
		switch state, err := e.inspect(ctx, t); {
		case errors.Is(err, queue.ErrNoQueue):
			return false, nil
		case err != nil, state.Messages > 0:
			e.drains.forget(t.UID)
		default:
			wait := sharedresources.LongestBackoff(resources.DeadLetters(e.LambdaAgent), e.Config) + drainSlack
			if e.drains.left(t.UID, e.clock, wait) <= 0 {
				return false, nil
			}
		}
	}
	if !exists {
		e.tellGone(t, target)
	}
	e.again = drainInterval
	return true, e.markDeleted(ctx, t, target)
}

// markDeleted says that the agent at the other end of a route was deleted.
func (e *eventing) markDeleted(ctx context.Context, t *eventingv1.Trigger, target types.NamespacedName) error {
	_, err := e.TriggerSet().Ensure(ctx, e.LambdaAgent, t, func(existing, _ *eventingv1.Trigger) {
		existing.Annotations = child.MergeMap(existing.Annotations, map[string]string{lambda.DeletedTargetAnnotationKey: target.String()})
	})
	return err
}
