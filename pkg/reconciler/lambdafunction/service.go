package lambdafunction

import (
	"context"

	pkgreconciler "knative.dev/pkg/reconciler"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
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
	desired := resources.MakeService(p.LambdaFunction, p.image, p.language)
	resources.AddSinks(desired, p.LambdaFunction, p.sink, p.cfg.Eventing)
	service, err := set.Ensure(ctx, p.LambdaFunction, desired, kservice.Mutate)
	switch {
	case child.IsNotOwned(err):
		p.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, err.Error())
		return controller.NewPermanentError(err)
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
	reason, message, err := kservice.Trouble(r.pods, service)
	if reason != "" {
		p.Status.MarkServiceFailed(reason, message)
	}
	return err
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
