package lambdaagent

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
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

// brokerOf is the agent's broker and its configuration, as they are when it works.
func brokerOf(a *v1alpha1.LambdaAgent) (*eventingv1.Broker, *rabbitv1alpha1.RabbitmqBrokerConfig) {
	b := resources.MakeBroker(a, testConfig().Eventing)
	b.Generation, b.Status.Status = 1, *readyStatus.DeepCopy()
	return b, resources.MakeBrokerConfig(a, testConfig().Eventing)
}

var topologyReady = []topologyv1beta1.Condition{{Type: "Ready", Status: corev1.ConditionTrue}}

func lettersOf(a *v1alpha1.LambdaAgent) (*topologyv1beta1.Queue, *topologyv1beta1.Policy) {
	queue, policy := resources.MakeDeadLetterQueue(a, testConfig().Eventing), resources.MakeDeadLetterPolicy(a, testConfig().Eventing)
	queue.Generation, queue.Status = 1, topologyv1beta1.QueueStatus{ObservedGeneration: 1, Conditions: topologyReady}
	policy.Generation, policy.Status = 1, topologyv1beta1.PolicyStatus{ObservedGeneration: 1, Conditions: topologyReady}
	return queue, policy
}

func subscriptionOf(a *v1alpha1.LambdaAgent, eventType string) *eventingv1.Trigger {
	t := resources.MakeSubscription(a, map[string]string{"type": eventType}, resources.DeadLetterSink(a, testKeys(), testConfig().Eventing), testConfig().Eventing)
	subscribers(a, testKeys()).Sign(t)
	return t
}

func routeOf(a *v1alpha1.LambdaAgent, eventType string, target *v1alpha1.LambdaAgent, relay bool) *eventingv1.Trigger {
	return resources.MakeRoute(a, eventType, keyOf(target), relay, resources.DeadLetterSink(a, testKeys(), testConfig().Eventing), testConfig().Eventing)
}

// working is a Trigger in force, and its binding.
func working(a *v1alpha1.LambdaAgent, t *eventingv1.Trigger, change ...func(*eventingv1.Trigger)) (*eventingv1.Trigger, *topologyv1beta1.Binding) {
	t.Generation, t.Status.Status = 1, *readyStatus.DeepCopy()
	t.Status.DeadLetterSinkURI = apis.HTTP("receiver.test")
	for _, c := range change {
		c(t)
	}
	b := resources.MakeDeadLetterBinding(a, t, false, testConfig().Eventing)
	b.Generation, b.Status = 1, topologyv1beta1.BindingStatus{ObservedGeneration: 1, Conditions: topologyReady}
	return t, b
}

// retired is a route to the agent that led there until so long ago, of which RabbitMQ
// itself makes dead letters.
func retired(to *v1alpha1.LambdaAgent, ago time.Duration) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) { resources.RetireRoute(t, keyOf(to), nil, now.Add(-ago)) }
}

// ledAway is one that leads to the receiver of dead letters instead.
func ledAway(a, to *v1alpha1.LambdaAgent, ago time.Duration) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		resources.RetireRoute(t, keyOf(to), resources.DeadLetterSink(a, testKeys(), testConfig().Eventing), now.Add(-ago))
	}
}

// retirementOf a route that leads there no more is in force since so long ago.
func retirementOf(a *v1alpha1.LambdaAgent, t *eventingv1.Trigger, to *v1alpha1.LambdaAgent, ago time.Duration) *topologyv1beta1.Policy {
	p := resources.MakeRetirement(a, t, "", keyOf(to), testConfig().Eventing)
	p.Generation, p.Status = 1, topologyv1beta1.PolicyStatus{ObservedGeneration: 1, Conditions: []topologyv1beta1.Condition{
		{Type: "Ready", Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ago))},
	}}
	return p
}

// refused by RabbitMQ.
func refused(p *topologyv1beta1.Policy) *topologyv1beta1.Policy {
	p.Status.Conditions = []topologyv1beta1.Condition{{Type: "Ready", Status: corev1.ConditionFalse, Reason: "FailedCreateOrUpdate", Message: "no"}}
	return p
}

