package lambdaagent

import (
	"fmt"
	"strings"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	pkgreconciler "knative.dev/pkg/reconciler"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
)

// reasons of references to what is not there, and of keys that are not in it.
var (
	notFound    = map[string]string{resources.KindSecret: v1alpha1.ReasonSecretNotFound, resources.KindConfigMap: v1alpha1.ReasonConfigMapNotFound}
	keyNotFound = map[string]string{resources.KindSecret: v1alpha1.ReasonSecretKeyNotFound, resources.KindConfigMap: v1alpha1.ReasonConfigMapKeyNotFound}
)

// reconcileReferences notes on the Service's template what the references lead to, and
// returns the first that leads nowhere and must not.
func (r *Reconciler) reconcileReferences(a *v1alpha1.LambdaAgent, service *servingv1.Service) (*resources.Reference, error) {
	versions, missing, err := r.referred.Note(a, r.tracker, resources.References(a, service))
	if versions != "" && a.Spec.Restarts() {
		service.Spec.Template.Annotations[lambda.ReferencesAnnotationKey] = versions
	}
	return missing, err
}

// waitFor says what the agent waits for, and what serves meanwhile.
func (r *Reconciler) waitFor(a *v1alpha1.LambdaAgent, name string, missing *resources.Reference) pkgreconciler.Event {
	whole := *missing
	whole.Key = ""
	message := fmt.Sprintf("There is no %s in namespace %q yet.", whole, a.Namespace)
	service, err := r.services.Services(a.Namespace).Get(name)
	switch {
	case err != nil && !apierrs.IsNotFound(err):
		return fmt.Errorf("failed to get Service %q: %w", name, err)
	case err == nil && metav1.IsControlledBy(service, a):
		a.Status.PropagateService(service)
		if serves := service.Status.LatestReadyRevisionName; serves != "" {
			message += " Revision " + serves + " serves on."
		}
	}
	a.Status.MarkServiceWaiting(notFound[missing.Kind], message)
	return nil
}

// keyTrouble says which reference's key is missing, where that is why a container does
// not start: a cache of metadata knows no keys.
func keyTrouble(a *v1alpha1.LambdaAgent, service *servingv1.Service, message string) (reason, text string) {
	for _, ref := range resources.References(a, service) {
		said := fmt.Sprintf("couldn't find key %s in %s %s/%s", ref.Key, ref.Kind, a.Namespace, ref.Name)
		if ref.Key != "" && strings.Contains(message, said) {
			return keyNotFound[ref.Kind], fmt.Sprintf("There is no %s in namespace %q.", ref, a.Namespace)
		}
	}
	return "", ""
}
