package lambdafunction

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// workerMemory is what a worker needs before the handler has loaded anything.
const workerMemory = 16 << 20

// warnMemory says once that the memory limit is too small for as many workers as an
// exclusive function has. before is what the status said.
func warnMemory(ctx context.Context, f *v1alpha1.LambdaFunction, before *v1alpha1.ConcurrencyStatus) {
	now, limit := f.Status.Concurrency, f.Spec.Resources.Limits.Memory()
	if now.Isolation != v1alpha1.IsolationExclusive || now.WorkersPerPod == nil || limit.IsZero() || equality.Semantic.DeepEqual(before, now) {
		return
	}
	if need := int64(*now.WorkersPerPod) * workerMemory; need > limit.Value() {
		controller.GetEventRecorder(ctx).Eventf(f, corev1.EventTypeWarning, v1alpha1.ReasonConcurrencyExceedsMemory,
			"Each of %d workers needs 16Mi at least, and the memory limit is %s: raise spec.resources.limits.memory, or lower spec.scaling.concurrency", *now.WorkersPerPod, limit)
	}
}
