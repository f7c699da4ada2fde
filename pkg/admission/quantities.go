package admission

import (
	"context"

	admissionv1 "k8s.io/api/admission/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/webhook"

	"github.com/brunovlucena/knative-lambda-operator/internal/quantity"
)

// reviewer is what Knative's admission controllers are besides.
type reviewer interface {
	controller.Reconciler
	pkgreconciler.LeaderAware
	webhook.AdmissionController
	webhook.StatelessAdmissionController
}

// quantities looks at objects before they are decoded.
type quantities struct{ reviewer }

// BoundQuantities has an admission controller refuse objects with quantities that would
// take it forever to decode, and explain why an object cannot be decoded. It panics if impl is no stateless admission controller.
func BoundQuantities(impl *controller.Impl) *controller.Impl {
	impl.Reconciler = quantities{impl.Reconciler.(reviewer)} //nolint:forcetypeassert // documented
	return impl
}

// Admit implements webhook.AdmissionController.
func (q quantities) Admit(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if err := quantity.Check(request.Object.Raw); err != nil {
		return webhook.MakeErrorStatus("%v", err)
	}
	response := q.reviewer.Admit(ctx, request)
	if !response.Allowed {
		if err := explain(request.Kind.Kind, request.Object.Raw); err != nil {
			return webhook.MakeErrorStatus("%v", err)
		}
	}
	return response
}
