package lambdaagent

import (
	"testing"

	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

const brunoQueue = "lambda.dlq.team.agents.bruno"

// TestDeadLetterQueue: what the queue is asked for, and what the condition says of it.
func TestDeadLetterQueue(t *testing.T) {
	dlq := func(d v1alpha1.DeadLetterSpec) option {
		return eventful(subscribes("x.y"), func(e *v1alpha1.AgentEventing) { e.DLQ = &d })
	}
	plain := eventful(subscribes("x.y"))
	off, short := dlq(v1alpha1.DeadLetterSpec{Enabled: ptr.Bool(false)}), dlq(v1alpha1.DeadLetterSpec{MaxLength: ptr.Int64(7)})
	trigger := working(subscriptionOf(agent(plain), "x.y"))
	without := working(subscriptionOf(agent(plain), "x.y"), func(t *eventingv1.Trigger) { delete(t.Annotations, lambda.DeadLetterQueueAnnotationKey) })
	ready := routed(v1alpha1.RouteSubscription, "x.y", "", "")
	for _, tt := range []struct {
		name    string
		spec    option
		err     error
		updated *eventingv1.Trigger
		said    option
		length  int64 // 0 is no queue
	}{
		{"by configuration", plain, nil, nil, ready, 100},
		{"its own bounds", short, nil, nil, ready, 7},
		{"turned off", off, nil, without, ready, 0},
		{"RabbitMQ is away", plain, queue.ErrUnavailable, nil, func(a *v1alpha1.LambdaAgent) {
			ready(a)
			waits(v1alpha1.ReasonDeadLetterQueueNotReady, "The dead letter queue waits for RabbitMQ: the message broker is unavailable.")(a)
		}, 100},
		{"no management API", plain, &deadletters.BoundsError{Err: management.ErrNotConfigured}, nil, func(a *v1alpha1.LambdaAgent) {
			ready(a)
			a.Status.MarkRoutingReadyBut(v1alpha1.ReasonDeadLetterBoundsNotSet, "The dead letter queue keeps the bounds that it had, or the default ones: cannot set the bounds of the dead letter queue: the Secret has no URL of RabbitMQ's management API: run the setup Job, or add the key management.")
		}, 100},
	} {
		queues := &ltesting.DeadLetters{Err: tt.err}
		row := ltesting.Table{{
			Name: tt.name, Key: theKey, Ctx: in(func(r *row) { r.queues = queues }),
			Objects:           world(t, with(t, tt.spec), trigger),
			WantStatusUpdates: status(with(t, tt.spec, flowing, tt.said)),
		}}
		if tt.updated != nil {
			row[0].WantUpdates = []clientgotesting.UpdateActionImpl{{Object: tt.updated}}
			row[0].WantEvents = recorded("Updated", "Trigger", tt.updated.Name)
		}
		row.Test(t, newReconciler)
		if b, ok := queues.Bounds(brunoQueue); ok != (tt.length > 0) || b.MaxLength != tt.length || queues.Deleted(brunoQueue) == ok {
			t.Errorf("%s: bounds %+v, %t, deleted %t", tt.name, b, ok, queues.Deleted(brunoQueue))
		}
	}
}

// TestDeadLetterQueueGoes with the agent.
func TestDeadLetterQueueGoes(t *testing.T) {
	queues := &ltesting.DeadLetters{}
	if err := (&Reconciler{queues: queues}).ObserveDeletion(t.Context(), keyOf(agent())); err != nil || !queues.Deleted(brunoQueue) {
		t.Errorf("the queue of a deleted agent: %v, deleted %t", err, queues.Deleted(brunoQueue))
	}
}

// TestRabbitMQBroker: with that class the objects are plain ones of eventing-rabbitmq. A
// prefix delivers nothing rather than too much, and nothing waits for a deleted agent.
func TestRabbitMQBroker(t *testing.T) {
	onRabbitMQ := in(func(r *row) { r.config.Eventing.BrokerClass = config.RabbitMQBrokerClass })
	cfg := testConfig().Eventing
	cfg.BrokerClass = config.RabbitMQBrokerClass
	declared := eventful(intends("order.created"), subscribes("x.y", "io.example.k8s.*"))
	plain := agent(declared)
	maker := makerOf(plain)
	maker.Class = config.RabbitMQBrokerClass
	subscription := working(maker.Subscription(map[string]string{"type": "x.y"}, nil))
	shop := peer("shop", subscribes("io.shop.order.created"))
	route := working(maker.Route("io.shop.order.created", keyOf(shop), false))
	b := resources.MakeBroker(plain, cfg)
	b.Generation, b.Status.Status = 1, *readyStatus.DeepCopy()
	at := func(a *v1alpha1.LambdaAgent) {
		flowing(a)
		a.Status.Broker.URL, a.Status.CallsURL = v1alpha1.RabbitMQBrokerURL(keyOf(a)), nil
		a.Status.Routes = []v1alpha1.RouteStatus{
			{Kind: v1alpha1.RouteSubscription, EventType: "io.example.k8s.*", Reason: v1alpha1.ReasonFilterNotSupported},
			{Kind: v1alpha1.RouteSubscription, EventType: "x.y", Ready: true},
		}
		a.Status.MarkRoutingReadyBut(v1alpha1.ReasonFilterNotSupported, "eventing.subscriptions[1] (eventType io.example.k8s.*) delivers no events: brokers of class RabbitMQBroker filter by exact attributes only. Name exact types and sources.")
	}
	there := world(t, with(t, declared, at))
	if s, ok := there[2].(*servingv1.Service); ok {
		resources.SetBroker(s, plain, config.RabbitMQBrokerClass)
	}
	there[3] = b
	there = append(there[:4], resources.MakeBrokerConfig(plain, cfg), subscription)
	if subscription.Spec.Filters != nil || subscription.Spec.Delivery.DeadLetterSink == nil || subscription.Spec.Subscriber.URI != nil {
		t.Errorf("%+v is no plain Trigger with the receiver as its dead letter sink", subscription.Spec)
	}
	ltesting.Table{{
		Name: "steady", Key: theKey, Ctx: onRabbitMQ, Objects: there,
	}, {
		Name: "the Broker keeps its class when that of the configuration changes", Key: theKey, Objects: there,
	}, {
		Name: "an agent at the other end was deleted", Key: theKey, Ctx: onRabbitMQ, Objects: append(there, route),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(route.Name)}, WantEvents: recorded("Deleted", "Trigger", route.Name),
	}, {
		Name: "without the kinds", Key: theKey, Ctx: in(func(r *row) { r.config.Eventing.BrokerClass, r.noRabbitMQ = config.RabbitMQBrokerClass, true }),
		Objects: there[:3],
		WantStatusUpdates: status(with(t, declared, func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkBrokerFailed(v1alpha1.ReasonRabbitMQNotInstalled, "The cluster has no Brokers of class RabbitMQBroker, of which each agent has one: install eventing-rabbitmq, or set eventing.enabled to false.")
			a.Status.MarkRoutingPending(v1alpha1.ReasonBrokerNotReady, waitsForBroker)
		})),
	}}.Test(t, newReconciler)
}
