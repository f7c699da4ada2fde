package lambdaagent

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/modelprobe"
)

// reconcileModel says which model the agent uses and whether it answers. It informs
// and holds nothing up.
func (r *Reconciler) reconcileModel(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	key, ai := types.NamespacedName{Namespace: a.Namespace, Name: a.Name}, &a.Spec.AI
	if ai.Provider == v1alpha1.ProviderNone || ai.Provider == "" {
		r.models.Forget(key)
		a.Status.Model = nil
		return a.Status.ClearModel()
	}
	a.Status.Model = &v1alpha1.ModelStatus{Provider: string(ai.Provider), Endpoint: ai.Endpoint, Model: ai.Model}
	models := []modelprobe.Model{modelOf(ai, &ai.ModelSpec)}
	for i := range ai.Fallbacks {
		models = append(models, modelOf(ai, &ai.Fallbacks[i].ModelSpec))
	}
	probe := config.FromContextOrDefaults(ctx).Defaults.ModelProbe
	switch {
	case probe.Interval == 0:
		r.models.Forget(key)
		return a.Status.ClearModel()
	case !modelprobe.Probeable(models[0].Endpoint):
		r.models.Forget(key)
		a.Status.MarkModelUnknown(v1alpha1.ReasonModelNotAsked, fmt.Sprintf("Provider %s has no address that is the same for all: spec.ai.endpoint may name one.", ai.Provider))
		return nil
	}
	outcomes := r.models.Check(key, modelprobe.Settings{Interval: probe.Interval, Timeout: probe.Timeout}, models)
	first := outcomes[0]
	if !first.Time.IsZero() {
		a.Status.Model.LastProbeTime = &metav1.Time{Time: first.Time}
	}
	switch {
	case first.Time.IsZero():
		a.Status.MarkModelUnknown(v1alpha1.ReasonModelNotAsked, "The model's endpoint has not answered or failed yet.")
	case first.Available():
		a.Status.MarkModelAvailable()
	default:
		a.Status.MarkModelUnavailable(first.Reason, first.Message+standIn(ai, outcomes))
	}
	return nil
}

// modelOf is a model at its provider, also where the agent is told of its proxy only.
func modelOf(ai *v1alpha1.AISpec, m *v1alpha1.ModelSpec) modelprobe.Model {
	endpoint := modelprobe.Endpoint{Provider: string(m.Provider), URL: m.Endpoint}
	if ai.Proxied() {
		endpoint = endpoint.Completed()
	}
	return modelprobe.Model{Endpoint: endpoint, Name: m.Model}
}

// standIn names the first fallback that answers.
func standIn(ai *v1alpha1.AISpec, outcomes []modelprobe.Outcome) string {
	for i := range ai.Fallbacks {
		if f := &ai.Fallbacks[i]; outcomes[i+1].Available() {
			return fmt.Sprintf(" Fallback %d answers: model %s of provider %s.", i, f.Model, f.Provider)
		}
	}
	return ""
}
