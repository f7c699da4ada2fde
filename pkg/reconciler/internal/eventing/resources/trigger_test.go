package resources

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

func trigger(name, broker, eventType string) *eventingv1.Trigger {
	return &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: eventingv1.TriggerSpec{
		Broker: broker, Delivery: &eventingduckv1.DeliverySpec{},
		Filters: []eventingv1.SubscriptionsAPIFilter{{Exact: map[string]string{"type": eventType}}},
	}}
}

// TestAdopt: a Trigger keeps its queue as long as there is something for it to deliver.
func TestAdopt(t *testing.T) {
	t.Parallel()
	deleted := trigger("b1", "x", "b")
	deleted.DeletionTimestamp = &metav1.Time{}
	type all = []*eventingv1.Trigger
	for _, tt := range []struct {
		name              string
		desired, existing all
		want              []string
	}{
		{"none there", all{trigger("a", "x", "a"), trigger("b", "x", "b")}, nil, []string{"a", "b"}},
		{"all there", all{trigger("a", "x", "a"), trigger("b", "x", "b")}, all{trigger("a", "x", "a"), trigger("b", "x", "b")}, []string{"a", "b"}},
		{"a changed one", all{trigger("b", "x", "b")}, all{trigger("a", "x", "a")}, []string{"a"}},
		{"of another Broker", all{trigger("b", "y", "b")}, all{trigger("a", "x", "a")}, []string{"b"}},
		{"the same events come first", all{trigger("c", "x", "c"), trigger("b", "x", "b")}, all{trigger("a", "x", "b"), trigger("d", "x", "d")}, []string{"d", "a"}},
		{"the name before any", all{trigger("c", "x", "c"), trigger("b", "x", "new")}, all{trigger("a", "x", "a"), trigger("b", "x", "b")}, []string{"a", "b"}},
		{"a name that is taken", all{trigger("a", "x", "a"), trigger("b", "x", "b")}, all{trigger("a", "x", "b")}, []string{"a-2", "a"}},
		{"one that is being deleted", all{trigger("b", "x", "b")}, all{deleted}, []string{"b"}},
	} {
		Adopt(tt.desired, tt.existing)
		var got []string
		for _, d := range tt.desired {
			got = append(got, d.Name)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want, +got): %s", tt.name, diff)
		}
	}
}

// TestMutateTrigger: what others set stays, and so does the empty filter that admission
// writes.
func TestMutateTrigger(t *testing.T) {
	t.Parallel()
	desired := trigger("a", "x", "a")
	desired.Annotations = map[string]string{lambda.ParallelismAnnotationKey: "3"}
	existing := trigger("a", "x", "old")
	existing.Annotations = map[string]string{"foreign": "stays", lambda.ParallelismAnnotationKey: "10", lambda.DeadLetterQueueAnnotationKey: "q", lambda.DeletedTargetAnnotationKey: "team/shop"}
	existing.Labels = map[string]string{"foreign": "stays"}
	existing.Spec.Filter = &eventingv1.TriggerFilter{}
	want := trigger("a", "x", "a")
	want.Labels = map[string]string{"foreign": "stays"}
	want.Annotations = map[string]string{"foreign": "stays", lambda.ParallelismAnnotationKey: "3"}
	want.Spec.Filter = &eventingv1.TriggerFilter{}
	MutateTrigger(existing, desired)
	if diff := cmp.Diff(want, existing); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	existing.Spec.Filter = &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "x"}}
	if MutateTrigger(existing, desired); existing.Spec.Filter != nil {
		t.Errorf("a filter that nobody asks for stays: %v", existing.Spec.Filter)
	}
}

// TestSetDeadLetters: the event plane writes to the queue, others send to the receiver,
// and a sink of the Trigger's own stays.
func TestSetDeadLetters(t *testing.T) {
	t.Parallel()
	dead := &Dead{Queue: "lambda.dlq.team.greeter", Sink: &duckv1.Destination{URI: apis.HTTP("receiver.test")}}
	for _, tt := range []struct {
		class     string
		own, dead bool
		queue     string
		sink      string
	}{
		{lambda.BrokerClass, false, true, dead.Queue, ""},
		{lambda.BrokerClass, true, true, dead.Queue, "http://own.test"},
		{lambda.BrokerClass, false, false, "", ""},
		{config.RabbitMQBrokerClass, false, true, "", "http://receiver.test"},
		{"MTChannelBasedBroker", false, true, "", "http://receiver.test"},
		{"MTChannelBasedBroker", true, true, "", "http://own.test"},
		{"MTChannelBasedBroker", false, false, "", ""},
	} {
		made := trigger("a", "x", "a")
		if tt.own {
			made.Spec.Delivery.DeadLetterSink = &duckv1.Destination{URI: apis.HTTP("own.test")}
		}
		d := dead
		if !tt.dead {
			d = nil
		}
		SetDeadLetters(made, tt.class, d)
		sink := ""
		if s := made.Spec.Delivery.DeadLetterSink; s != nil {
			sink = s.URI.String()
		}
		if queue := made.Annotations[lambda.DeadLetterQueueAnnotationKey]; queue != tt.queue || sink != tt.sink {
			t.Errorf("%+v: queue %q, sink %q", tt, queue, sink)
		}
	}
}
