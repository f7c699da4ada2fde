//go:build e2e

package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestRabbitMQBroker: a function takes events of a user's Broker of Knative's own class on
// RabbitMQ, which evaluates exact attributes. What it cannot handle is a dead letter, by
// way of the receiver, and can be replayed.
func TestRabbitMQBroker(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	b, err := clients.Eventing.EventingV1().Brokers(namespace).Create(ctx, &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "shop", Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: config.RabbitMQBrokerClass},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := python(namespace, "orders", moody)
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(1)}
	f.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: b.Name, Filters: []v1alpha1.EventFilter{exact(map[string]string{"type": "order.created"})}}}
	f.Spec.Eventing = &v1alpha1.FunctionEventing{DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}}
	f = ready(ctx, t, create(ctx, t, f))
	publish(ctx, t, test.Key(b), newEvent("other", "order.paid", "/shop"), newEvent("order-1", "order.created", "/shop"))
	if l := dead(ctx, t, f, 1)[0]; l.ID != "order-1" || l.ErrorReason == "" {
		t.Errorf("dead letter = %+v, want order-1 and why it failed", l)
	}
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Env = append(s.Env, corev1.EnvVar{Name: "MOOD", Value: "good"})
	}))
	if said, err := kubectlLambda(ctx, namespace, "dlq", "replay", f.Name, "--all"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	publish(ctx, t, test.Key(b), newEvent("order-2", "order.created", "/shop"))
	got := remembers(ctx, t, f, "the order of the dead letter, and another", func(got []seen) bool { return all(got, []string{"order-1", "order-2"}) })
	if has(got, "other") {
		t.Errorf("the function has got %+v; the filter rejects order.paid", got)
	}
	dead(ctx, t, f, 0)
}
