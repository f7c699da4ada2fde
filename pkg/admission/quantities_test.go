package admission

import (
	"context"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/webhook"
)

type admitsAll struct {
	reviewer
	calls int
}

func (a *admitsAll) Admit(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	a.calls++
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// TestBoundQuantities: an object is not decoded that would take forever.
func TestBoundQuantities(t *testing.T) {
	inner := &admitsAll{}
	bounded, ok := BoundQuantities(&controller.Impl{Reconciler: inner}).Reconciler.(webhook.AdmissionController)
	if !ok {
		t.Fatal("it is no admission controller any more")
	}
	if _, ok := bounded.(webhook.StatelessAdmissionController); !ok {
		t.Error("it waits for informers now")
	}
	admit := func(cpu string) *admissionv1.AdmissionResponse {
		return bounded.Admit(t.Context(), &admissionv1.AdmissionRequest{Object: runtime.RawExtension{Raw: []byte(`{"spec":{"resources":{"limits":{"cpu":"` + cpu + `"}}}}`)}})
	}
	if r := admit("100m"); !r.Allowed || inner.calls != 1 {
		t.Errorf("%+v after %d calls, want it allowed after 1", r, inner.calls)
	}
	if r := admit("1e-2147483647"); r.Allowed || inner.calls != 1 || !strings.Contains(r.Result.Message, "spec.resources.limits.cpu: expected a quantity such as 100m or 1Gi") {
		t.Errorf("%+v after %d calls, want it refused", r, inner.calls)
	}
}
