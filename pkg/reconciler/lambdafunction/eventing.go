package lambdafunction

import (
	"context"
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// destinationResolver finds the URL of a destination and enqueues the parent when
// it changes.
type destinationResolver interface {
	URIFromDestinationV1(ctx context.Context, dest duckv1.Destination, parent any) (*apis.URL, error)
}

// reconcileSink finds out where replies go, before a revision is made that sends
// them there. The condition is the eventing phase's.
func (r *Reconciler) reconcileSink(ctx context.Context, p *pass) pkgreconciler.Event {
	e := p.Spec.ActiveEventing()
	if e == nil || e.Sink == nil {
		return nil
	}
	sink := *e.Sink.DeepCopy()
	if sink.Ref != nil && sink.Ref.Namespace == "" {
		sink.Ref.Namespace = p.Namespace
	}
	p.sink, p.sinkErr = r.resolver.URIFromDestinationV1(ctx, sink, p.LambdaFunction)
	return nil
}

// trouble is why events do not flow (yet).
type trouble struct {
	reason, message string
	// failed says that it does not come right by itself.
	failed bool
	// err of a write, for the reconciler's caller.
	err error
}

// reconcileEventing makes the broker, the dead letter queue and the triggers that
// the spec asks for, and takes away those that it asks for no more. All of them
// are brought up to date; the condition tells the first that does not work.
func (r *Reconciler) reconcileEventing(ctx context.Context, p *pass) pkgreconciler.Event {
	p.Status.Brokers, p.Status.DeadLetterSinkURI = nil, nil
	kinds, rabbit := r.eventing.Load(), r.rabbitmq.Load()
	switch {
	case kinds == nil && !p.Spec.WantsEvents():
		p.Status.MarkEventingNotRequested()
		return nil
	case kinds == nil:
		p.Status.MarkEventingFailed(v1alpha1.ReasonEventingNotInstalled, "The cluster has no Knative Eventing, which triggers and eventing need: install it, or remove triggers and eventing.enabled.")
		return nil
	}
	e := &eventing{Reconciler: r, pass: p, kinds: kinds, rabbit: rabbit}
	err := e.reconcile(ctx)
	switch {
	case !p.Spec.WantsEvents():
		p.Status.MarkEventingNotRequested()
	case e.first == nil && err == nil, e.first == nil && isRequeue(err):
		p.Status.MarkEventingReady()
	case e.first == nil: // a write that will be tried again: what was said stands
	case e.first.failed:
		p.Status.MarkEventingFailed(e.first.reason, e.first.message)
	default:
		p.Status.MarkEventingPending(e.first.reason, e.first.message)
	}
	if err == nil && e.first != nil {
		return e.first.err
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
	kinds  *eventingKinds
	rabbit *rabbitKinds
	// made is the shared broker, which the cache may not have yet.
	made *eventingv1.Broker
	// first trouble.
	first *trouble
}

// tell keeps the first trouble.
func (e *eventing) tell(t *trouble) {
	if e.first == nil {
		e.first = t
	}
}

func (e *eventing) reconcile(ctx context.Context) error {
	if e.sinkErr != nil {
		e.tell(&trouble{reason: v1alpha1.ReasonSinkNotResolved, message: "eventing.sink: " + e.sinkErr.Error(), failed: true, err: e.sinkErr})
	}
	if err := e.reconcileBroker(ctx); err != nil {
		return err
	}
	sink, err := e.reconcileDeadLetters(ctx)
	if err != nil {
		return err
	}
	return e.reconcileTriggers(ctx, sink)
}

// refused tells of a write that the API server did not take, and returns the error
// of one that is to be tried again.
func (e *eventing) refused(err error, notOwned, rejected string) error {
	switch {
	case child.IsNotOwned(err):
		e.tell(&trouble{reason: notOwned, message: err.Error(), failed: true, err: controller.NewPermanentError(err)})
	case child.IsRejected(err):
		e.tell(&trouble{reason: rejected, message: err.Error(), failed: true, err: controller.NewPermanentError(err)})
	case apierrs.IsForbidden(err): // a quota, for example: it may be free later
		e.tell(&trouble{reason: rejected, message: err.Error(), failed: true, err: err})
	default:
		return err
	}
	return nil
}

// unready tells what an object of Knative's says of itself, where it speaks of its
// newest generation and is not ready.
func (e *eventing) unready(reason, what string, generation int64, status *duckv1.Status) bool {
	ready := status.GetCondition(apis.ConditionReady)
	switch {
	case status.ObservedGeneration != generation || ready == nil:
		e.tell(&trouble{reason: reason, message: what + " is not reconciled yet."})
	case ready.IsTrue():
		return false
	default:
		e.tell(&trouble{reason: reason, message: fmt.Sprintf("%s is not ready: %s: %s", what, ready.Reason, ready.Message), failed: ready.IsFalse()})
	}
	return true
}
