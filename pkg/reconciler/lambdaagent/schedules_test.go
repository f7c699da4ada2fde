package lambdaagent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// nightly is an agent with a schedule, and what the changes make of its eventing.
func nightly(change ...func(*v1alpha1.AgentEventing)) option {
	return func(a *v1alpha1.LambdaAgent) {
		eventful(change...)(a)
		a.Spec.Schedules = []v1alpha1.Schedule{{Name: "nightly", Cron: "0 3 * * *", Type: "io.example.tick"}}
	}
}

// pingOf the agent's schedule, as it is when it works.
func pingOf(a *v1alpha1.LambdaAgent, change ...func(*sourcesv1.PingSource)) *sourcesv1.PingSource {
	p := resources.MakePingSources(a)[0]
	p.Generation, p.Status.Status = 1, *readyStatus.DeepCopy()
	for _, c := range change {
		c(p)
	}
	return p
}

func gonePing(name string) clientgotesting.DeleteActionImpl {
	return gone("sources.knative.dev", "v1", "pingsources", name)
}

func TestReconcileSchedules(t *testing.T) {
	a := agent(nightly())
	trigger, ping := working(makerOf(a).Schedules()), pingOf(a)
	drifted := pingOf(a, func(p *sourcesv1.PingSource) { p.Spec.Schedule, p.Labels["foreign"] = "* * * * *", "stays" })
	fails := func(reason, message string) option {
		return func(a *v1alpha1.LambdaAgent) { a.Status.MarkRoutingFailed(reason, message) }
	}
	quietReady := service(t, agent(), ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	notOwned := ltesting.NotOwned("PingSource", namespace+"/"+ping.Name)
	ltesting.Table{{
		Name: "makes what sends the events after what takes them", Key: theKey,
		Objects:     world(t, with(t, nightly(), flowing)),
		WantCreates: ltesting.Objects(makerOf(a).Schedules(), resources.MakePingSources(a)[0]),
		WantStatusUpdates: status(with(t, nightly(), flowing,
			waits(v1alpha1.ReasonTriggerNotReady, `Trigger "bruno-schedules" is not reconciled yet.`))),
		WantEvents: recorded("Created", "Trigger", "bruno-schedules", "PingSource", ping.Name),
	}, {
		Name: "steady", Key: theKey,
		Objects: world(t, with(t, nightly(), flowing), trigger, ping),
	}, {
		Name: "repairs drift and keeps what others set", Key: theKey,
		Objects:     world(t, with(t, nightly(), flowing), trigger, drifted),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: pingOf(a, func(p *sourcesv1.PingSource) { p.Labels["foreign"] = "stays" })}},
		WantEvents:  recorded("Updated", "PingSource", ping.Name),
	}, {
		Name: "removed", Key: theKey,
		Objects:     world(t, with(t, eventful(), flowing), trigger, ping),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(trigger.Name), gonePing(ping.Name)},
		WantEvents:  recorded("Deleted", "Trigger", trigger.Name, "PingSource", ping.Name),
	}, {
		Name: "eventing is switched off", Key: theKey,
		Objects:     ltesting.Objects(with(t, func(*v1alpha1.LambdaAgent) {}), file(t, agent()), quietReady, brokerOf(a), trigger, ping),
		WantDeletes: []clientgotesting.DeleteActionImpl{gonePing(ping.Name), goneTrigger(trigger.Name), gone("eventing.knative.dev", "v1", "brokers", name)},
		WantEvents:  recorded("Deleted", "PingSource", ping.Name, "Trigger", trigger.Name, "Broker", name),
	}, {
		Name: "without PingSources", Key: theKey, Ctx: in(func(r *row) { r.noSources = true }),
		Objects: world(t, with(t, nightly(), flowing), trigger),
		WantStatusUpdates: status(with(t, nightly(), flowing, fails(v1alpha1.ReasonPingSourceNotInstalled,
			"The cluster has no PingSources, which send the events of schedules: install Knative Eventing with its sources, or remove the schedules."))),
	}, {
		Name: "says what a PingSource says", Key: theKey,
		Objects: world(t, with(t, nightly(), flowing), trigger, pingOf(a, func(p *sourcesv1.PingSource) {
			p.Status.MarkNoSink("NotFound", "no Broker")
		})),
		WantStatusUpdates: status(with(t, nightly(), flowing, fails(v1alpha1.ReasonScheduleNotReady,
			`PingSource "`+ping.Name+`" of schedule "nightly" is not ready: NotFound: no Broker`))),
	}, {
		Name: "does not take another owner's", Key: theKey, WantErr: true,
		Objects:           world(t, with(t, nightly(), flowing), trigger, pingOf(a, func(p *sourcesv1.PingSource) { p.OwnerReferences = nil })),
		WantStatusUpdates: status(with(t, nightly(), flowing, fails(v1alpha1.ReasonScheduleNotOwned, notOwned))),
		WantEvents:        []string{ltesting.Warning("InternalError", notOwned)},
	}, {
		Name: "failure to create", Key: theKey, WantErr: true,
		Objects:      world(t, with(t, nightly(), flowing), trigger),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "pingsources")},
		WantCreates:  ltesting.Objects(resources.MakePingSources(a)[0]),
		WantEvents:   ltesting.Failing("create", "pingsources", "PingSource", ping.Name, ""),
	}}.Test(t, newReconciler)
}

