package lambdaagent

import (
	"fmt"
	"strings"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata/metadatalister"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/tracker"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
)

// reasons of references to what is not there, and of keys that are not in it.
var (
	notFound    = map[string]string{resources.KindSecret: v1alpha1.ReasonSecretNotFound, resources.KindConfigMap: v1alpha1.ReasonConfigMapNotFound}
	keyNotFound = map[string]string{resources.KindSecret: v1alpha1.ReasonSecretKeyNotFound, resources.KindConfigMap: v1alpha1.ReasonConfigMapKeyNotFound}
)

// referred is a cache of what agents may refer to: metadata only.
type referred struct {
	metadatalister.Lister
	// synced tells whether it is filled: never where an administrator does not let
	// the controller list Secrets.
	synced func() bool
}

// reconcileReferences notes on the Service's template what the references lead to, and
// returns the first that leads nowhere and must not. Whatever becomes of any of them
// enqueues the agent.
func (r *Reconciler) reconcileReferences(a *v1alpha1.LambdaAgent, service *servingv1.Service) (*resources.Reference, error) {
	references := resources.References(a, service)
	var seen strings.Builder
	var missing *resources.Reference
	for i, ref := range references {
		object := tracker.Reference{APIVersion: "v1", Kind: ref.Kind, Namespace: a.Namespace, Name: ref.Name}
		if err := r.tracker.TrackReference(object, a); err != nil { // before it is looked at
			return nil, fmt.Errorf("failed to track %s %q: %w", ref.Kind, ref.Name, err)
		}
		known := r.referred[ref.Kind]
		if !known.synced() { // it is Kubernetes that says what is missing, of the pods
			continue
		}
		found, err := known.Namespace(a.Namespace).Get(ref.Name)
		switch {
		case apierrs.IsNotFound(err) && !ref.Optional && missing == nil:
			missing = &references[i]
		case err != nil && !apierrs.IsNotFound(err):
			return nil, fmt.Errorf("failed to get %s %q: %w", ref.Kind, ref.Name, err)
		case err == nil:
			fmt.Fprintf(&seen, "%s/%s %s %s\n", ref.Kind, ref.Name, found.UID, found.ResourceVersion)
		}
	}
	if seen.Len() > 0 {
		service.Spec.Template.Annotations[lambda.ReferencesAnnotationKey] = build.Hash(seen.String())
	}
	return missing, nil
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
