package lambdafunction

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// nightly is a schedule of the spec, and what the changes make of it.
func nightly(change ...func(*v1alpha1.Schedule)) option {
	return func(f *v1alpha1.LambdaFunction) {
		enabled(f)
		s := v1alpha1.Schedule{Name: "nightly", Cron: "0 3 * * *", TimeZone: "Europe/Berlin", Data: `{"full": true}`}
		for _, c := range change {
			c(&s)
		}
		f.Spec.Schedules = append(f.Spec.Schedules, s)
	}
}

func paused(s *v1alpha1.Schedule) { s.Suspend = true }

// pingOf the function's first schedule, as it is when it works.
func pingOf(f *v1alpha1.LambdaFunction, change ...func(*sourcesv1.PingSource)) *sourcesv1.PingSource {
	p := resources.MakePingSources(f)[0]
	p.Generation, p.Status.Status = 1, *readyStatus.DeepCopy()
	for _, c := range change {
		c(p)
	}
	return p
}

// working Triggers of the function.
func working(f *v1alpha1.LambdaFunction) (all []*eventingv1.Trigger) {
	for _, t := range newTriggers(f, lambda.BrokerClass) {
		t.Generation, t.Status.Status = 1, *readyStatus.DeepCopy()
		all = append(all, t)
	}
	return all
}

func gonePing(name string) clientgotesting.DeleteActionImpl {
	return gone("sources.knative.dev", "v1", "pingsources", name)
}

func TestReconcileSchedules(t *testing.T) {
	f := upAnd(nightly())
	triggers, ping := working(f), pingOf(f)
	invoked, scheduled := triggers[0], triggers[1]
	edited := nightly(func(s *v1alpha1.Schedule) { s.Cron, s.Type, s.Data = "@hourly", "io.example.tick", "" })
	drifted := pingOf(f, func(p *sourcesv1.PingSource) {
		p.Spec.Schedule, p.Spec.Sink.URI, p.Labels["foreign"] = "* * * * *", nil, "stays"
		delete(p.Labels, lambda.ScheduleLabelKey)
	})
	repaired := pingOf(f, func(p *sourcesv1.PingSource) { p.Labels["foreign"] = "stays" })
	updated := []string{ltesting.Normal("Updated", `Updated PingSource "`+ping.Name+`"`)}
	here := func(f *v1alpha1.LambdaFunction, more ...runtime.Object) []runtime.Object {
		return append(ltesting.Objects(f, upService(enabled), broker("default"), invoked), more...)
	}
	all := working(upAnd(triggered("x"), nightly())) // of calls, of the trigger, of the schedules
	ltesting.Table{{
		Name: "makes what sends the events after what takes them", Key: theKey, Ctx: in(absent),
		Objects:     here(upAnd(nightly(), flowing("default"))),
		WantCreates: ltesting.Objects(newTriggers(f, lambda.BrokerClass)[1], resources.MakePingSources(f)[0]),
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"),
			pends(v1alpha1.ReasonTriggerNotReady, `Trigger "`+scheduled.Name+`" of broker "default" is not reconciled yet.`))),
		WantEvents: created("Trigger", scheduled.Name, "PingSource", ping.Name),
	}, {
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: here(upAnd(nightly(), flowing("default")), scheduled, ping),
	}, {
		Name: "edits a schedule in place", Key: theKey, Ctx: in(absent),
		Objects:     here(upAnd(edited, flowing("default")), scheduled, ping),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: pingOf(upAnd(edited))}},
		WantEvents:  updated,
	}, {
		Name: "repairs drift and keeps what others set", Key: theKey, Ctx: in(absent),
		Objects:     here(upAnd(nightly(), flowing("default")), scheduled, drifted),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:  updated,
	}, {
		Name: "suspended, keeps what takes the events that wait", Key: theKey, Ctx: in(absent),
		Objects:     here(upAnd(nightly(paused), flowing("default")), scheduled, ping),
		WantDeletes: []clientgotesting.DeleteActionImpl{gonePing(ping.Name)},
		WantEvents:  deleted("PingSource", ping.Name),
	}, {
		Name: "removed", Key: theKey, Ctx: in(absent),
		Objects:     here(upAnd(enabled, flowing("default")), scheduled, ping),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(scheduled.Name), gonePing(ping.Name)},
		WantEvents:  deleted("Trigger", scheduled.Name, "PingSource", ping.Name),
	}, {
		Name: "removed, leaves another owner's", Key: theKey, Ctx: in(absent),
		Objects: here(upAnd(enabled, flowing("default")), pingOf(f, func(p *sourcesv1.PingSource) { p.OwnerReferences = nil })),
	}, {
		Name: "a trigger does not deliver the events again", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(triggered("x"), nightly(), flowing("default"), flowsToo), upService(enabled), broker("shop"), broker("default"),
			all[0], all[1], all[2], ping),
	}}.Test(t, newReconciler)

	if got := all[1].Spec.Filters; len(got) != 3 || got[2].Not.Exact["source"] != "io.knative.lambda/function/team/greeter/schedules" {
		t.Errorf("the filters of a trigger are %+v", got)
	}
}

// flowsToo says that the broker of the triggers works, too.
func flowsToo(f *v1alpha1.LambdaFunction) {
	more := upAnd(flowing("shop"))
	f.Status.Brokers = append(f.Status.Brokers, more.Status.Brokers...)
}

