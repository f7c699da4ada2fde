package lambdafunction

import (
	"context"

	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
)

// reconcileSink finds out where replies go, before a revision is made that sends
// them there. The condition is the eventing phase's.
func (r *Reconciler) reconcileSink(ctx context.Context, p *pass) pkgreconciler.Event {
	e := p.Spec.ActiveEventing()
	if e == nil || e.Sink == nil {
		return nil
	}
	if p.sinkErr = sinks.Check(ctx, r.resolver, p.LambdaFunction, "eventing.sink", e.Sink); p.sinkErr != nil {
		return nil //nolint:nilerr // the eventing phase reports it
	}
	sink := *e.Sink.DeepCopy()
	if sink.Ref != nil && sink.Ref.Namespace == "" {
		sink.Ref.Namespace = p.Namespace
	}
	p.sink, p.sinkErr = r.resolver.URIFromDestinationV1(ctx, sink, p.LambdaFunction)
	return nil
}
