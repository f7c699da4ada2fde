package lambdafunction

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

// reconcileEventing makes the broker, the dead letter queue and the triggers that
// the spec asks for, and takes away those that it asks for no more. All of them
// are brought up to date; the condition tells the first that does not work.
func (r *Reconciler) reconcileEventing(ctx context.Context, p *pass) pkgreconciler.Event {
	p.Status.Brokers, p.Status.DeadLetterSinkURI = nil, nil
	knative := r.kinds.Knative()
	switch {
	case knative == nil && !p.Spec.WantsEvents():
		p.Status.MarkEventingNotRequested()
		return nil
	case knative == nil:
		p.Status.MarkEventingFailed(v1alpha1.ReasonEventingNotInstalled, "The cluster has no Knative Eventing, which triggers and eventing need: install it, or remove triggers and eventing.enabled.")
		return nil
	}
	e := &eventing{Reconciler: r, pass: p, Pass: &shared.Pass{
		Owner: p.LambdaFunction, Labels: labels.Set{lambda.FunctionLabelKey: resources.Labels(p.LambdaFunction)[lambda.FunctionLabelKey]},
		Config: p.cfg.Eventing, Clock: r.clock, Knative: knative, Rabbit: r.kinds.Rabbit(),
	}}
	err := e.reconcile(ctx)
	switch {
	case !p.Spec.WantsEvents():
		p.Status.MarkEventingNotRequested()
	case e.First == nil && err == nil, e.First == nil && isRequeue(err):
		p.Status.MarkEventingReady()
	case e.First == nil: // a write that will be tried again: what was said stands
	case e.First.Failed:
		p.Status.MarkEventingFailed(e.First.Reason, e.First.Message)
	default:
		p.Status.MarkEventingPending(e.First.Reason, e.First.Message)
	}
	if err == nil && e.First != nil {
		return e.First.Err
	}
	return err
}

func isRequeue(err error) bool {
	requeue, _ := controller.IsRequeueKey(err)
	return requeue
}

// eventing is the phase's pass over one function.
type eventing struct {
	*Reconciler
	*pass
	*shared.Pass
	// made is the shared broker, which the cache may not have yet.
	made *eventingv1.Broker
}

func (e *eventing) reconcile(ctx context.Context) error {
	if e.sinkErr != nil {
		message, again := sinkTrouble("eventing.sink", e.sinkErr)
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonSinkNotResolved, Message: message, Failed: true, Err: again})
	}
	if err := e.reconcileBroker(ctx); err != nil {
		return err
	}
	wanted, explicit := resources.WantsDeadLetters(e.LambdaFunction, e.Config)
	kept, err := e.DeadLetters(ctx, wanted, explicit, resources.MakeDeadLetterQueue(e.LambdaFunction, e.Config), resources.MakeDeadLetterPolicy(e.LambdaFunction, e.Config))
	if err != nil {
		return err
	}
	var sink *duckv1.Destination
	if kept {
		sink = resources.DeadLetterSink(e.LambdaFunction, e.Keys.Newest(), e.Config)
	}
	return e.reconcileTriggers(ctx, sink)
}
