package resources

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/eventing-rabbitmq/pkg/utils"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// TestBrokerPodResources: eventing-rabbitmq reads what the configuration says, and no
// more once that says nothing.
func TestBrokerPodResources(t *testing.T) {
	want := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
	cfg := &config.Eventing{Parallelism: 3, BrokerPodResources: want}
	broker := MakeBroker(metav1.ObjectMeta{Namespace: "team", Name: "shop"}, "shop", cfg)
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Annotations: TriggerAnnotations(nil, cfg)}}
	for what, meta := range map[string]metav1.ObjectMeta{"broker": broker.ObjectMeta, "trigger": trigger.ObjectMeta} {
		got, err := utils.GetResourceRequirements(meta)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("resources of the pods of a %s (-want, +got): %s", what, diff)
		}
	}

	existing := trigger.DeepCopy()
	existing.Annotations["team.example/owner"] = "ada"
	MutateTrigger(existing, &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Annotations: TriggerAnnotations(nil, &config.Eventing{Parallelism: 4})}})
	if diff := cmp.Diff(map[string]string{ParallelismAnnotation: "4", "team.example/owner": "ada"}, existing.Annotations); diff != "" {
		t.Error("annotations of a Trigger without resources (-want, +got):", diff)
	}
}

// TestRetryWindow: no dispatcher tries an event for longer, and none of a day.
func TestRetryWindow(t *testing.T) {
	for _, tt := range []struct {
		policy         eventingduckv1.BackoffPolicyType
		retry          int32
		delay, timeout string
		want           time.Duration
	}{
		{"linear", 0, "PT1S", "PT30S", 30 * time.Second},
		{"linear", 3, "PT1S", "PT30S", 4*30*time.Second + 6*time.Second},
		{"exponential", 3, "PT1S", "PT30S", 4*30*time.Second + 14*time.Second},
		{"exponential", 100, "PT1S", "PT30S", maxRetryWindow},
		{"exponential", 100, "PT0S", "PT0.1S", 10100 * time.Millisecond},
		{"linear", 100, "P300Y", "PT1S", maxRetryWindow},
		{"linear", 1, "soon", "PT1S", 2 * time.Second},
	} {
		d := &eventingduckv1.DeliverySpec{Retry: &tt.retry, BackoffPolicy: &tt.policy, BackoffDelay: ptr.String(tt.delay), Timeout: ptr.String(tt.timeout)}
		if got := RetryWindow(d); got != tt.want {
			t.Errorf("%d retries, %s from %s, of %s each take %v, want %v", tt.retry, tt.policy, tt.delay, tt.timeout, got, tt.want)
		}
	}
}
