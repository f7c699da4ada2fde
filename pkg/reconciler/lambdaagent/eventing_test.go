package lambdaagent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

type option = func(*v1alpha1.LambdaAgent)

// eventful has a broker, and what the change makes of it.
func eventful(change ...func(*v1alpha1.AgentEventing)) option {
	return func(a *v1alpha1.LambdaAgent) {
		a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true, EventSource: a.EventSource()}
		for _, c := range change {
			c(a.Spec.Eventing)
		}
	}
}

func intends(all ...string) func(*v1alpha1.AgentEventing) {
	return func(e *v1alpha1.AgentEventing) { e.Intents = all }
}

func subscribes(all ...string) func(*v1alpha1.AgentEventing) {
	return func(e *v1alpha1.AgentEventing) {
		for _, eventType := range all {
			e.Subscriptions = append(e.Subscriptions, v1alpha1.AgentSubscription{EventType: eventType})
		}
	}
}

func forwards(eventType, to string, relay bool) func(*v1alpha1.AgentEventing) {
	return func(e *v1alpha1.AgentEventing) {
		e.Forwards = append(e.Forwards, v1alpha1.AgentForward{EventTypes: []string{eventType}, TargetAgent: to, Relay: relay})
	}
}

// peer is another agent, of which only the declarations matter.
func peer(name string, change ...func(*v1alpha1.AgentEventing)) *v1alpha1.LambdaAgent {
	p := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name)}}
	eventful(change...)(p)
	return p
}

func keyOf(a *v1alpha1.LambdaAgent) types.NamespacedName {
	return types.NamespacedName{Namespace: a.Namespace, Name: a.Name}
}

var readyStatus = duckv1.Status{ObservedGeneration: 1, Conditions: duckv1.Conditions{{Type: apis.ConditionReady, Status: corev1.ConditionTrue,
	LastTransitionTime: apis.VolatileTime{Inner: metav1.NewTime(now)}}}}

// brokerOf is the agent's Broker, as it is when it works.
func brokerOf(a *v1alpha1.LambdaAgent) *eventingv1.Broker {
	b := resources.MakeBroker(a, testConfig().Eventing)
	b.Generation, b.Status.Status = 1, *readyStatus.DeepCopy()
	return b
}

// makerOf the agent's Triggers.
func makerOf(a *v1alpha1.LambdaAgent) *resources.Maker {
	cfg := testConfig().Eventing
	return &resources.Maker{Agent: a, Class: lambda.BrokerClass, Config: cfg, Dead: &shared.Dead{
		Queue: names.RabbitMQDeadLetterQueue(a), Sink: resources.DeadLetterSink(a, testKeys(), cfg),
	}}
}

// callsOf is the Trigger that delivers the agent's asynchronous calls.
func callsOf(a *v1alpha1.LambdaAgent) *eventingv1.Trigger {
	m := makerOf(a)
	if wanted, _ := resources.WantsDeadLetters(a, m.Config); !wanted {
		m.Dead = nil
	}
	return m.Calls()
}

func subscriptionOf(a *v1alpha1.LambdaAgent, eventType string, filters ...eventingv1.SubscriptionsAPIFilter) *eventingv1.Trigger {
	return makerOf(a).Subscription(map[string]string{"type": eventType}, filters)
}

func routeOf(a *v1alpha1.LambdaAgent, eventType string, target *v1alpha1.LambdaAgent, relay bool) *eventingv1.Trigger {
	return makerOf(a).Route(eventType, keyOf(target), relay)
}

// working is a Trigger in force.
func working(t *eventingv1.Trigger, change ...func(*eventingv1.Trigger)) *eventingv1.Trigger {
	t.Generation, t.Status.Status = 1, *readyStatus.DeepCopy()
	for _, c := range change {
		c(t)
	}
	return t
}

// draining is a route to an agent that was deleted.
func draining(to *v1alpha1.LambdaAgent) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		t.Annotations[lambda.DeletedTargetAnnotationKey] = keyOf(to).String()
	}
}

