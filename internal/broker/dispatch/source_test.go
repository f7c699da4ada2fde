package dispatch

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/client/clientset/versioned/fake"
	"knative.dev/eventing/pkg/client/informers/externalversions"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
)

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true: " + what)
		}
	}
}

// TestWatch: Triggers of this class are served as they are in the API, and others are
// not.
func TestWatch(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, engine: memory.New(), broker: aBroker(), start: time.Now(), sender: &sender{}}
	f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { return ok() })
	f.topology = f.engine
	f.must(f.engine.DeclareExchange(t.Context()))
	trigger := f.newTrigger("greeter", nil)
	foreign := f.newTrigger("foreign", func(t *eventingv1.Trigger) { t.Spec.Broker = "foreign" })
	orphan := f.newTrigger("orphan", func(t *eventingv1.Trigger) { t.Spec.Broker = "missing" })
	other := f.broker.DeepCopy()
	other.Name, other.Annotations = "foreign", map[string]string{eventingv1.BrokerClassAnnotationKey: "MTChannelBasedBroker"}
	client := fake.NewSimpleClientset(trigger, foreign, orphan, f.broker, other)
	factory := externalversions.NewSharedInformerFactory(client, 0)
	triggers, brokers := factory.Eventing().V1().Triggers(), factory.Eventing().V1().Brokers()
	triggers.Informer()
	brokers.Informer()
	factory.Start(t.Context().Done())
	f.d = New(Options{Subscriber: f.engine, Publisher: f.engine, Inspector: f.engine, Sender: f.sender})
	f.must(f.d.Watch(t.Context(), triggers, brokers))
	if got := f.d.Waiting(trigger.UID); got != "" {
		t.Errorf("the Trigger waits: %s", got)
	}
	for _, unknown := range []*eventingv1.Trigger{foreign, orphan} {
		if _, known := f.d.Queue(unknown.UID); known {
			t.Errorf("Trigger %s is served", unknown.Name)
		}
	}
	f.publish(anEvent("1"))
	eventually(t, "the event is delivered", func() bool { return f.sender.count()["1"] == 1 })

	update := func(change func(*eventingv1.Trigger)) {
		trigger = trigger.DeepCopy()
		change(trigger)
		_, err := client.EventingV1().Triggers(namespace).Update(t.Context(), trigger, metav1.UpdateOptions{})
		f.must(err)
	}
	update(func(t *eventingv1.Trigger) { t.Generation = 2; t.Status.SubscriberURI = nil })
	eventually(t, "the Trigger waits for its subscriber", func() bool { return f.d.Waiting(trigger.UID) == "the subscriber is not resolved" })
	if got := f.generations(`["greeter-uid"]`); got != `{"greeter-uid":2}` {
		t.Errorf("generations are %s", got)
	}
	f.must(client.EventingV1().Brokers(namespace).Delete(t.Context(), f.broker.Name, metav1.DeleteOptions{}))
	eventually(t, "the Trigger waits for its Broker", func() bool { return f.d.Waiting(trigger.UID) == `there is no Broker "default" in namespace "team"` })
	f.must(client.EventingV1().Triggers(namespace).Delete(t.Context(), trigger.Name, metav1.DeleteOptions{}))
	eventually(t, "the Trigger is forgotten", func() bool { _, known := f.d.Queue(trigger.UID); return !known })
	f.must(f.d.Stop(t.Context()))
}

// TestGenerations_WhenInvalid: what is no list of UIDs is refused.
func TestGenerations_WhenInvalid(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t}
	f.d = New(Options{})
	if got := f.generations("{"); got == "" || got[0] == '{' {
		t.Errorf("the response is %q, want an error", got)
	}
}

// TestDeadLetterQueueOf: a Trigger's dead letters stay in its namespace.
func TestDeadLetterQueueOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"lambda.dlq.team.greeter":      "lambda.dlq.team.greeter",
		"lambda.dlq.team.agents.bruno": "lambda.dlq.team.agents.bruno",
		"lambda.dlq.other.greeter":     "",
		"lambda.dlq.team2.greeter":     "",
		"lambda.dlq.team.":             "",
		"lambda.dlq.team":              "",
		"lambda.t.team.greeter.1":      "",
		"":                             "",
	} {
		trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Annotations: map[string]string{"lambda.knative.io/dead-letter-queue": name}}}
		if got := deadLetterQueueOf(trigger); got != want {
			t.Errorf("the queue for %q is %q, want %q", name, got, want)
		}
	}
}
