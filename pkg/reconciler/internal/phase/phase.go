// Package phase runs a reconcile as a list of named phases, each of which owns
// one child and one condition.
package phase

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"
)

const tracerName = "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler"

// Phase is one step of a reconcile of a T.
type Phase[T any] struct {
	// Name is the phase's in traces.
	Name string
	// Run brings the phase's child and condition up to date. nil lets the next
	// phase run; an error ends the reconcile: permanent
	// (controller.NewPermanentError) where only the user can help, else retried.
	Run func(ctx context.Context, obj T) pkgreconciler.Event
}

// Run runs the phases in order until one returns an error, under a deadline of
// knative.dev/pkg/reconciler.DefaultTimeout: generated reconcilers start from
// a context that has none.
func Run[T any](ctx context.Context, obj T, phases ...Phase[T]) pkgreconciler.Event {
	ctx, cancel := context.WithTimeout(ctx, pkgreconciler.DefaultTimeout)
	defer cancel()
	for _, p := range phases {
		if err := run(ctx, obj, p); err != nil {
			return err
		}
	}
	return nil
}

func run[T any](ctx context.Context, obj T, p Phase[T]) pkgreconciler.Event {
	ctx, span := otel.Tracer(tracerName).Start(ctx, p.Name)
	defer span.End()
	err := p.Run(ctx, obj)
	if requeue, _ := controller.IsRequeueKey(err); err != nil && !requeue {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(attribute.Bool("permanent", controller.IsPermanentError(err)))
	}
	return err
}
