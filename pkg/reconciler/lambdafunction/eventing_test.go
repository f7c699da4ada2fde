package lambdafunction

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// enabled turns eventing on.
func enabled(f *v1alpha1.LambdaFunction) {
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "default"}
}

// triggered has a trigger on the broker "shop", of events of the type.
func triggered(eventType string) option {
	return func(f *v1alpha1.LambdaFunction) {
		f.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: "shop", Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": eventType}}}}
	}
}

// upAnd is a function that is built and served, before what the options say of
// its eventing.
func upAnd(options ...option) *v1alpha1.LambdaFunction {
	f := function()
	up := service(f, revision("greeter-00001", "greeter-00001"))
	return function(append([]option{servedBy(up, built(false))}, options...)...)
}

func upService(options ...option) *servingv1.Service {
	return service(function(options...), revision("greeter-00001", "greeter-00001"))
}

var readyStatus = duckv1.Status{ObservedGeneration: 1, Conditions: duckv1.Conditions{{Type: apis.ConditionReady, Status: corev1.ConditionTrue,
	LastTransitionTime: apis.VolatileTime{Inner: metav1.NewTime(now)}}}}

func notReady(status corev1.ConditionStatus) duckv1.Status {
	return duckv1.Status{ObservedGeneration: 1, Conditions: duckv1.Conditions{{Type: apis.ConditionReady, Status: status, Reason: "Because", Message: "it is so"}}}
}

func broker(name string, change ...func(*eventingv1.Broker)) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-broker", Generation: 1, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: lambda.BrokerClass}}}
	b.Status.Status = *readyStatus.DeepCopy()
	b.Status.Address = &duckv1.Addressable{URL: apis.HTTP("broker.test")}
	for _, c := range change {
		c(b)
	}
	return b
}

// sharedBy is the broker that functions share.
func sharedBy(owners ...*v1alpha1.LambdaFunction) *eventingv1.Broker {
	made := resources.MakeBroker(namespace, "default", testConfig().Eventing)
	for _, o := range owners {
		made.OwnerReferences = append(made.OwnerReferences, child.SharedRef(o))
	}
	return broker("default", func(b *eventingv1.Broker) {
		b.Labels, b.Spec, b.OwnerReferences = made.Labels, made.Spec, made.OwnerReferences
	})
}

// unmade is an object as it is created.
func unmade(b *eventingv1.Broker) *eventingv1.Broker {
	b.UID, b.Generation, b.Status = "", 0, eventingv1.BrokerStatus{}
	return b
}

func deadLetters(f *v1alpha1.LambdaFunction) *shared.Dead {
	return &shared.Dead{Queue: names.RabbitMQDeadLetterQueue(f), Sink: resources.DeadLetterSink(f, testKeys(), testConfig().Eventing)}
}

func newTrigger(f *v1alpha1.LambdaFunction) *eventingv1.Trigger {
	return newTriggers(f, lambda.BrokerClass)[0]
}

// newTriggers on Brokers of the class.
func newTriggers(f *v1alpha1.LambdaFunction, class string) (all []*eventingv1.Trigger) {
	for _, s := range resources.Subscriptions(f, class == lambda.BrokerClass) {
		if class == config.RabbitMQBrokerClass {
			s = s.OnlyExact()
		}
		all = append(all, resources.MakeTrigger(f, s, class, deadLetters(f), testConfig().Eventing))
	}
	return all
}

func triggerOf(f *v1alpha1.LambdaFunction, change ...func(*eventingv1.Trigger)) *eventingv1.Trigger {
	t := newTrigger(f)
	t.Generation, t.Status.Status = 1, *readyStatus.DeepCopy()
	for _, c := range change {
		c(t)
	}
	return t
}

// flowing is the status when events of the broker come.
func flowing(name string) option {
	return func(f *v1alpha1.LambdaFunction) {
		f.Status.Brokers = []v1alpha1.BrokerStatus{{Name: name, URL: apis.HTTP("broker.test"), Ready: true}}
		f.Status.MarkEventingReady()
		callable(f)
	}
}

// callable is the status with the address for asynchronous calls.
func callable(f *v1alpha1.LambdaFunction) {
	f.Status.CallsURL = resources.CallsURL(f, lambda.BrokerClass)
}

