package lambdafunction

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgotesting "k8s.io/client-go/testing"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"
	rtesting "knative.dev/pkg/reconciler/testing"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
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
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-broker", Generation: 1, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: config.RabbitMQBrokerClass}}}
	b.Status.Status = *readyStatus.DeepCopy()
	b.Status.Address = &duckv1.Addressable{URL: apis.HTTP("broker.test")}
	for _, c := range change {
		c(b)
	}
	return b
}

// sharedBy is the broker, and its configuration, that functions share.
func sharedBy(owners ...*v1alpha1.LambdaFunction) (*eventingv1.Broker, *rabbitv1alpha1.RabbitmqBrokerConfig) {
	made, cfg := resources.MakeBroker(namespace, "default", testConfig().Eventing), resources.MakeBrokerConfig(namespace, "default", nil, testConfig().Eventing)
	for _, o := range owners {
		made.OwnerReferences = append(made.OwnerReferences, child.SharedRef(o))
		cfg.OwnerReferences = append(cfg.OwnerReferences, child.SharedRef(o))
	}
	b := broker("default", func(b *eventingv1.Broker) {
		b.Labels, b.Spec, b.OwnerReferences = made.Labels, made.Spec, made.OwnerReferences
	})
	return b, cfg
}

// unmade is an object as it is created.
func unmade(b *eventingv1.Broker) *eventingv1.Broker {
	b.UID, b.Generation, b.Status = "", 0, eventingv1.BrokerStatus{}
	return b
}

func deadLettersOf(f *v1alpha1.LambdaFunction) (*topologyv1beta1.Queue, *topologyv1beta1.Policy) {
	queue, policy := newDeadLetters(f)
	ready := []topologyv1beta1.Condition{{Type: "Ready", Status: corev1.ConditionTrue}}
	queue.Generation, queue.Status = 1, topologyv1beta1.QueueStatus{ObservedGeneration: 1, Conditions: ready}
	policy.Generation, policy.Status = 1, topologyv1beta1.PolicyStatus{ObservedGeneration: 1, Conditions: ready}
	return queue, policy
}

func newDeadLetters(f *v1alpha1.LambdaFunction) (*topologyv1beta1.Queue, *topologyv1beta1.Policy) {
	return resources.MakeDeadLetterQueue(f, testConfig().Eventing), resources.MakeDeadLetterPolicy(f, testConfig().Eventing)
}

// bindingOf is the binding of the function's first Trigger, in force.
func bindingOf(f *v1alpha1.LambdaFunction, change ...func(*topologyv1beta1.Binding)) *topologyv1beta1.Binding {
	b := newBinding(f, false)
	b.Generation, b.Status = 1, topologyv1beta1.BindingStatus{ObservedGeneration: 1, Conditions: []topologyv1beta1.Condition{{Type: "Ready", Status: corev1.ConditionTrue}}}
	for _, c := range change {
		c(b)
	}
	return b
}

func newBinding(f *v1alpha1.LambdaFunction, late bool) *topologyv1beta1.Binding {
	return resources.MakeDeadLetterBinding(f, newTrigger(f), late, testConfig().Eventing)
}

func newTrigger(f *v1alpha1.LambdaFunction) *eventingv1.Trigger {
	cfg := testConfig().Eventing
	t := resources.MakeTrigger(f, resources.Subscriptions(f)[0], true, resources.DeadLetterSink(f, testKeys(), cfg), cfg)
	subscribers(f, testKeys()).Sign(t)
	return t
}

var receiver = apis.HTTP("receiver.test")

func triggerOf(f *v1alpha1.LambdaFunction, change ...func(*eventingv1.Trigger)) *eventingv1.Trigger {
	t := newTrigger(f)
	t.Generation, t.Status.Status = 1, *readyStatus.DeepCopy()
	t.Status.DeadLetterSinkURI = receiver
	for _, c := range change {
		c(t)
	}
	return t
}

// flowing is the status when events of the broker come.
func flowing(name string) option {
	return func(f *v1alpha1.LambdaFunction) {
		f.Status.Brokers = []v1alpha1.BrokerStatus{{Name: name, URL: apis.HTTP("broker.test"), Ready: true}}
		f.Status.DeadLetterSinkURI = receiver
		f.Status.MarkEventingReady()
	}
}

func stuck(reason, message string) option {
	return func(f *v1alpha1.LambdaFunction) { f.Status.MarkEventingFailed(reason, message) }
}

func pends(reason, message string) option {
	return func(f *v1alpha1.LambdaFunction) { f.Status.MarkEventingPending(reason, message) }
}

