//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// remember is a handler that keeps what events it gets, and tells them to whoever
// asks without one.
const remember = `import json, os

def handler(event, context):
    if context.type is None:
        if not os.path.exists("/tmp/seen"):
            return []
        with open("/tmp/seen") as seen:
            return [json.loads(line) for line in seen]
    with open("/tmp/seen", "a") as seen:
        seen.write(json.dumps({"id": context.id, "type": context.type, "source": context.source, "data": event}) + "\n")
`

// seen is an event that such a function got.
type seen struct {
	ID, Type, Source string
	Data             any
}

// rememberer is a function of one replica that remembers its events.
func rememberer(namespace, name string) *v1alpha1.LambdaFunction {
	f := python(namespace, name, remember)
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(1)}
	return f
}

// remembers waits until what the function has got is right.
func remembers(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, what string, right func([]seen) bool) []seen {
	t.Helper()
	return remembersAt(ctx, t, f.Status.URL, what, right)
}

// remembersAt asks such a function, or an agent of its image.
func remembersAt(ctx context.Context, t *testing.T, url *apis.URL, what string, right func([]seen) bool) []seen {
	t.Helper()
	var got []seen
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		answer, err := clients.Call(ctx, url, "{}")
		if err != nil || answer.Status != http.StatusOK {
			return false, err
		}
		got = nil
		if err := json.Unmarshal([]byte(answer.Body), &got); err != nil {
			return false, err
		}
		return right(got), nil
	})
	if err != nil {
		t.Fatalf("%s: %v; what came to %s is %+v", what, err, url, got)
	}
	return got
}

func newEvent(id, eventType, source string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType(eventType)
	e.SetSource(source)
	e.SetTime(time.Now())
	if err := e.SetData("application/json", map[string]string{"of": id}); err != nil {
		panic(err)
	}
	return e
}

func publish(ctx context.Context, t *testing.T, broker types.NamespacedName, all ...event.Event) {
	t.Helper()
	for _, e := range all {
		err := wait.PollUntilContextTimeout(ctx, time.Second, 30*time.Second, true, func(ctx context.Context) (bool, error) {
			err := clients.Publish(ctx, broker, e)
			if apierrs.IsServiceUnavailable(err) || apierrs.IsInternalError(err) { // its ingress has just begun to listen
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestEventing: an event comes through the namespace's broker to a function that
// has scaled to zero, its reply goes back through the broker and calls the function
// no second time; switching off removes what it made and nothing else.
func TestEventing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	broker := types.NamespacedName{Namespace: namespace, Name: "default"}

	greeter := python(namespace, "greeter", "def handler(event, context):\n    return {\"greets\": event[\"of\"]}\n")
	greeter.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{MaxLength: ptr.Int64(10), MessageTTL: v1alpha1.NewDuration(time.Hour)}}
	greeter.Spec.Scaling = v1alpha1.ScalingSpec{Window: v1alpha1.NewDuration(6 * time.Second), ScaleToZeroGracePeriod: v1alpha1.NewDuration(0)}
	own := events.Source("function", namespace, greeter.Name)
	collector := rememberer(namespace, "collector")
	collector.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true}
	collector.Spec.Triggers = []v1alpha1.FunctionTrigger{{Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"source": own}}}}
	greeter, collector = create(ctx, t, greeter), create(ctx, t, collector)
	greeter, collector = ready(ctx, t, greeter), ready(ctx, t, collector)
	checkEventingStatus(ctx, t, greeter)

	if err := clients.AwaitNoPods(ctx, namespace, "serving.knative.dev/service="+greeter.Name); err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	invocation := newEvent("one", "io.knative.lambda.invoke.async", "/e2e")
	invocation.SetSubject(namespace + "/" + greeter.Name)
	publish(ctx, t, broker, invocation)
	got := remembers(ctx, t, collector, "the reply of the function", func(got []seen) bool { return len(got) > 0 })
	t.Logf("from the event to the reply's arrival, from zero: %v", time.Since(sent).Round(100*time.Millisecond))
	if got[0].Type != events.ResponseSuccess || fmt.Sprint(got[0].Data) != "map[greets:one]" {
		t.Errorf("the reply is %+v", got[0])
	}
	// A reply that called the function again would be answered before this one is.
	second := newEvent("two", "io.knative.lambda.invoke.sync", "/e2e")
	second.SetSubject(namespace + "/" + greeter.Name)
	publish(ctx, t, broker, second)
	got = remembers(ctx, t, collector, "the second reply", func(got []seen) bool { return len(got) > 1 && fmt.Sprint(got[len(got)-1].Data) == "map[greets:two]" })
	if len(got) != 2 {
		t.Errorf("two events were answered with %d: %+v", len(got), got)
	}

	switchOff(ctx, t, greeter, collector)
}