// uncallable is that of a function whose Broker is of another class.
func uncallable(f *v1alpha1.LambdaFunction) { f.Status.CallsURL = nil }

func stuck(reason, message string) option {
	return func(f *v1alpha1.LambdaFunction) {
		f.Status.MarkEventingFailed(reason, message)
		callable(f)
	}
}

func pends(reason, message string) option {
	return func(f *v1alpha1.LambdaFunction) {
		f.Status.MarkEventingPending(reason, message)
		callable(f)
	}
}

func gone(group, version, resource, name string) clientgotesting.DeleteActionImpl {
	return clientgotesting.DeleteActionImpl{Name: name, ActionImpl: clientgotesting.ActionImpl{Namespace: namespace, Verb: "delete",
		Resource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource}}}
}

func goneTrigger(name string) clientgotesting.DeleteActionImpl {
	return gone("eventing.knative.dev", "v1", "triggers", name)
}

func created(kinds ...string) (all []string) {
	for i := 0; i < len(kinds); i += 2 {
		all = append(all, ltesting.Normal("Created", "Created "+kinds[i]+` "`+kinds[i+1]+`"`))
	}
	return all
}

func deleted(kinds ...string) (all []string) {
	for i := 0; i < len(kinds); i += 2 {
		all = append(all, ltesting.Normal("Deleted", "Deleted "+kinds[i]+` "`+kinds[i+1]+`"`))
	}
	return all
}

func TestReconcileBroker(t *testing.T) {
	f := upAnd(enabled)
	other := function(func(f *v1alpha1.LambdaFunction) { f.Name, f.UID = "twin", "uid-twin" })
	trigger := triggerOf(f).Name
	settings := func(r v1alpha1.RabbitMQSpec) option {
		return func(f *v1alpha1.LambdaFunction) { f.Spec.Eventing.RabbitMQ = &r }
	}
	differs := func(field string) option {
		return stuck(v1alpha1.ReasonBrokerDiffers, "eventing.rabbitmq."+field+": Brokers of class LambdaBroker are on the RabbitMQ of the installation, with the queue type of config-eventing: remove it.")
	}
	classic := settings(v1alpha1.RabbitMQSpec{QueueType: "classic"})
	elsewhere := settings(v1alpha1.RabbitMQSpec{ClusterName: "own"})
	same := settings(v1alpha1.RabbitMQSpec{ClusterName: "rabbitmq", Namespace: "rabbitmq", QueueType: "quorum"})
	ltesting.Table{{
		Name: "makes all of it, without any kind of eventing-rabbitmq", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noRabbitMQ = true }),
		Objects:     ltesting.Objects(upAnd(enabled), upService(enabled)),
		WantCreates: ltesting.Objects(unmade(sharedBy(f)), newTrigger(f)),
		WantStatusUpdates: status(upAnd(enabled, func(f *v1alpha1.LambdaFunction) {
			f.Status.Brokers = []v1alpha1.BrokerStatus{{Name: "default"}}
		}, pends(v1alpha1.ReasonBrokerNotReady, `Broker "default" is not reconciled yet.`))),
		WantEvents: created("Broker", "default", "Trigger", trigger),
	}, {
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), sharedBy(f), triggerOf(f)),
	}, {
		Name: "joins another function's", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled), upService(enabled), sharedBy(other), triggerOf(f)),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: sharedBy(other, f)}},
		WantStatusUpdates: status(upAnd(enabled, flowing("default"))),
		WantEvents:        []string{ltesting.Normal("Updated", `Updated Broker "default"`)},
	}, {
		Name: "uses somebody else's as it is", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled), upService(enabled), broker("default"), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"))),
	}, {
		Name: "says that the event plane has another queue type", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled, classic), upService(enabled), sharedBy(f, other), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, classic, flowing("default"), differs("queueType"))),
	}, {
		Name: "says that the event plane is on another RabbitMQ", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled, elsewhere), upService(enabled), sharedBy(f), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, elsewhere, flowing("default"), differs("clusterName"))),
	}, {
		Name: "settings that are the installation's", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, same, flowing("default")), upService(enabled), sharedBy(f), triggerOf(f)),
	}, {
		Name: "says what a broker says", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default", func(b *eventingv1.Broker) { b.Status.Status = notReady(corev1.ConditionFalse) }), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].Ready = false },
			stuck(v1alpha1.ReasonBrokerNotReady, `Broker "default" is not ready: Because: it is so`))),
	}, {
		Name: "does not count what it says of an older generation", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default", func(b *eventingv1.Broker) { b.Generation = 2 }), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].Ready = false },
			pends(v1alpha1.ReasonBrokerNotReady, `Broker "default" is not reconciled yet.`))),
	}, {
		Name: "switched off, leaves the broker to the other", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(flowing("default")), upService(), sharedBy(f, other), triggerOf(f)),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: sharedBy(other)}},
		WantDeletes:       []clientgotesting.DeleteActionImpl{goneTrigger(trigger)},
		WantStatusUpdates: status(upAnd()),
		WantEvents:        deleted("Trigger", trigger),
	}, {
		Name: "switched off, takes the broker with it as the last", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(flowing("default")), upService(), sharedBy(f), triggerOf(f)),
		WantDeletes:       []clientgotesting.DeleteActionImpl{gone("eventing.knative.dev", "v1", "brokers", "default"), goneTrigger(trigger)},
		WantStatusUpdates: status(upAnd()),
		WantEvents:        deleted("Broker", "default", "Trigger", trigger),
	}, {
		Name: "switched off, leaves somebody else's alone", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(), upService(), broker("default")),
	}}.Test(t, newReconciler)
}

