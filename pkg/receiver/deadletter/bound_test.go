package deadletter_test

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	"knative.dev/eventing-rabbitmq/third_party/pkg/client/clientset/versioned/fake"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

func TestBindings(t *testing.T) {
	type change = func(*topologyv1beta1.Binding)
	status := func(s corev1.ConditionStatus, since time.Duration) change {
		return func(b *topologyv1beta1.Binding) {
			b.Status.Conditions = []topologyv1beta1.Condition{{Type: "Ready", Status: s, LastTransitionTime: metav1.NewTime(now.Add(-since))}}
		}
	}
	late := func(b *topologyv1beta1.Binding) {
		b.Annotations = map[string]string{lambda.LateBindingAnnotationKey: "true"}
	}
	for _, tt := range []struct {
		name   string
		change []change
		err    error
		want   bool
	}{
		{name: "in force", want: true},
		{name: "in force for a moment", change: []change{status(corev1.ConditionTrue, 0)}, want: true},
		{name: "late", change: []change{late}, want: true},
		{name: "late, and letters from before may come", change: []change{late, status(corev1.ConditionTrue, time.Minute)}},
		{name: "failed", change: []change{status(corev1.ConditionFalse, time.Hour)}},
		{name: "new", change: []change{func(b *topologyv1beta1.Binding) { b.Status = topologyv1beta1.BindingStatus{} }}},
		{name: "of a generation that is not in force", change: []change{func(b *topologyv1beta1.Binding) { b.Generation = 2 }}},
		{name: "going", change: []change{func(b *topologyv1beta1.Binding) {
			b.DeletionTimestamp, b.Finalizers = &metav1.Time{Time: now}, []string{"theirs"}
		}}},
		{name: "another function's", change: []change{func(b *topologyv1beta1.Binding) { b.Spec.Destination = "lambda.dlq.team.other" }}},
		{name: "gone", change: []change{func(b *topologyv1beta1.Binding) { b.Name = "other" }}},
		{name: "nobody knows", err: errors.New("no API server")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &topologyv1beta1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "one", Generation: 1}, Spec: topologyv1beta1.BindingSpec{Destination: queue}}
			b.Status.ObservedGeneration = 1
			for _, c := range append([]change{status(corev1.ConditionTrue, time.Hour)}, tt.change...) {
				c(b)
			}
			client := fake.NewSimpleClientset(b)
			if tt.err != nil {
				client.PrependReactor("get", "bindings", func(clientgotesting.Action) (bool, runtime.Object, error) { return true, nil, tt.err })
			}
			bindings := deadletter.Bindings{Client: client, Clock: clocktesting.NewFakePassiveClock(now)}
			if got := bindings.Has(t.Context(), "team", "one", queue); got != tt.want {
				t.Errorf("Has() = %t, want %t", got, tt.want)
			}
		})
	}
}
