package lambdafunction

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgotesting "k8s.io/client-go/testing"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// on is the broker "shop" of somebody else, on a RabbitMQ.
func on(cluster, vhost string) (*eventingv1.Broker, *rabbitv1alpha1.RabbitmqBrokerConfig) {
	b := broker("shop", func(b *eventingv1.Broker) {
		b.Spec.Config = &duckv1.KReference{APIVersion: "eventing.knative.dev/v1alpha1", Kind: "RabbitmqBrokerConfig", Namespace: namespace, Name: "shop"}
	})
	return b, &rabbitv1alpha1.RabbitmqBrokerConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop"},
		Spec: rabbitv1alpha1.RabbitmqBrokerConfigSpec{Vhost: vhost, RabbitmqClusterReference: &topologyv1beta1.RabbitmqClusterReference{Namespace: "rabbitmq", Name: cluster}}}
}

func TestReconcileBindings(t *testing.T) {
	const eventType = "order.created"
	f, before := upAnd(triggered(eventType)), upAnd(triggered("order.paid"))
	queue, policy := deadLettersOf(f)
	shop, cfg := on("rabbitmq", "/")
	foreign, foreignCfg := on("other", "")
	_, elsewhere := on("rabbitmq", "theirs")
	direct := broker("shop", func(b *eventingv1.Broker) {
		b.Spec.Config = &duckv1.KReference{APIVersion: "rabbitmq.com/v1beta1", Kind: "RabbitmqCluster", Namespace: "rabbitmq", Name: "rabbitmq"}
	})
	up, trigger, binding := upAnd(triggered(eventType), flowing("shop")), triggerOf(f), bindingOf(f)
	awaited := pends(v1alpha1.ReasonDeadLetterQueueNotReady, `Binding "`+binding.Name+`" is not reconciled yet.`)
	young := func(t *eventingv1.Trigger) {
		t.Status.Status = duckv1.Status{ObservedGeneration: 1, Conditions: duckv1.Conditions{{Type: apis.ConditionReady, Status: corev1.ConditionUnknown}}}
	}
	unresolved := func(t *eventingv1.Trigger) { young(t); t.Status.DeadLetterSinkURI = nil }
	notReconciled := pends(v1alpha1.ReasonTriggerNotReady, `Trigger "`+trigger.Name+`" of broker "shop" is not ready: : `)
	own := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Triggers[0].Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: &duckv1.Destination{URI: apis.HTTP("own.test")}}
	}
	off := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "shop", DLQ: &v1alpha1.DeadLetterSpec{Enabled: ptr.Bool(false)}}
	}
	ltesting.Table{{
		Name: "makes it when there is what it binds, before the trigger delivers", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(triggered(eventType)), upService(enabled), shop, cfg, queue, policy, triggerOf(f, young)),
		WantCreates:       ltesting.Objects(newBinding(f, false)),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), noDeadLetterSink, notReconciled)),
		WantEvents:        created("Binding", binding.Name),
	}, {
		Name: "waits for the exchange", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(upAnd(triggered(eventType)), upService(enabled), shop, cfg, queue, policy, triggerOf(f, unresolved)),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), noDeadLetterSink, notReconciled)),
	}, {
		Name: "waits for the queue", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(triggered(eventType)), upService(enabled), shop, cfg, policy, trigger, func() *topologyv1beta1.Queue {
			q := queue.DeepCopy()
			q.Status = topologyv1beta1.QueueStatus{}
			return q
		}()),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), pends(v1alpha1.ReasonDeadLetterQueueNotReady, `Queue "greeter-dead-letters" is not reconciled yet.`))),
	}, {
		Name: "says that the trigger has delivered already", Key: theKey, Ctx: in(absent, later(time.Minute)),
		Objects:           ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger),
		WantCreates:       ltesting.Objects(newBinding(f, true)),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), awaited)),
		WantEvents:        created("Binding", binding.Name),
	}, {
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger, binding),
	}, {
		Name: "steady on the cluster itself", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(up, upService(enabled), direct, queue, policy, trigger, binding),
	}, {
		Name: "leaves what is on another RabbitMQ as it is", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(up, upService(enabled), foreign, foreignCfg, queue, policy, trigger),
	}, {
		Name: "leaves what is in another virtual host as it is", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(up, upService(enabled), shop, elsewhere, queue, policy, trigger),
	}, {
		Name: "says what it says of itself", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger, bindingOf(f, func(b *topologyv1beta1.Binding) {
			b.Status.Conditions[0] = topologyv1beta1.Condition{Type: "Ready", Status: corev1.ConditionFalse, Reason: "FailedCreateOrUpdate", Message: "refused"}
		})),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), stuck(v1alpha1.ReasonDeadLetterQueueNotReady, `Binding "`+binding.Name+`" is not ready: FailedCreateOrUpdate: refused`))),
	}, {
		Name: "replaces that of an earlier trigger of the name", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger, bindingOf(f, func(b *topologyv1beta1.Binding) {
			b.Spec.Source = "earlier"
			b.DeletionTimestamp, b.Finalizers = &metav1.Time{Time: now}, []string{"theirs"}
		})),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), awaited)),
	}, {
		Name: "does not take somebody else's", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:           ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger, bindingOf(f, func(b *topologyv1beta1.Binding) { b.OwnerReferences = nil })),
		WantStatusUpdates: status(upAnd(triggered(eventType), flowing("shop"), stuck(v1alpha1.ReasonDeadLetterQueueNotOwned, ltesting.NotOwned("Binding", namespace+"/"+binding.Name)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Binding", namespace+"/"+binding.Name))},
	}, {
		Name: "keeps that of a trigger that is being replaced", Key: theKey, Ctx: in(absent, later(29*time.Second)), WantErr: true, // asks to come again
		Objects: ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger, binding, triggerOf(before), bindingOf(before)),
	}, {
		Name: "removes it with the trigger", Key: theKey, Ctx: in(absent, later(time.Minute)),
		Objects:     ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger, binding, triggerOf(before), bindingOf(before)),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneTrigger(triggerOf(before).Name), goneBinding(bindingOf(before).Name)},
		WantEvents:  deleted("Trigger", triggerOf(before).Name, "Binding", bindingOf(before).Name),
	}, {
		Name: "removes it where dead letters go elsewhere", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(upAnd(triggered(eventType), own, flowing("shop")), upService(enabled), shop, cfg, queue, policy, triggerOf(upAnd(triggered(eventType), own)), binding),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneBinding(binding.Name)},
		WantEvents:  deleted("Binding", binding.Name),
	}, {
		Name: "removes it where dead letters are turned off", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(triggered(eventType), off, flowing("shop"), noDeadLetterSink), upService(), shop, cfg,
			triggerOf(f, withoutSink), binding),
		WantDeletes: []clientgotesting.DeleteActionImpl{goneBinding(binding.Name)},
		WantEvents:  deleted("Binding", binding.Name),
	}, {
		Name: "cannot make it", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(up, upService(enabled), shop, cfg, queue, policy, trigger),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "bindings")},
		WantCreates:  ltesting.Objects(newBinding(f, false)),
		WantEvents:   ltesting.Failing("create", "bindings", "Binding", binding.Name, ""),
	}, {
		Name: "cannot remove it", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(), upService(), binding),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("delete", "bindings")},
		WantDeletes:  []clientgotesting.DeleteActionImpl{goneBinding(binding.Name)},
		WantEvents:   ltesting.Failing("delete", "bindings", "Binding", binding.Name, ""),
	}}.Test(t, newReconciler)
}

// withoutSink is a Trigger of a function that has no dead letters.
func withoutSink(t *eventingv1.Trigger) {
	t.Spec.Delivery.DeadLetterSink, t.Status.DeadLetterSinkURI = nil, nil
	query := t.Spec.Subscriber.URI.URL().Query()
	for _, name := range []string{events.SignatureQuery, events.PermanentQuery, events.TriggerQuery, events.MaxAttemptsQuery, events.RetryWindowQuery} {
		query.Del(name)
	}
	t.Spec.Subscriber.URI.RawQuery = query.Encode()
	subscribers(function(), testKeys()).Sign(t)
}
