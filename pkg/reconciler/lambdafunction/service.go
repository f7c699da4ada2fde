package lambdafunction

import (
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	pkgreconciler "knative.dev/pkg/reconciler"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
)

// reconcileService runs the image as a Knative Service. As long as there is no
// image of the newest spec, what ran before runs on.
func (r *Reconciler) reconcileService(ctx context.Context, p *pass) pkgreconciler.Event {
	if p.image == "" || p.sinkErr != nil {
		return r.keepService(p)
	}
	set := child.Set[*servingv1.Service]{
		Kind: "Service", Lister: r.services.Services(p.Namespace), Client: r.serving.ServingV1().Services(p.Namespace),
	}
	desired := resources.MakeService(p.LambdaFunction, p.image, p.language, p.cfg.Defaults)
	calls, err := r.callsURL(p)
	if err != nil {
		return err
	}
	resources.AddSinks(desired, p.LambdaFunction, resources.Sinks{Replies: p.sink, Calls: calls}, p.cfg.Eventing)
	if err := r.noteReferences(p, desired); err != nil {
		return err
	}
	service, err := set.Ensure(ctx, p.LambdaFunction, desired, kservice.Mutate)
	switch {
	case child.IsNotOwned(err):
		p.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, err.Error())
		return controller.NewPermanentError(err)
	case kservice.DisabledFeatures(err) != "":
		p.Status.MarkServiceFailed(v1alpha1.ReasonFeatureDisabled, kservice.DisabledFeatures(err))
		return controller.NewRequeueAfter(kservice.FeatureInterval)
	case child.IsRejected(err):
		p.Status.MarkServiceFailed(v1alpha1.ReasonServiceRejected, err.Error())
		return controller.NewPermanentError(err)
	case apierrs.IsForbidden(err): // a quota, for example: it may be free later
		p.Status.MarkServiceFailed(v1alpha1.ReasonServiceRejected, err.Error())
		return err
	case err != nil:
		return err
	}
	p.Status.PropagateService(service)
	if lost, err := r.imageLost(p, service); lost || err != nil {
		return r.buildAgain(ctx, p, err)
	}
	reason, message, err := kservice.Trouble(r.pods, service)
	if reason != "" {
		p.Status.MarkServiceFailed(reason, message)
	}
	return err
}

// noteReferences has a changed Secret or ConfigMap roll a new revision. Of one that is not
// there, Kubernetes says so.
func (r *Reconciler) noteReferences(p *pass, service *servingv1.Service) error {
	if !p.Spec.Restarts() {
		return nil
	}
	versions, _, err := r.referred.Note(p.LambdaFunction, r.tracker, references.Of(&service.Spec.Template.Spec.PodSpec, nil))
	if versions != "" {
		service.Spec.Template.Annotations[lambda.ReferencesAnnotationKey] = versions
	}
	return err
}

// reconcileDomains gives the function names of its own.
func (r *Reconciler) reconcileDomains(ctx context.Context, p *pass) pkgreconciler.Event {
	target := domains.Target{Service: names.Service(p), Labels: resources.Labels(p.LambdaFunction), Addressed: p.Status.Address != nil}
	return r.mappings.Reconcile(ctx, p.LambdaFunction, target, &p.Spec.Exposure, &p.Status)
}

// imageLost reports whether the registry has deleted the image that was built: asked
// only where a pod does not find it.
func (r *Reconciler) imageLost(p *pass, service *servingv1.Service) (bool, error) {
	if p.Status.Build == nil || p.Spec.Source.Image != nil {
		return false, nil
	}
	missed, err := kservice.MissesImage(r.pods, service)
	if err != nil || !missed {
		return false, err
	}
	host, _, _ := strings.Cut(p.image, "/")
	err = r.registry.Exists(key(p), registry.Image{Namespace: p.Namespace, Reference: p.image, Insecure: p.cfg.Build.Insecure(host),
		PushSecret: resources.PushSecret(p.LambdaFunction, p.cfg.Build), PullSecret: p.Spec.Build.ImagePullSecret})
	return errors.Is(err, registry.ErrNotFound), nil
}

// buildAgain forgets the image that is lost; what has changed of the status
// enqueues.
func (r *Reconciler) buildAgain(ctx context.Context, p *pass, err error) pkgreconciler.Event {
	if err != nil {
		return err
	}
	message := "The registry does not have image " + p.image + " any more. It is built again."
	controller.GetEventRecorder(ctx).Event(p.LambdaFunction, corev1.EventTypeWarning, v1alpha1.ReasonImageLost, message)
	r.registry.Forget(p.image) // a build of the same files gives the same image
	r.registry.Lost(p.Status.Build.Reference)
	r.layers.Lost(p.Status.Build.Reference)
	p.Status.Build = nil
	p.Status.MarkBuildPending(v1alpha1.ReasonImageLost, message)
	return nil
}

// keepService says what serves while there is no image of the newest spec, or no
// sink for its replies.
func (r *Reconciler) keepService(p *pass) pkgreconciler.Event {
	reason, waiting := v1alpha1.ReasonWaitingForBuild, "There is no image of the newest source yet."
	if p.image != "" {
		reason, waiting = v1alpha1.ReasonSinkNotResolved, "The sink of the replies has no address yet."
	}
	service, err := r.services.Services(p.Namespace).Get(names.Service(p))
	if err != nil && !apierrs.IsNotFound(err) {
		return err
	}
	if err == nil && service.Status.LatestReadyRevisionName != "" {
		p.Status.PropagateService(service)
		p.Status.MarkServiceWaiting(reason, waiting+" Revision "+service.Status.LatestReadyRevisionName+" serves on.")
		return nil
	}
	p.Status.MarkServiceWaiting(reason, waiting)
	return nil
}