func TestEventingThatCannotBe(t *testing.T) {
	f := upAnd(enabled)
	noSink := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.Sink = &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "nobody"}}
	}
	unknownSink := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.Sink = &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Name: "nobody"}}
	}
	withoutSinkAddress := func(f *v1alpha1.LambdaFunction) {
		f.Status.MarkServiceWaiting(v1alpha1.ReasonSinkNotResolved, "The sink of the replies has no address yet. Revision greeter-00001 serves on.")
	}
	ltesting.Table{{
		Name: "without Knative Eventing", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noEventing, s.noRabbitMQ = true, true }),
		Objects: ltesting.Objects(upAnd(enabled), upService()),
		WantStatusUpdates: status(upAnd(enabled, stuck(v1alpha1.ReasonEventingNotInstalled,
			"The cluster has no Knative Eventing, which triggers and eventing need: install it, or remove triggers and eventing.enabled."), uncallable)),
	}, {
		Name: "without Knative Eventing, not asked for", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noEventing, s.noRabbitMQ = true, true }),
		Objects: ltesting.Objects(upAnd(), upService()),
	}, {
		Name: "a sink that is not there yet", Key: theKey, Ctx: in(absent), // its coming enqueues
		Objects: ltesting.Objects(upAnd(enabled, noSink, flowing("default")), upService(enabled), broker("default"), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, noSink, flowing("default"), withoutSinkAddress,
			stuck(v1alpha1.ReasonSinkNotResolved, `eventing.sink: services "nobody" not found`))),
	}, {
		Name: "a sink of which nothing is known", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: ltesting.Objects(upAnd(enabled, unknownSink, flowing("default")), upService(enabled), broker("default"), triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, unknownSink, flowing("default"), withoutSinkAddress,
			stuck(v1alpha1.ReasonSinkNotResolved, "eventing.sink: Broker cannot be listed"))),
		WantEvents: []string{ltesting.Warning("InternalError", "Broker cannot be listed")},
	}}.Test(t, newReconciler)
}

