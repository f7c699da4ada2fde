package measure

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/phase"
)

// recorded is what a test measures.
func recorded(t *testing.T) *sdkmetric.ManualReader {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	return reader
}

// values of an instrument by its labels: a gauge's, or how often a histogram's was
// measured and the sum of that in seconds.
func values(t *testing.T, reader *sdkmetric.ManualReader, i *metrics.Instrument) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != i.Name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					got[p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[p.Attributes.Encoded(attribute.DefaultEncoder())+" count"] = float64(p.Count)
					got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Sum
				}
			}
		}
	}
	return got
}

// scripted answers a reconcile, in a phase of its own.
type scripted struct {
	reconciler.LeaderAwareFuncs
	answer error
}

func (s *scripted) Reconcile(ctx context.Context, key string) error {
	return phase.Run(ctx, &key, phase.Phase[*string]{Name: "only", Run: func(context.Context, *string) reconciler.Event { return s.answer }})
}

func TestReconciles(t *testing.T) {
	conflict := apierrs.NewConflict(schema.GroupResource{}, "f", errors.New("newer"))
	for _, tt := range []struct {
		name    string
		answer  error
		outcome string
		failed  bool
	}{
		{"success", nil, "success", false},
		{"requeue", controller.NewRequeueAfter(time.Second), "requeue", false},
		{"conflict", fmt.Errorf("writing: %w", conflict), "requeue", false},
		{"permanent", controller.NewPermanentError(errors.New("the user's")), "permanent", true},
		{"error", errors.New("down"), "error", true},
		{"another replica's", controller.NewSkipKey("team/f"), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reader, spans := recorded(t), tracetest.NewInMemoryExporter()
			otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
			impl := &controller.Impl{Reconciler: &scripted{answer: tt.answer}}
			if err := Reconciles(impl, "lambdafunction"); err != nil {
				t.Fatal(err)
			}
			if err := impl.Reconciler.Reconcile(t.Context(), "team/f"); !errors.Is(err, tt.answer) {
				t.Errorf("Reconcile() = %v, want what the reconciler answers", err)
			}
			got := values(t, reader, metrics.ReconcileDuration)
			want := "controller=lambdafunction,outcome=" + tt.outcome + " count"
			if tt.outcome == "" && len(got) > 0 || tt.outcome != "" && got[want] != 1 {
				t.Errorf("measured %v, want one of outcome %q", got, tt.outcome)
			}
			all := spans.GetSpans()
			if len(all) != 2 || all[0].Name != "only" || all[1].Name != "reconcile lambdafunction" || all[0].Parent.SpanID() != all[1].SpanContext.SpanID() {
				t.Fatalf("spans %v, want the phase's in the reconcile's", all)
			}
			if got := all[1].Status.Code == codes.Error; got != tt.failed {
				t.Errorf("the span says failed: %v, want %v", got, tt.failed)
			}
		})
	}
}