// pending is what RabbitMQ has not heard of yet.
func pending(p *topologyv1beta1.Policy) *topologyv1beta1.Policy {
	p.Status = topologyv1beta1.PolicyStatus{}
	return p
}

func gonePolicy(name string) clientgotesting.DeleteActionImpl {
	return gone("rabbitmq.com", "v1beta1", "policies", name)
}

// elsewhere is a world in which the agent's broker is on another RabbitMQ than the dead
// letter queues.
func elsewhere(world []runtime.Object) []runtime.Object {
	for i := range world {
		if cfg, ok := world[i].(*rabbitv1alpha1.RabbitmqBrokerConfig); ok {
			cfg = cfg.DeepCopy()
			cfg.Spec.RabbitmqClusterReference.Name = "another"
			world[i] = cfg
		}
	}
	return world
}

// unresolved is a Trigger whose subscriber has no address.
func unresolved(t *eventingv1.Trigger) {
	t.Status.MarkSubscriberResolvedFailed("NoAddress", "there is none")
}

func readySince(ago time.Duration) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		t.Status.Conditions[0].LastTransitionTime.Inner = metav1.NewTime(now.Add(-ago))
	}
}

// flowing is the status when the broker works.
func flowing(a *v1alpha1.LambdaAgent) {
	a.Status.Broker = &v1alpha1.BrokerStatus{Name: name, URL: apis.HTTP("bruno-broker-ingress.team.svc.cluster.local"), Ready: true}
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

func goneBinding(name string) clientgotesting.DeleteActionImpl {
	return gone("rabbitmq.com", "v1beta1", "bindings", name)
}

func events(verb string, kindsAndNames ...string) (all []string) {
	for i := 0; i < len(kindsAndNames); i += 2 {
		all = append(all, ltesting.Normal(verb, verb+" "+kindsAndNames[i]+` "`+kindsAndNames[i+1]+`"`))
	}
	return all
}

// world is what is there of an agent that works, and more.
func world(t *testing.T, a *v1alpha1.LambdaAgent, more ...runtime.Object) []runtime.Object {
	t.Helper()
	ready := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	b, cfg := brokerOf(a)
	queue, policy := lettersOf(a)
	return append([]runtime.Object{a, file(t, a), ready, b, cfg, queue, policy}, more...)
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
	queue, policy := lettersOf(plain)
	newQueue, newPolicy := resources.MakeDeadLetterQueue(plain, testConfig().Eventing), resources.MakeDeadLetterPolicy(plain, testConfig().Eventing)
	newBroker, cfg := resources.MakeBroker(plain, testConfig().Eventing), resources.MakeBrokerConfig(plain, testConfig().Eventing)
	b, _ := brokerOf(plain)
	trigger, binding := working(plain, subscriptionOf(plain, "x.y"))
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
		a.Status.MarkRoutingPending(v1alpha1.ReasonDeadLetterQueueNotReady, `Queue "bruno-agent-dlq" is not reconciled yet.`)
	}
	twice := eventful(func(e *v1alpha1.AgentEventing) {
		e.Subscriptions = []v1alpha1.AgentSubscription{{EventType: "x.y", Source: "/shop"}, {EventType: "x.y"}, {EventType: "x.y", Source: "*"}}
	})
	foreign := b.DeepCopy()
	foreign.OwnerReferences = nil
	quiet := with(t, func(*v1alpha1.LambdaAgent) {})
	quietReady := service(t, agent(), ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	theirs := subscriptionOf(plain, "their.own")
	theirs.OwnerReferences = nil

	ltesting.Table{{
		Name: "makes all of it", Key: theKey,
		Objects:     ltesting.Objects(with(t, declared), cm, ready),
		WantCreates: ltesting.Objects(newBroker, subscriptionOf(plain, "x.y"), cfg, newQueue, newPolicy),
		WantStatusUpdates: status(with(t, declared, starting,
			routed(v1alpha1.RouteSubscription, "x.y", "", v1alpha1.ReasonTriggerNotReady))),
		WantEvents: events("Created", "RabbitmqBrokerConfig", cfg.Name, "Broker", name, "Queue", newQueue.Name, "Policy", newPolicy.Name, "Trigger", trigger.Name),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, declared, flowing, routed(v1alpha1.RouteSubscription, "x.y", "", "")), trigger, binding),
	}, {
		Name: "what one subscription takes, another does not take again", Key: theKey,
		Objects: world(t, with(t, twice, flowing, routed(v1alpha1.RouteSubscription, "x.y", "", "")), trigger, binding),
	}, {
		Name: "somebody else's broker", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(with(t, declared), cm, ready, cfg, foreign),
		WantStatusUpdates: status(with(t, declared, none(v1alpha1.ReasonBrokerNotOwned, ltesting.NotOwned("Broker", theKey)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Broker", theKey))},
	}, {
		Name: "no Knative Eventing", Key: theKey, Ctx: in(func(r *row) { r.noEventing = true }),
		Objects: ltesting.Objects(with(t, declared), cm, ready),
		WantStatusUpdates: status(with(t, declared, none(v1alpha1.ReasonEventingNotInstalled,
			"The cluster has no Knative Eventing, which an agent's broker needs: install it, or set eventing.enabled to false."))),
	}, {
		Name: "no RabbitMQ", Key: theKey, Ctx: in(func(r *row) { r.noRabbitMQ = true }),
		Objects: ltesting.Objects(with(t, declared), cm, ready),
		WantStatusUpdates: status(with(t, declared, none(v1alpha1.ReasonRabbitMQNotInstalled,
			"The cluster has no RabbitMQ brokers, of which each agent has one: install them, or set eventing.enabled to false."))),
	}, {
		Name: "no RabbitMQ is named", Key: theKey, Ctx: in(func(r *row) { r.config.Eventing.RabbitMQCluster = types.NamespacedName{} }),
		Objects: ltesting.Objects(with(t, declared), cm, ready),
		WantStatusUpdates: status(with(t, declared, none(v1alpha1.ReasonRabbitMQNotConfigured,
			"There is no RabbitMQ for the agent's broker: name it in eventing.rabbitmq or, for the cluster, as rabbitmq-cluster in config-eventing."))),
	}, {
		Name: "all agents are not known yet", Key: theKey, Ctx: in(func(r *row) { r.unindexed = true }),
		Objects: ltesting.Objects(with(t, declared), cm, ready),
	}, {
		Name: "switched off", Key: theKey,
		Objects: ltesting.Objects(quiet, file(t, agent()), quietReady, b, cfg, queue, policy, trigger, binding, theirs),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name), gone("eventing.knative.dev", "v1", "brokers", name),
			gone("eventing.knative.dev", "v1alpha1", "rabbitmqbrokerconfigs", cfg.Name),
			goneBinding(binding.Name), gone("rabbitmq.com", "v1beta1", "policies", policy.Name), gone("rabbitmq.com", "v1beta1", "queues", queue.Name)},
		WantEvents: events("Deleted", "Trigger", trigger.Name, "Binding", binding.Name, "Policy", policy.Name, "Queue", queue.Name, "Broker", name, "RabbitmqBrokerConfig", cfg.Name),
	}, {
		Name: "switched off where there is nothing", Key: theKey, Ctx: in(func(r *row) { r.noEventing, r.noRabbitMQ = true, true }),
		Objects: ltesting.Objects(quiet, file(t, agent()), quietReady),
	}, {
		Name: "failure to create the broker", Key: theKey, WantErr: true,
		Objects:      ltesting.Objects(with(t, declared), cm, ready, cfg),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "brokers")},
		WantCreates:  ltesting.Objects(newBroker),
		WantEvents:   ltesting.Failing("create", "brokers", "Broker", name, ""),
	}, {
		Name: "failure to create a Trigger", Key: theKey, WantErr: true,
		Objects:      ltesting.Objects(with(t, declared), cm, ready, b, cfg, queue, policy),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "triggers")},
		WantCreates:  ltesting.Objects(subscriptionOf(plain, "x.y")),
		WantStatusUpdates: status(with(t, declared, flowing, func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkEventingNotRequested() // what was said of the routes stands
			a.Status.MarkBrokerReady()
		})),
		WantEvents: ltesting.Failing("create", "triggers", "Trigger", trigger.Name, ""),
	}}.Test(t, newReconciler)
}