func TestSchedulesThatCannotBe(t *testing.T) {
	f := upAnd(nightly())
	triggers, ping := working(f), pingOf(f)
	notOwned := ltesting.NotOwned("PingSource", namespace+"/"+ping.Name)
	refuse := apierrs.NewBadRequest("admission webhook denied the request: data is too long")
	refused := `failed to create PingSource "` + ping.Name + `": ` + refuse.Error()
	here := func(f *v1alpha1.LambdaFunction, more ...runtime.Object) []runtime.Object {
		return append(ltesting.Objects(f, upService(enabled), broker("default"), triggers[0], triggers[1]), more...)
	}
	ltesting.Table{{
		Name: "without PingSources", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noSources = true }),
		Objects: here(upAnd(nightly(), flowing("default"))),
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"), stuck(v1alpha1.ReasonPingSourceNotInstalled,
			"The cluster has no PingSources, which send the events of schedules: install Knative Eventing with its sources, or remove the schedules."))),
	}, {
		Name: "without PingSources, not asked for", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noSources = true }),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default"), triggers[0]),
	}, {
		Name: "says what a PingSource says", Key: theKey, Ctx: in(absent),
		Objects: here(upAnd(nightly(), flowing("default")), pingOf(f, func(p *sourcesv1.PingSource) { p.Status.Status = notReady(corev1.ConditionFalse) })),
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"),
			stuck(v1alpha1.ReasonScheduleNotReady, `PingSource "`+ping.Name+`" of schedule "nightly" is not ready: Because: it is so`))),
	}, {
		Name: "does not take another owner's", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:           here(upAnd(nightly(), flowing("default")), pingOf(f, func(p *sourcesv1.PingSource) { p.OwnerReferences = nil })),
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"), stuck(v1alpha1.ReasonScheduleNotOwned, notOwned))),
		WantEvents:        []string{ltesting.Warning("InternalError", notOwned)},
	}, {
		Name: "refused by the API server", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: here(upAnd(nightly(), flowing("default"))),
		WithReactors: []clientgotesting.ReactionFunc{func(a clientgotesting.Action) (bool, runtime.Object, error) {
			return a.Matches("create", "pingsources"), nil, refuse
		}},
		WantCreates:       ltesting.Objects(resources.MakePingSources(f)[0]),
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"), stuck(v1alpha1.ReasonScheduleRejected, refused))),
		WantEvents:        ltesting.Failing("create", "pingsources", "PingSource", ping.Name, refuse.Error()),
	}, {
		Name: "failure to create", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      here(upAnd(nightly(), flowing("default"))),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "pingsources")},
		WantCreates:  ltesting.Objects(resources.MakePingSources(f)[0]),
		WantEvents:   ltesting.Failing("create", "pingsources", "PingSource", ping.Name, ""),
	}, {
		Name: "failure to delete", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default"), triggers[0], ping),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("delete", "pingsources")},
		WantDeletes:  []clientgotesting.DeleteActionImpl{gonePing(ping.Name)},
		WantEvents:   ltesting.Failing("delete", "pingsources", "PingSource", ping.Name, ""),
	}, {
		Name: "on a Broker of another class", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(nightly(), flowing("default")), upService(), broker("default", func(b *eventingv1.Broker) {
			b.Annotations[eventingv1.BrokerClassAnnotationKey] = "MTChannelBasedBroker"
		}), otherClass(triggers[0]), ping),
		WantDeletes: []clientgotesting.DeleteActionImpl{gonePing(ping.Name)},
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"), stuck(v1alpha1.ReasonScheduleNotSupported,
			`schedules: Broker "default" is of class "MTChannelBasedBroker", which cannot set the type of their events: use a Broker of class LambdaBroker, or remove the schedules.`), uncallable)),
		WantEvents: deleted("PingSource", ping.Name),
	}}.Test(t, newReconciler)
}

// otherClass is the Trigger on a Broker of a class that is neither of this project nor of
// eventing-rabbitmq.
func otherClass(like *eventingv1.Trigger) *eventingv1.Trigger {
	f := upAnd(nightly())
	t := resources.MakeTrigger(f, resources.Subscriptions(f, false)[0], "MTChannelBasedBroker", deadLetters(f), testConfig().Eventing)
	t.Generation, t.Status = like.Generation, like.Status
	return t
}

// TestSchedulesOnRabbitMQBroker: it evaluates exact attributes, and sets none.
func TestSchedulesOnRabbitMQBroker(t *testing.T) {
	f := upAnd(nightly())
	plain := newTriggers(f, config.RabbitMQBrokerClass)[0]
	plain.Generation, plain.Status.Status = 1, *readyStatus.DeepCopy()
	ltesting.Table{{
		Name: "is refused", Key: theKey, Ctx: onRabbitMQ(),
		Objects: ltesting.Objects(upAnd(nightly(), flowing("default")), upService(), broker("default", rabbitMQBroker), plain),
		WantStatusUpdates: status(upAnd(nightly(), flowing("default"), stuck(v1alpha1.ReasonScheduleNotSupported,
			`schedules: Broker "default" is of class "RabbitMQBroker", which cannot set the type of their events: use a Broker of class LambdaBroker, or remove the schedules.`), uncallable)),
	}}.Test(t, newReconciler)
}
