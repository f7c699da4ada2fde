// Package measure measures what all reconcilers do: each reconcile, and how the
// objects of a kind fare.
package measure

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

// Scope of the instruments and spans of all reconcilers.
const Scope = "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler"

// leading reconciles what its replica leads.
type leading interface {
	controller.Reconciler
	reconciler.LeaderAware
	IsLeaderFor(types.NamespacedName) bool
}

// measured is a reconciler each of whose reconciles is a measurement and a span. It
// leads and hands over as the one in it.
type measured struct {
	leading
	name     string
	tracer   trace.Tracer
	duration metric.Float64Histogram
	options  map[string][]metric.RecordOption // by outcome
}

// Reconciles measures the reconciles of a controller, which has its name and queue
// already.
func Reconciles(impl *controller.Impl, name string) error {
	duration, err := metrics.ReconcileDuration.Float64Histogram(otel.Meter(Scope))
	if err != nil {
		return err
	}
	m := &measured{leading: impl.Reconciler.(leading), name: name, tracer: otel.Tracer(Scope), duration: duration, options: map[string][]metric.RecordOption{}}
	for _, o := range metrics.ReconcileLabel.Values {
		m.options[o] = []metric.RecordOption{metrics.Set(metrics.ControllerLabel.Of(name), metrics.ReconcileLabel.Of(o))}
	}
	impl.Reconciler = m
	return nil
}

// Reconcile implements controller.Reconciler.
func (m *measured) Reconcile(ctx context.Context, key string) error {
	namespace, object, _ := cache.SplitMetaNamespaceKey(key) // what is no key ends at once
	ctx, span := m.tracer.Start(ctx, "reconcile "+m.name, trace.WithAttributes(
		attribute.String("k8s.namespace.name", namespace), attribute.String("lambda.object.name", object)))
	defer span.End()
	start := time.Now()
	err := m.leading.Reconcile(ctx, key)
	if controller.IsSkipKey(err) {
		return err // another replica's
	}
	o := outcome(err)
	span.SetAttributes(metrics.ReconcileLabel.Of(o))
	if o == "error" || o == "permanent" {
		span.SetStatus(codes.Error, err.Error())
	}
	m.duration.Record(ctx, time.Since(start).Seconds(), m.options[o]...)
	return err
}

// outcome of a reconcile, of metrics.ReconcileLabel.
func outcome(err error) string {
	requeue, _ := controller.IsRequeueKey(err)
	switch {
	case err == nil:
		return "success"
	case requeue, apierrs.IsConflict(err): // the cache has it newer in a moment
		return "requeue"
	case controller.IsPermanentError(err):
		return "permanent"
	}
	return "error"
}
