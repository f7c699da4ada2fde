package deadletter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

// counts are the letters of queues.
type counts struct {
	depths map[string]int
	err    error
	asked  int
}

func (c *counts) Depths(_ context.Context, queues []string) (map[string]int, error) {
	c.asked++
	there := map[string]int{}
	for _, q := range queues {
		if n, ok := c.depths[q]; ok {
			there[q] = n
		}
	}
	return there, c.err
}

func TestDepths(t *testing.T) {
	of := func(kind Kind, namespace, name string) Owner {
		return Owner{kind, types.NamespacedName{Namespace: namespace, Name: name}}
	}
	one, two, agent, none := of(KindFunction, "team", "one"), of(KindFunction, "team", "two"), of(KindAgent, "team", "one"), of(KindFunction, "other", "none")
	store := &counts{depths: map[string]int{one.Queue(): 2, two.Queue(): 3, agent.Queue(): 0}}
	clock := clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	d := NewDepths(store, func() ([]Owner, error) { return []Owner{one, two, agent, none}, nil }, clock)
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	if err := metrics.LetterDepth.ObserveInt64Gauge(meter, d.Observe); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, asked int, want map[string]int64) {
		t.Helper()
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, s := range all.ScopeMetrics {
			for _, p := range s.Metrics[0].Data.(metricdata.Gauge[int64]).DataPoints {
				got[p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || store.asked != asked {
			t.Errorf("%s: asked %d times, want %d; (-want, +got): %s", what, store.asked, asked, diff)
		}
	}
	first := map[string]int64{"k8s.namespace.name=team,kind=LambdaFunction": 5, "k8s.namespace.name=team,kind=LambdaAgent": 0}
	expect("summed up, without the queue that is not there", 1, first)
	store.depths[one.Queue()] = 4
	expect("asked again at once", 1, first)
	clock.SetTime(clock.Now().Add(depthsFor))
	expect("asked again later", 2, map[string]int64{"k8s.namespace.name=team,kind=LambdaFunction": 7, "k8s.namespace.name=team,kind=LambdaAgent": 0})
	clock.SetTime(clock.Now().Add(depthsFor))
	store.depths, store.err = nil, errors.New("down")
	expect("RabbitMQ is down", 3, map[string]int64{})
}