// TestScheduledSubscriptions: events of schedules are delivered by one Trigger.
func TestScheduledSubscriptions(t *testing.T) {
	notScheduled := sharedresources.NotFrom("io.knative.lambda/agent/team/bruno/schedules")
	for _, tt := range []struct {
		name    string
		s       v1alpha1.AgentSubscription
		exact   map[string]string
		filters []eventingv1.SubscriptionsAPIFilter
	}{
		{"the type of the schedule", v1alpha1.AgentSubscription{EventType: "io.example.tick"}, map[string]string{"type": "io.example.tick"}, []eventingv1.SubscriptionsAPIFilter{notScheduled}},
		{"a prefix of types", v1alpha1.AgentSubscription{EventType: "io.example.*"}, map[string]string{},
			[]eventingv1.SubscriptionsAPIFilter{{Prefix: map[string]string{"type": "io.example."}}, notScheduled}},
		{"another type", v1alpha1.AgentSubscription{EventType: "a.b"}, map[string]string{"type": "a.b"}, nil},
		{"another source", v1alpha1.AgentSubscription{EventType: "io.example.tick", Source: "/x"}, map[string]string{"type": "io.example.tick", "source": "/x"}, nil},
	} {
		declared := nightly(func(e *v1alpha1.AgentEventing) { e.Subscriptions = []v1alpha1.AgentSubscription{tt.s} })
		a := agent(declared)
		wanted := working(makerOf(a).Subscription(tt.exact, tt.filters))
		ltesting.Table{{
			Name: tt.name, Key: theKey,
			Objects: world(t, with(t, declared, flowing, routed(v1alpha1.RouteSubscription, tt.s.EventType, "", "")), wanted, working(makerOf(a).Schedules()), pingOf(a)),
		}}.Test(t, newReconciler)
	}
}

// TestSchedulesOnRabbitMQBroker: it sets no attributes of events.
func TestSchedulesOnRabbitMQBroker(t *testing.T) {
	a := with(t, nightly(), flowing)
	rabbit := brokerOf(a)
	rabbit.Annotations[eventingv1.BrokerClassAnnotationKey] = config.RabbitMQBrokerClass
	w := ltesting.NewWorld(in(), t, newReconciler, append(ltesting.Objects(a), runtime.Object(rabbit))...)
	if _, err := w.Try(theKey); err != nil {
		t.Fatal(err)
	}
	after, err := w.Listers().LambdaAgents().LambdaAgents(namespace).Get(name)
	if err != nil {
		t.Fatal(err)
	}
	if c := after.Status.GetCondition(v1alpha1.AgentConditionRoutingReady); !c.IsFalse() || c.Reason != v1alpha1.ReasonScheduleNotSupported {
		t.Errorf("RoutingReady is %+v", c)
	}
}
