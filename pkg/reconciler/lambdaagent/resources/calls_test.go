package resources

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func callable(change func(*v1alpha1.LambdaAgent)) *Maker {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "uid"}}
	a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true}
	change(a)
	return &Maker{Agent: a, Class: lambda.BrokerClass, Config: &config.Eventing{Delivery: config.Delivery{Timeout: 30 * time.Second, BackoffPolicy: "linear"}}}
}

// TestMaker_Timeout: a delivery to the agent may take what its models may, and one to
// others what the configuration says.
func TestMaker_Timeout(t *testing.T) {
	t.Parallel()
	model := func(timeout time.Duration, fallbacks int) func(*v1alpha1.LambdaAgent) {
		return func(a *v1alpha1.LambdaAgent) {
			a.Spec.AI.Provider, a.Spec.AI.Timeout, a.Spec.AI.Fallbacks = "ollama", v1alpha1.NewDuration(timeout), make([]v1alpha1.FallbackSpec, fallbacks)
		}
	}
	for want, change := range map[string]func(*v1alpha1.LambdaAgent){
		"PT30S":   func(*v1alpha1.LambdaAgent) {},
		"PT1M10S": model(40*time.Second, 0),
		"PT2M30S": model(40*time.Second, 2),
		"PT15M":   model(5*time.Minute, 8),
		"PT4M": func(a *v1alpha1.LambdaAgent) {
			model(time.Minute, 0)(a)
			a.Spec.Eventing.DeliveryTimeout = v1alpha1.NewDuration(4 * time.Minute)
		},
	} {
		m := callable(change)
		if got := *m.Calls().Spec.Delivery.Timeout; got != want {
			t.Errorf("timeout %s, want %s", got, want)
		}
		if got := *m.Route("x.y", types.NamespacedName{Namespace: "team", Name: "shop"}, false).Spec.Delivery.Timeout; got != "PT30S" {
			t.Errorf("timeout of a route %s, want PT30S", got)
		}
	}
}

// TestMaker_MayBeCalls: which subscriptions would deliver a call a second time.
func TestMaker_MayBeCalls(t *testing.T) {
	t.Parallel()
	m := callable(func(*v1alpha1.LambdaAgent) {})
	prefix := func(value string) []eventingv1.SubscriptionsAPIFilter {
		return []eventingv1.SubscriptionsAPIFilter{{Prefix: map[string]string{"type": value}}}
	}
	for _, tt := range []struct {
		exact   map[string]string
		filters []eventingv1.SubscriptionsAPIFilter
		want    bool
	}{
		{map[string]string{"type": "x.y"}, nil, false},
		{map[string]string{"type": "io.knative.lambda.invoke.async"}, nil, true},
		{map[string]string{"type": "io.knative.lambda.invoke.async", "subject": "team/agents/other"}, nil, false},
		{nil, prefix("io.knative.lambda."), true},
		{nil, prefix("io.example."), false},
	} {
		if got := m.MayBeCalls(tt.exact, tt.filters); got != tt.want {
			t.Errorf("MayBeCalls(%v, %v) = %v", tt.exact, tt.filters, got)
		}
	}
	if source := m.Calls().Annotations[lambda.OutcomeSourceAnnotationKey]; source != "/team/bruno" {
		t.Errorf("outcomes are of source %q", source)
	}
}
