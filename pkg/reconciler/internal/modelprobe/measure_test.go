package modelprobe

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestMeasured(t *testing.T) {
	reader, before := sdkmetric.NewManualReader(), otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	defer otel.SetMeterProvider(before)
	ask, err := Measured(func(_ context.Context, e Endpoint, models []string) map[string]Verdict {
		return map[string]Verdict{models[0]: {Dead: e.URL == "", Reason: ReasonModelNotFound}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://up", "http://up", ""} {
		if got := ask(t.Context(), Endpoint{URL: url}, []string{"m"}); got["m"].Reason != ReasonModelNotFound {
			t.Errorf("the verdict became %+v", got)
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, p := range all.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints {
		got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Count
	}
	if got["outcome=answered"] != 2 || got["outcome=failed"] != 1 || len(got) != 2 {
		t.Errorf("measured %v, want two that answered and one that failed", got)
	}
}
