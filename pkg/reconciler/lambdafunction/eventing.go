package lambdafunction

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// reconcileEventing makes the Broker, the dead letter queue and the Triggers that the spec
// asks for, and deletes those that it no longer asks for. All of them are brought up to
// date; the condition says which is the first that does not work.
func (r *Reconciler) reconcileEventing(ctx context.Context, p *pass) pkgreconciler.Event {
	p.Status.Brokers, p.Status.DeadLetterSinkURI, p.Status.CallsURL = nil, nil, nil
	had := hadEvents(&p.Status)
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
		Config: p.cfg.Eventing, Knative: knative, Sources: r.kinds.Sources(), Rabbit: r.kinds.Rabbit(), Queues: r.queues,
	}, had: had}
	err := e.reconcile(ctx)
	switch {
	case !p.Spec.WantsEvents():
		p.Status.MarkEventingNotRequested()
	case e.First == nil && err == nil && e.Unbound != "":
		p.Status.MarkEventingReadyBut(v1alpha1.ReasonDeadLetterBoundsNotSet, e.Unbound)
	case e.First == nil && err == nil:
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

// hadEvents reports whether the function has received events, so that it may have a dead
// letter queue.
func hadEvents(s *v1alpha1.LambdaFunctionStatus) bool {
	c := s.GetCondition(v1alpha1.FunctionConditionEventingReady)
	return c != nil && c.Reason != v1alpha1.ReasonNotRequested && (!c.IsUnknown() || c.Reason != "")
}

// eventing is the phase's pass over one function.
type eventing struct {
	*Reconciler
	*pass
	*shared.Pass
	// made is the shared broker, which the cache may not have yet.
	made *eventingv1.Broker
	// scheduled says that there is a Trigger for the events of schedules.
	scheduled bool
	// had says that the function received events before this pass.
	had bool
}

func (e *eventing) reconcile(ctx context.Context) (err error) {
	if e.Status.CallsURL, err = e.callsURL(e.pass); err != nil {
		return err
	}
	if e.sinkErr != nil {
		message, again := sinks.Trouble("eventing.sink", e.sinkErr)
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonSinkNotResolved, Message: message, Failed: true, Err: again})
	}
	if err := e.reconcileBroker(ctx); err != nil {
		return err
	}
	if err := e.reconcileTriggers(ctx, e.deadLetters(ctx)); err != nil {
		return err
	}
	return e.reconcileSchedules(ctx)
}

// reconcileSchedules makes what sends the events of schedules once there is a Trigger that
// takes them.
func (e *eventing) reconcileSchedules(ctx context.Context) error {
	if !e.scheduled {
		return e.EnsureSchedules(ctx, nil)
	}
	return e.EnsureSchedules(ctx, resources.MakePingSources(e.LambdaFunction))
}

// deadLetters is where those of the function's Triggers go; nil is nowhere.
func (e *eventing) deadLetters(ctx context.Context) *sharedresources.Dead {
	wanted, explicit := resources.WantsDeadLetters(e.LambdaFunction, e.Config)
	queue := names.RabbitMQDeadLetterQueue(e)
	switch {
	case wanted && e.EnsureDeadLetters(ctx, explicit, queue, resources.DeadLetterBounds(e.LambdaFunction, e.Config)):
		return &sharedresources.Dead{Queue: queue, Sink: resources.DeadLetterSink(e.LambdaFunction, e.Keys.Newest(), e.Config)}
	case !wanted && (e.Spec.WantsEvents() || e.had || e.Queues.Known(queue)):
		e.RemoveDeadLetters(ctx, queue)
	}
	return nil
}
