//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
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

// TestTriggers: events pass by all filters, requests that come from no trigger pass
// unfiltered; an edited filter loses no event; a removed trigger is deleted, and its
// broker, which is the user's, stays.
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

	removed := triggersOf(ctx, t, f)
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Triggers = nil }))
	for _, name := range removed {
		if err := clients.AwaitTriggerGone(ctx, types.NamespacedName{Namespace: namespace, Name: name}); err != nil {
			t.Error("a trigger that the spec no longer has:", err)
		}
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

// changeTriggers edits the filter while events come that match before and after: each of
// them arrives, as the Trigger and its queue stay.
func changeTriggers(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, broker types.NamespacedName) *v1alpha1.LambdaFunction {
	t.Helper()
	before := triggersOf(ctx, t, f)
	stop := make(chan struct{})
	var sent int
	var failure error
	var sender sync.WaitGroup
	sender.Go(func() {
		for failure == nil {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			e := newEvent(fmt.Sprintf("during-%d", sent), "order.paid", "/shop")
			if failure = clients.Publish(ctx, broker, e); failure == nil {
				sent++
			}
		}
	})
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Triggers[0].Filters = []v1alpha1.EventFilter{exact(map[string]string{"source": "/shop", "type": "order.paid"})}
	}))
	// The edit is in force when an event passes that did not before, and another no more.
	publish(ctx, t, broker, newEvent("later-created", "order.created", "/shop"))
	american := newEvent("later-american", "order.paid", "/shop")
	american.SetExtension("region", "us")
	publish(ctx, t, broker, american)
	remembers(ctx, t, f, "an event that passes the edited filter only", func(got []seen) bool { return has(got, "later-american") })
	close(stop)
	sender.Wait()
	if failure != nil {
		t.Fatal(failure)
	}
	t.Logf("%d events during the edit of the trigger", sent)
	got := remembers(ctx, t, f, "every event that came during the edit", func(got []seen) bool {
		for i := range sent {
			if !has(got, fmt.Sprintf("during-%d", i)) {
				return false
			}
		}
		return true
	})
	if has(got, "later-created") {
		t.Error("an event passed that the edited filter rejects")
	}
	if after := triggersOf(ctx, t, f); !slices.Equal(after, before) {
		t.Errorf("after the edit the triggers are %v, want those before: %v", after, before)
	}
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