// TestMeasuredLeads: leader election finds in it what it finds in the reconciler.
func TestMeasuredLeads(t *testing.T) {
	inner := &scripted{}
	impl := &controller.Impl{Reconciler: inner}
	if err := Reconciles(impl, "lambdafunction"); err != nil {
		t.Fatal(err)
	}
	key := types.NamespacedName{Namespace: "team", Name: "f"}
	if err := impl.Reconciler.(reconciler.LeaderAware).Promote(reconciler.UniversalBucket(), nil); err != nil {
		t.Fatal(err)
	}
	if !inner.IsLeaderFor(key) || !impl.Reconciler.(leading).IsLeaderFor(key) {
		t.Error("it was promoted and does not lead")
	}
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world of functions, of which this replica leads those that are not named other.
type world struct {
	*objects
	clock  *clocktesting.FakePassiveClock
	reader *sdkmetric.ManualReader
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{reader: recorded(t), clock: clocktesting.NewFakePassiveClock(start)}
	took, err := metrics.ReadyDuration.Float64Histogram(otel.Meter(Scope))
	if err != nil {
		t.Fatal(err)
	}
	w.objects = &objects{kind: metrics.KindLabel.Of("LambdaFunction"), store: cache.NewStore(cache.MetaNamespaceKeyFunc), clock: w.clock,
		leads: func(key types.NamespacedName) bool { return key.Name != "other" }, namespaces: metrics.NamespaceLabel.Open(), took: took, pursued: map[types.UID]pursuit{}}
	if err := metrics.Objects.ObserveInt64Gauge(otel.Meter(Scope), w.count); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) after(d time.Duration, f *v1alpha1.LambdaFunction) {
	w.clock.SetTime(w.clock.Now().Add(d))
	w.changed(f)
}

// function of a generation, of which the controller has looked at another.
func function(name string, generation, observed int64, ready bool) *v1alpha1.LambdaFunction {
	f := &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID(name), Generation: generation, CreationTimestamp: metav1.NewTime(start)}}
	f.Status.ObservedGeneration = observed
	if observed > 0 {
		f.Status.InitializeConditions()
	}
	if ready {
		conditions := f.GetConditionSet().Manage(&f.Status)
		for _, c := range f.Status.Conditions {
			conditions.MarkTrue(c.Type)
		}
	}
	return f
}

func TestTimeToReady(t *testing.T) {
	const created, updated = "change=created,kind=LambdaFunction", "change=updated,kind=LambdaFunction"
	w := newWorld(t)
	w.after(200*time.Millisecond, function("f", 1, 0, false))
	w.after(time.Second, function("f", 1, 1, false))
	w.after(2*time.Second, function("f", 1, 1, true))
	want := map[string]float64{created: 3, created + " count": 1}
	expect := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, values(t, w.reader, metrics.ReadyDuration)); diff != "" {
			t.Errorf("%s (-want, +got): %s", what, diff)
		}
	}
	expect("created")

	w.after(time.Minute, function("f", 1, 1, false))
	w.after(time.Minute, function("f", 1, 1, true))
	expect("it was not Ready for a while")

	w.after(time.Minute, function("f", 2, 1, true))
	w.after(5*time.Second, function("f", 2, 2, true))
	want[updated], want[updated+" count"] = 5, 1
	expect("a change of the spec")

	w.after(0, function("before", 3, 3, false))
	w.after(time.Minute, function("before", 3, 3, true))
	expect("what another process began")

	w.after(0, function("other", 1, 0, false))
	w.after(time.Minute, function("other", 1, 1, true))
	expect("another replica's")

	w.gone(cache.DeletedFinalStateUnknown{Obj: function("f", 2, 2, true)})
	if _, ok := w.pursued["f"]; ok {
		t.Error("it is remembered after its end")
	}
}

// TestLateToHear: a function that was made while nobody looked is as old as it says.
func TestLateToHear(t *testing.T) {
	w := newWorld(t)
	w.after(31*time.Second, function("f", 1, 0, false))
	w.after(10*time.Second, function("f", 1, 1, true))
	if got := values(t, w.reader, metrics.ReadyDuration)["change=created,kind=LambdaFunction"]; got != 40 {
		t.Errorf("took %v s, want 40: 41 without the second in which it was made", got)
	}
}

func TestObjectsByCondition(t *testing.T) {
	w := newWorld(t)
	for _, f := range []*v1alpha1.LambdaFunction{function("a", 1, 1, true), function("b", 1, 1, true), function("c", 1, 1, false), function("other", 1, 1, true), function("new", 1, 0, false)} {
		if err := w.store.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	got := values(t, w.reader, metrics.Objects)
	for labels, want := range map[string]float64{
		"condition=Ready,k8s.namespace.name=team,kind=LambdaFunction,status=True":    2,
		"condition=Ready,k8s.namespace.name=team,kind=LambdaFunction,status=Unknown": 1,
	} {
		if got[labels] != want {
			t.Errorf("%s is %v, want %v in %v", labels, got[labels], want, got)
		}
	}
}