func noDeadLetterSink(f *v1alpha1.LambdaFunction) { f.Status.DeadLetterSinkURI = nil }

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
	queue, policy := deadLettersOf(f)
	newQueue, newPolicy := newDeadLetters(f)
	mine, cfg := sharedBy(f)
	both, bothCfg := sharedBy(f, other)
	theirs, theirCfg := sharedBy(other)
	joined, joinedCfg := sharedBy(other, f)
	fresh, freshCfg := sharedBy(f)
	fresh = unmade(fresh)
	trigger, bound := triggerOf(f).Name, bindingOf(f)
	settings := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.RabbitMQ = &v1alpha1.RabbitMQSpec{QueueType: "classic"}
	}
	differs := `eventing.rabbitmq.queueType: broker "default", which functions of this namespace share, has another one, which cannot be changed: leave it out, or name another broker in eventing.broker.`
	ltesting.Table{{
		Name: "makes all of it", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(enabled), upService(enabled)),
		WantCreates: ltesting.Objects(fresh, newTrigger(f), freshCfg, newQueue, newPolicy), // by client
		WantStatusUpdates: status(upAnd(enabled, func(f *v1alpha1.LambdaFunction) {
			f.Status.Brokers = []v1alpha1.BrokerStatus{{Name: "default"}}
		}, pends(v1alpha1.ReasonDeadLetterQueueNotReady, `Queue "greeter-dead-letters" is not reconciled yet.`))),
		WantEvents: created("RabbitmqBrokerConfig", "default-lambda", "Broker", "default", "Queue", "greeter-dead-letters", "Policy", "greeter-dead-letters", "Trigger", trigger),
	}, {
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), mine, cfg, queue, policy, triggerOf(f), bound),
	}, {
		Name: "joins another function's", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled), upService(enabled), theirs, theirCfg, queue, policy, triggerOf(f), bound),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: joined}, {Object: joinedCfg}},
		WantStatusUpdates: status(upAnd(enabled, flowing("default"))),
		WantEvents:        []string{ltesting.Normal("Updated", `Updated RabbitmqBrokerConfig "default-lambda"`), ltesting.Normal("Updated", `Updated Broker "default"`)},
	}, {
		Name: "uses somebody else's as it is", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled), upService(enabled), broker("default"), queue, policy, triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"))),
	}, {
		Name: "tells settings that a shared one cannot have", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(enabled, settings), upService(enabled), both, bothCfg, queue, policy, triggerOf(f), bound),
		WantStatusUpdates: status(upAnd(enabled, settings, flowing("default"), stuck(v1alpha1.ReasonBrokerDiffers, differs))),
	}, {
		Name: "says what a broker says", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default", func(b *eventingv1.Broker) { b.Status.Status = notReady(corev1.ConditionFalse) }), queue, policy, triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].Ready = false },
			stuck(v1alpha1.ReasonBrokerNotReady, `Broker "default" is not ready: Because: it is so`))),
	}, {
		Name: "does not count what it says of an older generation", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default", func(b *eventingv1.Broker) { b.Generation = 2 }), queue, policy, triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), func(f *v1alpha1.LambdaFunction) { f.Status.Brokers[0].Ready = false },
			pends(v1alpha1.ReasonBrokerNotReady, `Broker "default" is not reconciled yet.`))),
	}, {
		Name: "switched off, leaves the broker to the other", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(flowing("default")), upService(), both, bothCfg, queue, policy, triggerOf(f), bound),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: theirs}, {Object: theirCfg}},
		WantDeletes: []clientgotesting.DeleteActionImpl{
			goneTrigger(trigger), gone("rabbitmq.com", "v1beta1", "policies", "greeter-dead-letters"), gone("rabbitmq.com", "v1beta1", "queues", "greeter-dead-letters"), goneBinding(bound.Name)},
		WantStatusUpdates: status(upAnd()),
		WantEvents:        deleted("Policy", "greeter-dead-letters", "Queue", "greeter-dead-letters", "Trigger", trigger, "Binding", bound.Name),
	}, {
		Name: "switched off, takes the broker with it as the last", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(flowing("default")), upService(), mine, cfg, queue, policy, triggerOf(f)),
		WantDeletes: []clientgotesting.DeleteActionImpl{
			gone("eventing.knative.dev", "v1", "brokers", "default"), goneTrigger(trigger),
			gone("eventing.knative.dev", "v1alpha1", "rabbitmqbrokerconfigs", "default-lambda"),
			gone("rabbitmq.com", "v1beta1", "policies", "greeter-dead-letters"), gone("rabbitmq.com", "v1beta1", "queues", "greeter-dead-letters")},
		WantStatusUpdates: status(upAnd()),
		WantEvents:        deleted("Broker", "default", "RabbitmqBrokerConfig", "default-lambda", "Policy", "greeter-dead-letters", "Queue", "greeter-dead-letters", "Trigger", trigger),
	}, {
		Name: "switched off, leaves somebody else's alone", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(), upService(), broker("default"), theirCfg),
	}}.Test(t, newReconciler)
}