// checkEventingStatus: brokers, and the dead letter queue where RabbitMQ has it.
func checkEventingStatus(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	if len(f.Status.Brokers) != 1 || f.Status.Brokers[0].Name != "default" || !f.Status.Brokers[0].Ready || f.Status.Brokers[0].URL == nil {
		t.Errorf("status.brokers = %+v, want the ready default one", f.Status.Brokers)
	}
	list, err := clients.Eventing.EventingV1().Triggers(f.Namespace).List(ctx, metav1.ListOptions{LabelSelector: lambda.FunctionLabelKey + "=" + f.Name})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("%d Triggers of %s, %v", len(list.Items), f.Name, err)
	}
	for i := range list.Items {
		trigger := &list.Items[i]
		if got, want := trigger.Annotations[lambda.DeadLetterQueueAnnotationKey], events.DeadLetterQueue(f.Namespace, f.Name); got != want {
			t.Errorf("Trigger %s has the dead letter queue %q, want %q", trigger.Name, got, want)
		}
		if trigger.Spec.Subscriber.URI != nil || len(trigger.Spec.Filters) == 0 {
			t.Errorf("Trigger %s asks the subscriber %v for what its filters %v do not say", trigger.Name, trigger.Spec.Subscriber.URI, trigger.Spec.Filters)
		}
	}
	broker, err := clients.Eventing.EventingV1().Brokers(f.Namespace).Get(ctx, "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if class := broker.Annotations[eventingv1.BrokerClassAnnotationKey]; class != lambda.BrokerClass {
		t.Errorf("the broker is of class %s, want %s", class, lambda.BrokerClass)
	}
}

// switchOff takes eventing away from the one function, whose broker the other
// still uses, and then from that one.
func switchOff(ctx context.Context, t *testing.T, first, last *v1alpha1.LambdaFunction) {
	t.Helper()
	first = update(ctx, t, first, func(s *v1alpha1.LambdaFunctionSpec) { s.Eventing.Enabled = false })
	first = ready(ctx, t, first)
	if got := first.Status.GetCondition(v1alpha1.FunctionConditionEventingReady); got.Reason != v1alpha1.ReasonNotRequested {
		t.Errorf("EventingReady = %+v of a function whose eventing is off", got)
	}
	answersWith(ctx, t, first, "a reply", func(a test.Answer) bool {
		return a.Status != http.StatusNotFound && a.Status != http.StatusServiceUnavailable
	})
	if _, err := clients.AwaitBroker(ctx, types.NamespacedName{Namespace: first.Namespace, Name: "default"}); err != nil {
		t.Error("the broker that another function uses:", err)
	}
	last = ready(ctx, t, update(ctx, t, last, func(s *v1alpha1.LambdaFunctionSpec) { s.Eventing, s.Triggers = nil, nil }))
	if err := clients.AwaitBrokerGone(ctx, types.NamespacedName{Namespace: last.Namespace, Name: "default"}); err != nil {
		t.Error(err)
	}
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		left, err := clients.Inventory(ctx, last.Namespace)
		for _, name := range left {
			if strings.Contains(name, ".rabbitmq.com/") || strings.Contains(name, ".eventing.knative.dev/") {
				return false, err
			}
		}
		return err == nil, err
	})
	if err != nil {
		t.Error("something of eventing is left behind:", err)
	}
}

// TestSink: with a sink the replies go there, and not through the broker. That an
// asynchronous call has succeeded does, without the reply.
func TestSink(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	broker := types.NamespacedName{Namespace: namespace, Name: "default"}
	audit, listener := rememberer(namespace, "audit"), rememberer(namespace, "listener")
	f := python(namespace, "greeter", "def handler(event, context):\n    return {\"greets\": event[\"of\"]}\n")
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Sink: &duckv1.Destination{Ref: &duckv1.KReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "LambdaFunction", Name: audit.Name}}}
	listener.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true}
	listener.Spec.Triggers = []v1alpha1.FunctionTrigger{{Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": events.ResponseSuccess}}}}
	audit, listener, f = create(ctx, t, audit), create(ctx, t, listener), create(ctx, t, f)
	audit, listener, f = ready(ctx, t, audit), ready(ctx, t, listener), ready(ctx, t, f)

	invocation := newEvent("one", "io.knative.lambda.invoke.async", "/e2e")
	invocation.SetSubject(namespace + "/" + f.Name)
	publish(ctx, t, broker, invocation)
	got := remembers(ctx, t, audit, "the reply at the sink", func(got []seen) bool { return len(got) > 0 })
	if got[0].Type != events.ResponseSuccess || got[0].Source != events.Source("function", namespace, f.Name) || fmt.Sprint(got[0].Data) != "map[greets:one]" {
		t.Errorf("the sink has got %+v", got[0])
	}
	got = remembers(ctx, t, listener, "the outcome", func(got []seen) bool { return len(got) > 0 })
	if o := got[0]; len(got) != 1 || o.Type != events.ResponseSuccess || o.Source != events.Source("function", namespace, f.Name) || o.Data != nil {
		t.Errorf("through the broker came %+v, want the outcome of the call, without data", got)
	}
}

// TestEventingSamples applies the shipped manifests of eventing and traffic.
func TestEventingSamples(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	for _, name := range []string{"eventing.yaml", "schedules.yaml", "triggers.yaml", "dlq.yaml", "traffic.yaml"} {
		o := sample(t, name)
		o.SetNamespace(namespace)
		if _, err := clients.Apply(ctx, o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"greeter", "reporter", "orders", "failing", "canary"} {
		ready(ctx, t, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	}
}
