package modelprobe

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/measure"
)

// Asking is a client's Ask.
type Asking func(context.Context, Endpoint, []string) map[string]Verdict

// Measured is an Asking of which each probe is measured.
func Measured(ask Asking) (Asking, error) {
	duration, err := metrics.ModelProbeDuration.Float64Histogram(otel.Meter(measure.Scope))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e Endpoint, models []string) map[string]Verdict {
		start := time.Now()
		verdicts := ask(ctx, e, models)
		outcome := "answered"
		for _, v := range verdicts {
			if v.Dead {
				outcome = "failed"
			}
		}
		duration.Record(ctx, time.Since(start).Seconds(), metrics.Set(metrics.ProbeLabel.Of(outcome)))
		return verdicts
	}, nil
}
