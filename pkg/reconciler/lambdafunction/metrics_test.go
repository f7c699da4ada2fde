package lambdafunction

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
)

// measured are the points of all instruments with their labels: what was counted,
// summed up, or is.
func measured(t *testing.T, reader *sdkmetric.ManualReader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Sum
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					got[m.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Value)
				}
			}
		}
	}
	return got
}

// measuring begins to measure.
func measuring(t *testing.T) *sdkmetric.ManualReader {
	t.Helper()
	reader, before := sdkmetric.NewManualReader(), otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	return reader
}

func TestBuildsAreMeasuredOnce(t *testing.T) {
	reader := measuring(t)
	b, err := newBuilds()
	if err != nil {
		t.Fatal(err)
	}
	f := function()
	end := func(attempts int32, result string, took time.Duration) {
		f.Status.Build = &v1alpha1.BuildStatus{Reference: "r/f:tag", Attempts: attempts, Strategy: v1alpha1.BuildKaniko}
		b.ended(&pass{LambdaFunction: f}, result, took)
	}
	end(0, "success", time.Hour) // found in the registry
	end(1, "infrastructure", 5*time.Second)
	end(1, "infrastructure", 6*time.Second) // the same, seen again
	end(2, "success", 7*time.Second)
	b.forget(types.NamespacedName{Namespace: namespace, Name: name})
	end(2, "success", 8*time.Second) // of a new function of that name
	if diff := cmp.Diff(map[string]float64{
		"lambda.build.duration language=python,result=infrastructure,strategy=kaniko": 5,
		"lambda.build.duration language=python,result=success,strategy=kaniko":        15,
	}, measured(t, reader)); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}

func TestResultOfBuild(t *testing.T) {
	for want, o := range map[string]build.Outcome{
		"success":        {Digest: digest},
		"timeout":        build.Timeout(),
		"user":           {Fault: build.UserFault, Reason: build.ReasonBuildStepFailed},
		"configuration":  {Fault: build.ConfigurationFault, Reason: build.ReasonPushDenied},
		"infrastructure": {Fault: build.InfrastructureFault, Reason: build.ReasonEvicted},
	} {
		if got := resultOf(o); got != want {
			t.Errorf("%+v is %s, want %s", o, got, want)
		}
	}
}

func TestSinceStart(t *testing.T) {
	at := func(d time.Duration) *metav1.Time {
		at := metav1.NewTime(now.Add(d))
		return &at
	}
	r := &Reconciler{clock: clocktesting.NewFakePassiveClock(now)}
	for name, tt := range map[string]struct {
		status v1alpha1.BuildStatus
		want   time.Duration
	}{
		"not begun": {v1alpha1.BuildStatus{CompletionTime: at(0)}, 0},
		"runs":      {v1alpha1.BuildStatus{StartTime: at(-time.Minute)}, time.Minute},
		"ended":     {v1alpha1.BuildStatus{StartTime: at(-time.Minute), CompletionTime: at(-time.Second)}, 59 * time.Second},
	} {
		if got := r.sinceStart(&tt.status); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestLinesAreMeasured(t *testing.T) {
	reader, w := measuring(t), newWorld()
	maker := layer.NewMaker(nil, clock.RealClock{}, nil, nil)
	if err := measureLines(w.slots, layer.NewBackground(maker, nil, nil, clock.RealClock{})); err != nil {
		t.Fatal(err)
	}
	w.asks(t, "a", "one", "1", 1, 1)
	w.appears("a", "one", "1")
	w.asks(t, "a", "two", "2", 1, 1)
	want := map[string]float64{"lambda.build.queue.depth strategy=kaniko": 1, "lambda.build.queue.depth strategy=layer": 0, "lambda.build.queue.wait strategy=kaniko": 0}
	if diff := cmp.Diff(want, measured(t, reader)); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}