// unresolved is a Trigger whose subscriber has no address.
func unresolved(t *eventingv1.Trigger) {
	t.Status.MarkSubscriberResolvedFailed("NoAddress", "there is none")
}

// flowing is the status when the broker works.
func flowing(a *v1alpha1.LambdaAgent) {
	a.Status.Broker = &v1alpha1.BrokerStatus{Name: name, URL: v1alpha1.AgentBrokerURL(types.NamespacedName{Namespace: namespace, Name: name}), Ready: true}
	a.Status.CallsURL = resources.CallsURL(a, lambda.BrokerClass)
	a.Status.MarkBrokerReady()
	a.Status.MarkRoutingReady()
}

func routed(kind, eventType, agent, why string) option {
	return func(a *v1alpha1.LambdaAgent) {
		r := v1alpha1.RouteStatus{Kind: kind, EventType: eventType, Agent: agent, Ready: why == "", Reason: why}
		if agent != "" {
			r.Namespace = namespace
		}
		a.Status.Routes = append(a.Status.Routes, r)
	}
}

func waits(reason, message string) option {
	return func(a *v1alpha1.LambdaAgent) { a.Status.MarkRoutingPending(reason, message) }
}

func gone(group, version, resource, name string) clientgotesting.DeleteActionImpl {
	return clientgotesting.DeleteActionImpl{Name: name, ActionImpl: clientgotesting.ActionImpl{Namespace: namespace, Verb: "delete",
		Resource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource}}}
}

func goneTrigger(name string) clientgotesting.DeleteActionImpl {
	return gone("eventing.knative.dev", "v1", "triggers", name)
}

func recorded(verb string, kindsAndNames ...string) (all []string) {
	for i := 0; i < len(kindsAndNames); i += 2 {
		all = append(all, ltesting.Normal(verb, verb+" "+kindsAndNames[i]+` "`+kindsAndNames[i+1]+`"`))
	}
	return all
}

// world is what is there of an agent that works, and more.
func world(t *testing.T, a *v1alpha1.LambdaAgent, more ...runtime.Object) []runtime.Object {
	t.Helper()
	ready := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	return append([]runtime.Object{a, file(t, a), ready, brokerOf(a), working(callsOf(a))}, more...)
}

