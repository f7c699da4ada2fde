package server

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// TestWatchConfig: settings are those of the ConfigMaps, follow their changes, and stay
// where a change is invalid.
func TestWatchConfig(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "operator", Name: name} }
	eventing := &corev1.ConfigMap{ObjectMeta: meta(config.EventingConfigName), Data: map[string]string{"delivery-retry": "2"}}
	kube := fake.NewClientset(eventing, &corev1.ConfigMap{ObjectMeta: meta(config.EventsConfigName)})
	s, err := watchConfig(t.Context(), kube, "operator")
	if err != nil {
		t.Fatal(err)
	}
	retries := func() int { return s.eventing.Load().Delivery.Retry }
	if own := (types.NamespacedName{Namespace: "operator", Name: "knative-lambda-receiver"}); retries() != 2 || s.receiver() != own || s.newestEvents() == nil {
		t.Errorf("retries %d, receiver %v; want 2 and %v", retries(), s.receiver(), own)
	}
	for _, retry := range []string{"many", "0"} {
		changed := eventing.DeepCopy()
		changed.Data["delivery-retry"] = retry
		if _, err := kube.CoreV1().ConfigMaps("operator").Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); retries() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d retries, want the changed value 0", retries())
		}
	}
}