func TestEventingThatCannotBe(t *testing.T) {
	f := upAnd(enabled)
	queue, policy := deadLettersOf(f)
	noCluster := func(s *rowSettings) { s.config.Eventing.RabbitMQCluster.Name = "" }
	noSink := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.Sink = &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Name: "nobody"}}
	}
	unknownSink := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.Sink = &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "eventing.knative.dev/v1", Kind: "Broker", Name: "nobody"}}
	}
	withoutSinkAddress := func(f *v1alpha1.LambdaFunction) {
		f.Status.MarkServiceWaiting(v1alpha1.ReasonSinkNotResolved, "The sink of the replies has no address yet. Revision greeter-00001 serves on.")
	}
	asked := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.DLQ = &v1alpha1.DeadLetterSpec{Enabled: ptr.Bool(true)}
	}
	off := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing.DLQ = &v1alpha1.DeadLetterSpec{Enabled: ptr.Bool(false)}
	}
	ltesting.Table{{
		Name: "without Knative Eventing", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noEventing, s.noRabbitMQ = true, true }),
		Objects: ltesting.Objects(upAnd(enabled), upService(enabled)),
		WantStatusUpdates: status(upAnd(enabled, stuck(v1alpha1.ReasonEventingNotInstalled,
			"The cluster has no Knative Eventing, which triggers and eventing need: install it, or remove triggers and eventing.enabled."))),
	}, {
		Name: "without Knative Eventing, not asked for", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noEventing, s.noRabbitMQ = true, true }),
		Objects: ltesting.Objects(upAnd(), upService()),
	}, {
		Name: "without RabbitMQ", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noRabbitMQ = true }),
		Objects: ltesting.Objects(upAnd(enabled), upService(enabled)),
		WantStatusUpdates: status(upAnd(enabled, stuck(v1alpha1.ReasonRabbitMQNotInstalled,
			`There is no broker "default", and the cluster has no RabbitMQ brokers to make one: install them, or name a broker that is there in eventing.broker.`))),
	}, {
		Name: "without a RabbitMQ in the configuration", Key: theKey, Ctx: in(absent, noCluster),
		Objects: ltesting.Objects(upAnd(enabled), upService()),
		WantStatusUpdates: status(upAnd(enabled, stuck(v1alpha1.ReasonRabbitMQNotConfigured,
			`There is no broker "default", and no RabbitMQ to make one on: name it in eventing.rabbitmq or, for the cluster, as rabbitmq-cluster in config-eventing.`))),
	}, {
		Name: "asked for dead letters, without RabbitMQ", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noRabbitMQ = true }),
		Objects: ltesting.Objects(upAnd(enabled, asked), upService(enabled), broker("default"), triggerOf(f, withoutSink)),
		WantStatusUpdates: status(upAnd(enabled, asked, flowing("default"), noDeadLetterSink, stuck(v1alpha1.ReasonRabbitMQNotInstalled,
			"The cluster has no RabbitMQ topology operator, which a dead letter queue needs: install it, or set eventing.dlq.enabled to false."))),
	}, {
		Name: "by configuration only, without RabbitMQ", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.noRabbitMQ = true }),
		Objects:           ltesting.Objects(upAnd(enabled), upService(enabled), broker("default"), triggerOf(f, withoutSink)),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), noDeadLetterSink)),
	}, {
		Name: "dead letters that are turned off", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, off, flowing("default"), noDeadLetterSink), upService(), broker("default"), queue, policy, triggerOf(f, withoutSink)),
		WantDeletes: []clientgotesting.DeleteActionImpl{
			gone("rabbitmq.com", "v1beta1", "policies", "greeter-dead-letters"), gone("rabbitmq.com", "v1beta1", "queues", "greeter-dead-letters")},
		WantEvents: deleted("Policy", "greeter-dead-letters", "Queue", "greeter-dead-letters"),
	}, {
		Name: "a queue that RabbitMQ does not take", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default"), policy, triggerOf(f), func() *topologyv1beta1.Queue {
			q := queue.DeepCopy()
			q.Status.Conditions = []topologyv1beta1.Condition{{Type: "Ready", Status: corev1.ConditionFalse, Reason: "FailedCreateOrUpdate", Message: "refused"}}
			return q
		}()),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), stuck(v1alpha1.ReasonDeadLetterQueueNotReady, `Queue "greeter-dead-letters" is not ready: FailedCreateOrUpdate: refused`))),
	}, {
		Name: "somebody else's queue", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: ltesting.Objects(upAnd(enabled, flowing("default")), upService(enabled), broker("default"), policy, triggerOf(f, withoutSink), func() *topologyv1beta1.Queue {
			q := queue.DeepCopy()
			q.OwnerReferences = nil
			return q
		}()),
		WantStatusUpdates: status(upAnd(enabled, flowing("default"), noDeadLetterSink, stuck(v1alpha1.ReasonDeadLetterQueueNotOwned, ltesting.NotOwned("Queue", namespace+"/greeter-dead-letters")))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Queue", namespace+"/greeter-dead-letters"))},
	}, {
		Name: "a sink that is not there yet", Key: theKey, Ctx: in(absent), // its coming enqueues
		Objects: ltesting.Objects(upAnd(enabled, noSink, flowing("default")), upService(enabled), broker("default"), queue, policy, triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, noSink, flowing("default"), withoutSinkAddress,
			stuck(v1alpha1.ReasonSinkNotResolved, `eventing.sink: services "nobody" not found`))),
	}, {
		Name: "a sink of which nothing is known", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: ltesting.Objects(upAnd(enabled, unknownSink, flowing("default")), upService(enabled), broker("default"), queue, policy, triggerOf(f)),
		WantStatusUpdates: status(upAnd(enabled, unknownSink, flowing("default"), withoutSinkAddress,
			stuck(v1alpha1.ReasonSinkNotResolved, "eventing.sink: Broker cannot be listed"))),
		WantEvents: []string{ltesting.Warning("InternalError", "Broker cannot be listed")},
	}}.Test(t, newReconciler)
}