// with is the agent with these declarations, served, and what the options say.
func with(t *testing.T, declared option, options ...option) *v1alpha1.LambdaAgent {
	t.Helper()
	plain := agent(declared)
	ready := service(t, plain, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	return agent(append([]option{declared, servedBy(ready)}, options...)...)
}

func TestReconcileBroker(t *testing.T) {
	declared := eventful(subscribes("x.y"))
	plain := agent(declared)
	trigger := working(subscriptionOf(plain, "x.y"))
	ready := service(t, plain, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	cm := file(t, plain)
	none := func(reason, message string) option {
		return func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkBrokerFailed(reason, message)
			a.Status.MarkRoutingPending(v1alpha1.ReasonBrokerNotReady, waitsForBroker)
		}
	}
	starting := func(a *v1alpha1.LambdaAgent) {
		flowing(a)
		a.Status.Broker.Ready = false
		a.Status.MarkBrokerPending(v1alpha1.ReasonBrokerNotReady, `Broker "bruno" is not reconciled yet.`)
		a.Status.MarkRoutingPending(v1alpha1.ReasonTriggerNotReady, `Trigger "`+trigger.Name+`" is not reconciled yet.`)
	}
	twice := eventful(func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = []v1alpha1.AgentSubscription{{EventType: "x.y", Source: "/shop"}, {EventType: "x.y"}, {EventType: "x.y", Source: "*"}}
	})
	elsewhere := eventful(subscribes("x.y"), func(e *v1alpha1.AgentEventing) { e.RabbitMQ = &v1alpha1.RabbitMQSpec{ClusterName: "own"} })
	foreign := brokerOf(plain)
	foreign.OwnerReferences = nil
	quiet := with(t, func(*v1alpha1.LambdaAgent) {})
	quietReady := service(t, agent(), ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	theirs := subscriptionOf(plain, "their.own")
	theirs.OwnerReferences = nil

	ltesting.Table{{
		Name: "makes all of it, without any kind of eventing-rabbitmq", Key: theKey, Ctx: in(func(r *row) { r.noRabbitMQ = true }),
		Objects:     ltesting.Objects(with(t, declared), cm, ready),
		WantCreates: ltesting.Objects(resources.MakeBroker(plain, testConfig().Eventing), subscriptionOf(plain, "x.y"), callsOf(plain)),
		WantStatusUpdates: status(with(t, declared, starting,
			routed(v1alpha1.RouteSubscription, "x.y", "", v1alpha1.ReasonTriggerNotReady))),
		WantEvents: recorded("Created", "Broker", name, "Trigger", trigger.Name, "Trigger", "bruno-calls"),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, declared, flowing, routed(v1alpha1.RouteSubscription, "x.y", "", "")), trigger),
	}, {
		Name: "what one subscription takes, another does not take again", Key: theKey,
		Objects: world(t, with(t, twice, flowing, routed(v1alpha1.RouteSubscription, "x.y", "", "")), trigger),
	}, {
		Name: "somebody else's broker", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(with(t, declared), cm, ready, foreign),
		WantStatusUpdates: status(with(t, declared, none(v1alpha1.ReasonBrokerNotOwned, ltesting.NotOwned("Broker", theKey)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Broker", theKey))},
	}, {
		Name: "no Knative Eventing", Key: theKey, Ctx: in(func(r *row) { r.noEventing = true }),
		Objects: ltesting.Objects(with(t, declared), cm, ready),
		WantStatusUpdates: status(with(t, declared, none(v1alpha1.ReasonEventingNotInstalled,
			"The cluster has no Knative Eventing, which an agent's broker needs: install it, or set eventing.enabled to false."))),
	}, {
		Name: "another RabbitMQ", Key: theKey,
		Objects: world(t, with(t, elsewhere), trigger),
		WantStatusUpdates: status(with(t, elsewhere, flowing, routed(v1alpha1.RouteSubscription, "x.y", "", ""), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkBrokerFailed(v1alpha1.ReasonBrokerDiffers, "eventing.rabbitmq.clusterName: Brokers of class LambdaBroker are on the RabbitMQ of the installation, with the queue type of config-eventing: remove it.")
		})),
	}, {
		Name: "all agents are not known yet", Key: theKey, Ctx: in(func(r *row) { r.unindexed = true }),
		Objects: ltesting.Objects(with(t, declared), cm, ready),
	}, {
		Name: "switched off", Key: theKey,
		Objects:     ltesting.Objects(quiet, file(t, agent()), quietReady, brokerOf(plain), trigger, theirs),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name), gone("eventing.knative.dev", "v1", "brokers", name)},
		WantEvents:  recorded("Deleted", "Trigger", trigger.Name, "Broker", name),
	}, {
		Name: "switched off where there is nothing", Key: theKey, Ctx: in(func(r *row) { r.noEventing, r.noRabbitMQ = true, true }),
		Objects: ltesting.Objects(quiet, file(t, agent()), quietReady),
	}, {
		Name: "failure to create the broker", Key: theKey, WantErr: true,
		Objects:      ltesting.Objects(with(t, declared), cm, ready),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "brokers")},
		WantCreates:  ltesting.Objects(resources.MakeBroker(plain, testConfig().Eventing)),
		WantEvents:   ltesting.Failing("create", "brokers", "Broker", name, ""),
	}, {
		Name: "failure to create a Trigger", Key: theKey, WantErr: true,
		Objects:      ltesting.Objects(with(t, declared), cm, ready, brokerOf(plain)),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "triggers")},
		WantCreates:  ltesting.Objects(subscriptionOf(plain, "x.y")),
		WantStatusUpdates: status(with(t, declared, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkEventingNotRequested() // what was said of the routes stands
			a.Status.MarkBrokerReady()
		})),
		WantEvents: ltesting.Failing("create", "triggers", "Trigger", trigger.Name, ""),
	}}.Test(t, newReconciler)
}
