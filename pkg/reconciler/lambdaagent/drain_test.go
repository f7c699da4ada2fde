package lambdaagent

import (
	"context"
	"testing"
	"time"

	clientgotesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// TestDeletedTarget: what waits for an agent that was deleted becomes dead letters before
// its Trigger goes.
func TestDeletedTarget(t *testing.T) {
	const routeType = "io.shop.order.created"
	declared := eventful(intends("order.created"))
	plain := agent(declared)
	shop := peer("shop", subscribes(routeType))
	trigger, marked := working(routeOf(plain, routeType, shop, false)), working(routeOf(plain, routeType, shop, false), draining(shop))
	leaves := with(t, declared, flowing, routed(v1alpha1.RouteIntent, routeType, "shop", v1alpha1.ReasonTargetGone), func(a *v1alpha1.LambdaAgent) {
		a.Status.MarkRoutingReadyBut(v1alpha1.ReasonWaitingForTarget, "The route of "+routeType+" to agent team/shop waits for that agent and its broker.")
	})
	there := with(t, declared, flowing, routed(v1alpha1.RouteIntent, routeType, "shop", ""))
	left := with(t, declared, flowing)
	off := eventful(intends("order.created"), func(e *v1alpha1.AgentEventing) { e.DLQ = &v1alpha1.DeadLetterSpec{Enabled: new(bool)} })
	has := func(n int, err error) func(*row) {
		return func(r *row) {
			r.inspect = func(context.Context, *eventingv1.Trigger) (queue.State, error) { return queue.State{Messages: n}, err }
		}
	}
	forwarding := eventful(forwards("z", "shop", false))
	forwarded := working(routeOf(agent(forwarding), "z", shop, false))
	deletes := []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name)}

	ltesting.Table{{
		Name: "the agent was deleted", Key: theKey,
		Objects:           world(t, there, trigger),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: marked}},
		WantStatusUpdates: status(leaves),
		WantEvents:        recorded("Updated", "Trigger", trigger.Name),
	}, {
		Name: "of a forward", Key: theKey,
		Objects:     world(t, with(t, forwarding, flowing, routed(v1alpha1.RouteForward, "z", "shop", "")), forwarded),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: working(routeOf(agent(forwarding), "z", shop, false), draining(shop))}},
		WantStatusUpdates: status(with(t, forwarding, flowing, routed(v1alpha1.RouteForward, "z", "shop", v1alpha1.ReasonTargetGone), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkRoutingReadyBut(v1alpha1.ReasonWaitingForTarget, "The route of z to agent team/shop waits for that agent and its broker.")
		})),
		WantEvents: recorded("Updated", "Trigger", forwarded.Name),
	}, {
		Name: "events wait", Key: theKey, Ctx: in(has(3, nil)),
		Objects: world(t, leaves, marked),
	}, {
		Name: "RabbitMQ is away", Key: theKey, Ctx: in(has(0, queue.ErrUnavailable)),
		Objects: world(t, leaves, marked),
	}, {
		Name: "the queue has just become empty: an event may wait for its next attempt", Key: theKey, Ctx: in(has(0, nil)),
		Objects: world(t, leaves, marked),
	}, {
		Name: "the queue was deleted", Key: theKey, Ctx: in(has(0, queue.ErrNoQueue)),
		Objects: world(t, leaves, marked), WantDeletes: deletes,
		WantStatusUpdates: status(left), WantEvents: recorded("Deleted", "Trigger", trigger.Name),
	}, {
		Name: "the agent comes back", Key: theKey,
		Objects:           world(t, leaves, shop, marked),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: trigger}},
		WantStatusUpdates: status(there),
		WantEvents:        recorded("Updated", "Trigger", trigger.Name),
	}, {
		Name: "the agent comes back and does not receive: what waits still becomes dead letters", Key: theKey, Ctx: in(has(1, nil)),
		Objects: world(t, left, peer("shop"), marked),
	}, {
		Name: "without dead letters nothing waits", Key: theKey,
		Objects:     world(t, with(t, off, flowing), marked),
		WantDeletes: deletes, WantEvents: recorded("Deleted", "Trigger", trigger.Name),
	}}.Test(t, newReconciler)
}

// TestDrains: a queue has to stay empty for the longest backoff.
func TestDrains(t *testing.T) {
	c, d := clocktesting.NewFakePassiveClock(now), drains{}
	for _, step := range []struct {
		passed  time.Duration
		refills bool
		want    time.Duration
	}{{0, false, time.Minute}, {20 * time.Second, false, 40 * time.Second}, {10 * time.Second, true, time.Minute}, {time.Minute, false, 0}} {
		c.SetTime(c.Now().Add(step.passed))
		if step.refills {
			d.forget("uid")
		}
		if got := d.left("uid", c, time.Minute); got != step.want {
			t.Errorf("after %v: %v left, want %v", step.passed, got, step.want)
		}
	}
}
