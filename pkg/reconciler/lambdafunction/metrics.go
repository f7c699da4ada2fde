package lambdafunction

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
)

// builds measures builds: each attempt once, though a reconcile may see its end
// again before the cache has what the last one has written.
type builds struct {
	duration  metric.Float64Histogram
	languages *metrics.Open

	mu   sync.Mutex
	last map[types.NamespacedName]attempt
}

// attempt to build an image.
type attempt struct {
	reference, rebuild string
	number             int32
}

func newBuilds() (*builds, error) {
	duration, err := metrics.BuildDuration.Float64Histogram(otel.Meter(measure.Scope))
	return &builds{duration: duration, languages: metrics.LanguageLabel.Open(), last: map[types.NamespacedName]attempt{}}, err
}

// ended says how an attempt of a function has ended. What took no attempt, as the
// registry had the image, is none.
func (b *builds) ended(p *pass, result string, took time.Duration) {
	s, k := p.Status.Build, key(p)
	if s.Attempts == 0 {
		return
	}
	this := attempt{s.Reference, s.Rebuild, s.Attempts}
	b.mu.Lock()
	seen := b.last[k] == this
	b.last[k] = this
	b.mu.Unlock()
	if !seen {
		b.duration.Record(context.Background(), max(0, took).Seconds(), metrics.Set(
			metrics.StrategyLabel.Of(string(s.Strategy)), b.languages.Of(p.Spec.Runtime.Language), metrics.BuildLabel.Of(result)))
	}
}

// forget a function that is deleted.
func (b *builds) forget(k types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.last, k)
}

// resultOf an outcome, of metrics.BuildLabel.
func resultOf(o build.Outcome) string {
	switch {
	case o.Succeeded():
		return "success"
	case o.Reason == build.ReasonTimeout:
		return "timeout"
	}
	return string(o.Fault)
}

// sinceStart is how long a build takes or took, by the times in its status.
func (r *Reconciler) sinceStart(s *v1alpha1.BuildStatus) time.Duration {
	switch {
	case s.StartTime == nil:
		return 0
	case s.CompletionTime != nil:
		return s.CompletionTime.Sub(s.StartTime.Time)
	}
	return r.clock.Since(s.StartTime.Time)
}

// measureLines measures how many builds wait for others, and how long.
func measureLines(s *slots, b *layer.Background) error {
	meter := otel.Meter(measure.Scope)
	wait, err := metrics.BuildQueueWait.Float64Histogram(meter)
	if err != nil {
		return err
	}
	kaniko, layered := metrics.StrategyLabel.Of(string(v1alpha1.BuildKaniko)), metrics.StrategyLabel.Of(string(v1alpha1.BuildLayer))
	inPods, inProcess := metrics.Set(kaniko), metrics.Set(layered)
	s.waited = func(d time.Duration) { wait.Record(context.Background(), d.Seconds(), metrics.Set(kaniko)) }
	b.Waited = func(d time.Duration) { wait.Record(context.Background(), d.Seconds(), metrics.Set(layered)) }
	return metrics.BuildQueueDepth.ObserveInt64Gauge(meter, func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(int64(s.depth()), inPods)
		o.Observe(int64(b.Depth()), inProcess)
		return nil
	})
}