func TestReconcileTriggers(t *testing.T) {
	const oldType, newType = "order.created", "order.paid"
	before, f := upAnd(triggered(oldType)), upAnd(triggered(newType))
	old, current := triggerOf(before), triggerOf(f)
	edited := triggerOf(f, func(t *eventingv1.Trigger) { t.Name = old.Name })
	drifted := triggerOf(f, func(t *eventingv1.Trigger) {
		t.Spec.Delivery.Retry = ptr.Int32(99)
		t.Labels["foreign"] = "stays"
	})
	repaired := triggerOf(f, func(t *eventingv1.Trigger) { t.Labels["foreign"] = "stays" })
	both := func(f *v1alpha1.LambdaFunction) {
		triggered(oldType)(f)
		f.Spec.Triggers = append(f.Spec.Triggers, v1alpha1.FunctionTrigger{Broker: "shop", Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": newType}}})
	}
	image := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Source = v1alpha1.FunctionSource{Type: v1alpha1.SourceImage, Image: &v1alpha1.ImageSource{ImageReference: v1alpha1.ImageReference{Repository: "images.test/ready", Digest: digest, Port: 8080}}}
		f.Spec.Triggers[0].Filters = []v1alpha1.EventFilter{{SubscriptionsAPIFilter: eventingv1.SubscriptionsAPIFilter{Prefix: map[string]string{"subject": "eu"}}}}
	}
	imageService := func(f *v1alpha1.LambdaFunction) *servingv1.Service {
		s := readyMade(f)
		revision("greeter-00001", "greeter-00001")(s)
		return s
	}
	asImage := function(triggered(newType), image)
	ltesting.Table{{
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"), current),
	}, {
		Name: "edits a filter in place", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"), old),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: edited}},
		WantStatusUpdates: nil,
		WantEvents:        []string{ltesting.Normal("Updated", `Updated Trigger "`+old.Name+`"`)},
	}, {
		Name: "the edited one is steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"), edited),
	}, {
		Name: "of two entries one goes: the other keeps its Trigger", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"), old, current),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(old.Name)},
		WantEvents:  deleted("Trigger", old.Name),
	}, {
		Name: "an entry comes whose name an edited Trigger has", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(both, flowing("shop")), upService(), broker("shop"), edited),
		WantCreates: ltesting.Objects(func() *eventingv1.Trigger {
			t := newTrigger(before)
			t.Name += "-2"
			return t
		}()),
		WantStatusUpdates: status(upAnd(both, flowing("shop"), pends(v1alpha1.ReasonTriggerNotReady, `Trigger "`+old.Name+`-2" of broker "shop" is not reconciled yet.`))),
		WantEvents:        created("Trigger", old.Name+"-2"),
	}, {
		Name: "says what a Trigger says", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"),
			triggerOf(f, func(t *eventingv1.Trigger) { t.Status.Status = notReady(corev1.ConditionFalse) })),
		WantStatusUpdates: status(upAnd(triggered(newType), flowing("shop"),
			stuck(v1alpha1.ReasonTriggerNotReady, `Trigger "`+current.Name+`" of broker "shop" is not ready: Because: it is so`))),
	}, {
		Name: "removes what is asked for no more at once", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(flowing("shop")), upService(), broker("shop"), current),
		WantDeletes:       []clientgotesting.DeleteActionImpl{goneTrigger(current.Name)},
		WantStatusUpdates: status(upAnd()),
		WantEvents:        deleted("Trigger", current.Name),
	}, {
		Name: "says that there is no broker, and keeps the trigger", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(triggered(newType)), upService(), old),
		WantStatusUpdates: status(upAnd(triggered(newType), stuck(v1alpha1.ReasonBrokerNotFound, `triggers[0].broker: there is no broker "shop" in namespace "team".`))),
	}, {
		Name: "repairs drift and keeps what others set", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"), drifted),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:  []string{ltesting.Normal("Updated", `Updated Trigger "`+current.Name+`"`)},
	}, {
		Name: "does not take somebody else's", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:           ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(), broker("shop"), triggerOf(f, func(t *eventingv1.Trigger) { t.OwnerReferences = nil })),
		WantStatusUpdates: status(upAnd(triggered(newType), flowing("shop"), stuck(v1alpha1.ReasonTriggerNotOwned, ltesting.NotOwned("Trigger", namespace+"/"+current.Name)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Trigger", namespace+"/"+current.Name))},
	}, {
		Name: "a ready-made image has filters, too", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(triggered(newType), image, resolved, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildNotRequested()
			f.Status.PropagateService(imageService(asImage))
			flowing("shop")(f)
		}), imageService(asImage), broker("shop"), triggerOf(asImage)),
	}}.Test(t, newReconciler)
}
