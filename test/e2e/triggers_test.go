//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// newBroker makes a broker as a user does: the cluster's default says on what.
func newBroker(ctx context.Context, t *testing.T, namespace, name string) types.NamespacedName {
	t.Helper()
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	b, err := clients.Eventing.EventingV1().Brokers(namespace).Create(ctx, b, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return test.Key(b)
}

func exact(attributes map[string]string) v1alpha1.EventFilter {
	return v1alpha1.EventFilter{SubscriptionsAPIFilter: eventingv1.SubscriptionsAPIFilter{Exact: attributes}}
}

func prefix(attributes map[string]string) v1alpha1.EventFilter {
	return v1alpha1.EventFilter{SubscriptionsAPIFilter: eventingv1.SubscriptionsAPIFilter{Prefix: attributes}}
}

// TestTriggers: filters that the broker cannot tell are told all the same, and
// requests that come from no trigger are not filtered; a changed filter loses no
// event; a trigger that is removed goes, and its broker, which is the user's, stays.
func TestTriggers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	broker := newBroker(ctx, t, namespace, "shop")
	f := rememberer(namespace, "orders")
	f.Spec.Triggers = []v1alpha1.FunctionTrigger{{
		Broker: broker.Name,
		Filters: []v1alpha1.EventFilter{exact(map[string]string{"source": "/shop"}), prefix(map[string]string{"type": "order."}),
			{SubscriptionsAPIFilter: eventingv1.SubscriptionsAPIFilter{Not: &eventingv1.SubscriptionsAPIFilter{CESQL: "region = 'us'"}}}},
	}}
	f = ready(ctx, t, create(ctx, t, f))
	american := newEvent("american", "order.created", "/shop")
	american.SetExtension("region", "us")
	publish(ctx, t, broker, newEvent("user", "user.created", "/shop"), american, newEvent("elsewhere", "order.created", "/elsewhere"), newEvent("order", "order.created", "/shop"))
	answersToEvent(ctx, t, f, "direct")
	got := remembers(ctx, t, f, "the event that passes the filters, and the direct one", func(got []seen) bool { return has(got, "order") && has(got, "direct") })
	for _, id := range []string{"user", "american", "elsewhere"} {
		if has(got, id) {
			t.Errorf("the function has got %+v, want order and direct only", got)
		}
	}
	f = changeTriggers(ctx, t, f, broker)

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Triggers = nil }))
	if left := triggersOf(ctx, t, f); len(left) > 0 {
		t.Errorf("triggers that the spec has no more: %v", left)
	}
	if _, err := clients.AwaitBroker(ctx, broker); err != nil {
		t.Error("the user's broker:", err)
	}
	if got := f.Status.GetCondition(v1alpha1.FunctionConditionEventingReady); got.Reason != v1alpha1.ReasonNotRequested {
		t.Errorf("EventingReady = %+v", got)
	}
}

func has(got []seen, id string) bool {
	for _, s := range got {
		if s.ID == id {
			return true
		}
	}
	return false
}

// changeTriggers narrows the attributes while events come that match before and
// after: each of them arrives.
func changeTriggers(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, broker types.NamespacedName) *v1alpha1.LambdaFunction {
	t.Helper()
	before := triggersOf(ctx, t, f)
	ctx, cancel := context.WithCancel(ctx)
	var sent int
	var failure error
	var sender sync.WaitGroup
	sender.Add(1)
	go func() {
		defer sender.Done()
		for ctx.Err() == nil && failure == nil && sent < 2000 {
			e := newEvent(fmt.Sprintf("during-%d", sent), "order.paid", "/shop")
			if failure = clients.Publish(context.WithoutCancel(ctx), broker, e); failure == nil {
				sent++
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Triggers[0].Filters = []v1alpha1.EventFilter{exact(map[string]string{"source": "/shop", "type": "order.paid"})}
	}))
	for _, name := range before {
		if err := clients.AwaitTriggerGone(ctx, types.NamespacedName{Namespace: f.Namespace, Name: name}); err != nil {
			t.Error("the trigger of the earlier filter:", err)
		}
	}
	cancel()
	sender.Wait()
	if failure != nil {
		t.Fatal(failure)
	}
	t.Logf("%d events during the change of the trigger", sent)
	remembers(t.Context(), t, f, "every event of the time of the change", func(got []seen) bool {
		for i := range sent {
			if !has(got, fmt.Sprintf("during-%d", i)) {
				return false
			}
		}
		return true
	})
	return f
}

// triggersOf are the names of the function's Triggers.
func triggersOf(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) (names []string) {
	t.Helper()
	all, err := clients.Eventing.EventingV1().Triggers(f.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{lambda.FunctionLabelKey: f.Name}.String()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		names = append(names, all.Items[i].Name)
	}
	return names
}

// TestTriggersThatCannotBe: the condition says what is missing, and follows when
// it comes.
func TestTriggersThatCannotBe(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "early", greeting("early"))
	f.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: "late"}}
	f = failed(ctx, t, create(ctx, t, f), v1alpha1.FunctionConditionEventingReady, v1alpha1.ReasonBrokerNotFound)
	test.Contains(t, "EventingReady", f.Status.GetCondition(v1alpha1.FunctionConditionEventingReady).Message, `triggers[0].broker`, `"late"`)
	newBroker(ctx, t, namespace, "late")
	f = ready(ctx, t, f)

	image := &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "image"}}
	image.Spec.Source.Image = &v1alpha1.ImageSource{ImageReference: v1alpha1.ImageReference{Repository: f.Status.Build.Image[:len(f.Status.Build.Image)-len("@sha256:")-64], Digest: f.Status.Build.Image[len(f.Status.Build.Image)-len("sha256:")-64:]}}
	image.Spec.Source.Image.Command = listing
	image.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: "late", Filters: []v1alpha1.EventFilter{prefix(map[string]string{"type": "order."})}}}
	image = create(ctx, t, image)
	late, err := clients.AwaitBroker(ctx, types.NamespacedName{Namespace: namespace, Name: "late"})
	if err != nil {
		t.Fatal(err)
	}
	if late.Annotations[eventingv1.BrokerClassAnnotationKey] == config.RabbitMQBrokerClass { // which evaluates exact attributes only
		image = failed(ctx, t, image, v1alpha1.FunctionConditionEventingReady, v1alpha1.ReasonFilterNotSupported)
		test.Contains(t, "EventingReady", image.Status.GetCondition(v1alpha1.FunctionConditionEventingReady).Message, "triggers[0].filters", "RabbitMQBroker", "exact")
	} else {
		image = ready(ctx, t, image)
	}
	ready(ctx, t, update(ctx, t, image, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Triggers[0].Filters = []v1alpha1.EventFilter{exact(map[string]string{"type": "order.created"})}
	}))
}
