package lambdafunction

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestWarnMemory: one warning, when the number of workers is new and the limit is too low.
func TestWarnMemory(t *testing.T) {
	exclusive := func(workers int32) *v1alpha1.ConcurrencyStatus {
		return &v1alpha1.ConcurrencyStatus{Isolation: v1alpha1.IsolationExclusive, WorkersPerPod: ptr.To(workers)}
	}
	const warning = "Warning ConcurrencyExceedsMemory Each of 10 workers needs 16Mi at least, and the memory limit is 128Mi: " +
		"raise spec.resources.limits.memory, or lower spec.scaling.concurrency"
	for name, tt := range map[string]struct {
		limit       string
		before, now *v1alpha1.ConcurrencyStatus
		want        string
	}{
		"too low":            {"128Mi", nil, exclusive(10), warning},
		"more workers":       {"128Mi", exclusive(2), exclusive(10), warning},
		"as before":          {"128Mi", exclusive(10), exclusive(10), ""},
		"enough":             {"160Mi", nil, exclusive(10), ""},
		"no limit":           {"0", nil, exclusive(10), ""},
		"shared":             {"16Mi", nil, &v1alpha1.ConcurrencyStatus{Isolation: v1alpha1.IsolationShared, WorkersPerPod: ptr.To[int32](8)}, ""},
		"a ready-made image": {"16Mi", nil, &v1alpha1.ConcurrencyStatus{PerPod: ptr.To[int32](100)}, ""},
	} {
		f := function()
		f.Status.Concurrency = tt.now
		f.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(tt.limit)}
		recorder := record.NewFakeRecorder(1)
		warnMemory(controller.WithEventRecorder(t.Context(), recorder), f, tt.before)
		close(recorder.Events)
		if got := <-recorder.Events; got != tt.want {
			t.Errorf("%s: event %q, want %q", name, got, tt.want)
		}
	}
}