func TestReconcileTriggers(t *testing.T) {
	const oldType, newType = "order.created", "order.paid"
	before, f := upAnd(triggered(oldType)), upAnd(triggered(newType))
	queue, policy := deadLettersOf(f)
	old, current := triggerOf(before), triggerOf(f)
	longAgo := func(t *eventingv1.Trigger) {
		t.Status.Conditions[0].LastTransitionTime.Inner = metav1.NewTime(now.Add(-30 * time.Second))
	}
	drifted := triggerOf(f, func(t *eventingv1.Trigger) {
		t.Spec.Delivery.Retry = ptr.Int32(99)
		t.Labels["foreign"] = "stays"
	})
	repaired := triggerOf(f, func(t *eventingv1.Trigger) { t.Labels["foreign"] = "stays" })
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
		Objects: ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, current),
	}, {
		Name: "makes the new one before the old one goes", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, old),
		WantCreates: ltesting.Objects(newTrigger(f)),
		WantStatusUpdates: status(upAnd(triggered(newType), flowing("shop"), noDeadLetterSink,
			pends(v1alpha1.ReasonTriggerNotReady, `Trigger "`+current.Name+`" of broker "shop" is not reconciled yet.`))),
		WantEvents: created("Trigger", current.Name),
	}, {
		Name: "leaves the old one beside it for a while", Key: theKey, Ctx: in(absent, later(29*time.Second)), WantErr: true, // asks to come again
		Objects: ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, old, current),
	}, {
		Name: "removes the old one then", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, old, triggerOf(f, longAgo)),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(old.Name)},
		WantEvents:  deleted("Trigger", old.Name),
	}, {
		Name: "keeps the old one as long as the new one does not work", Key: theKey, Ctx: in(absent, later(time.Hour)),
		Objects: ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, old,
			triggerOf(f, func(t *eventingv1.Trigger) { t.Status.Status = notReady(corev1.ConditionFalse) })),
		WantStatusUpdates: status(upAnd(triggered(newType), flowing("shop"), noDeadLetterSink,
			stuck(v1alpha1.ReasonTriggerNotReady, `Trigger "`+current.Name+`" of broker "shop" is not ready: Because: it is so`))),
	}, {
		Name: "removes what is asked for no more at once", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(flowing("shop")), upService(), broker("shop"), queue, policy, current),
		WantDeletes: []clientgotesting.DeleteActionImpl{
			goneTrigger(current.Name), gone("rabbitmq.com", "v1beta1", "policies", "greeter-dead-letters"), gone("rabbitmq.com", "v1beta1", "queues", "greeter-dead-letters")},
		WantStatusUpdates: status(upAnd()),
		WantEvents:        deleted("Policy", "greeter-dead-letters", "Queue", "greeter-dead-letters", "Trigger", current.Name),
	}, {
		Name: "says that there is no broker, and keeps the trigger", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(triggered(newType)), upService(enabled), queue, policy, old),
		WantStatusUpdates: status(upAnd(triggered(newType), stuck(v1alpha1.ReasonBrokerNotFound, `triggers[0].broker: there is no broker "shop" in namespace "team".`))),
	}, {
		Name: "repairs drift and keeps what others set", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, drifted),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:  []string{ltesting.Normal("Updated", `Updated Trigger "`+current.Name+`"`)},
	}, {
		Name: "does not take somebody else's", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:           ltesting.Objects(upAnd(triggered(newType), flowing("shop")), upService(enabled), broker("shop"), queue, policy, triggerOf(f, func(t *eventingv1.Trigger) { t.OwnerReferences = nil })),
		WantStatusUpdates: status(upAnd(triggered(newType), flowing("shop"), noDeadLetterSink, stuck(v1alpha1.ReasonTriggerNotOwned, ltesting.NotOwned("Trigger", namespace+"/"+current.Name)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Trigger", namespace+"/"+current.Name))},
	}, {
		Name: "says which filter nobody can tell", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(triggered(newType), image), imageService(asImage), broker("shop"), queue, policy),
		WantStatusUpdates: status(function(triggered(newType), image, resolved, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildNotRequested()
			f.Status.PropagateService(imageService(asImage))
			flowing("shop")(f)
			noDeadLetterSink(f)
		}, stuck(v1alpha1.ReasonFilterNotSupported, `triggers[0].filters: broker "shop" is of class RabbitMQBroker, which tells exact attributes only, and a ready-made image has no runtime of this project that could tell the rest: use filter or exact.`))),
	}}.Test(t, newReconciler)
}

// TestFailedEventingWrites: each write that the API server does not take is tried
// again.
func TestFailedEventingWrites(t *testing.T) {
	f := upAnd(enabled)
	queue, policy := deadLettersOf(f)
	newQueue, newPolicy := newDeadLetters(f)
	fresh, cfg := sharedBy(f)
	fresh = unmade(fresh)
	fails := func(verb, resource string) []clientgotesting.ReactionFunc {
		return []clientgotesting.ReactionFunc{rtesting.InduceFailure(verb, resource)}
	}
	ltesting.Table{{
		Name: "create the broker's configuration", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled), upService(enabled)),
		WithReactors: fails("create", "rabbitmqbrokerconfigs"),
		WantCreates:  ltesting.Objects(cfg),
		WantEvents:   ltesting.Failing("create", "rabbitmqbrokerconfigs", "RabbitmqBrokerConfig", "default-lambda", ""),
	}, {
		Name: "create the broker", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled), upService(enabled)),
		WithReactors: fails("create", "brokers"),
		WantCreates:  ltesting.Objects(fresh, cfg),
		WantEvents:   append(created("RabbitmqBrokerConfig", "default-lambda"), ltesting.Failing("create", "brokers", "Broker", "default", "")...),
	}, {
		Name: "create the queue", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled), upService(enabled), broker("default")),
		WithReactors: fails("create", "queues"),
		WantCreates:  ltesting.Objects(newQueue),
		WantEvents:   ltesting.Failing("create", "queues", "Queue", "greeter-dead-letters", ""),
	}, {
		Name: "create the policy", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled), upService(enabled), broker("default"), queue),
		WithReactors: fails("create", "policies"),
		WantCreates:  ltesting.Objects(newPolicy),
		WantEvents:   ltesting.Failing("create", "policies", "Policy", "greeter-dead-letters", ""),
	}, {
		Name: "create the trigger", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled), upService(enabled), broker("default"), queue, policy),
		WithReactors: fails("create", "triggers"),
		WantCreates:  ltesting.Objects(newTrigger(f)),
		WantStatusUpdates: status(upAnd(enabled, func(f *v1alpha1.LambdaFunction) {
			flowing("default")(f)
			noDeadLetterSink(f)
			f.Status.MarkEventingNotRequested() // what was said stands
		})),
		WantEvents: ltesting.Failing("create", "triggers", "Trigger", newTrigger(f).Name, ""),
	}, {
		Name: "delete the trigger", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(), upService(), triggerOf(f)),
		WithReactors: fails("delete", "triggers"),
		WantDeletes:  []clientgotesting.DeleteActionImpl{goneTrigger(newTrigger(f).Name)},
		WantEvents:   ltesting.Failing("delete", "triggers", "Trigger", newTrigger(f).Name, ""),
	}}.Test(t, newReconciler)
}
