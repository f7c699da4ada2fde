package dispatch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	noopmetric "go.opentelemetry.io/otel/metric/noop"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/ingress"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// oneBroker is the Broker of the fixture.
type oneBroker struct{}

func (oneBroker) Get(namespace, name string) (ingress.Broker, bool) {
	return ingress.Broker{Namespace: namespace, Name: name, UID: brokerUID}, true
}

func (b oneBroker) Refresh(_ context.Context, namespace, name string) (ingress.Broker, bool) {
	return b.Get(namespace, name)
}

// TestLoop: two Triggers that deliver to their own Broker double each event with each
// round, until it has come through as many Brokers as it may. Then it is a dead letter.
func TestLoop(t *testing.T) {
	t.Parallel()
	f := &fixture{t: t, engine: memory.New(), broker: aBroker(), start: time.Now()}
	f.topology = f.engine
	f.must(f.engine.DeclareExchange(t.Context()))
	f.must(f.engine.Declare(t.Context(), queue.Declaration{Name: dlq}))
	telemetry, err := ingress.NewTelemetry(noopmetric.NewMeterProvider(), nooptrace.NewTracerProvider())
	f.must(err)
	handler := (&ingress.Handler{
		Brokers: oneBroker{}, Publisher: f.engine, Budget: budget.New(10_000, 1<<30), Telemetry: telemetry, Clock: clock.RealClock{},
	}).Complete()
	var accepted, refused atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		switch recorder.Code {
		case http.StatusAccepted:
			accepted.Add(1)
		case http.StatusBadRequest:
			refused.Add(1)
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	anywhere := func(string, string, netip.Addr) error { return nil }
	d := New(Options{
		Subscriber: f.engine, Publisher: f.engine, Inspector: f.engine, Sender: delivery.New(delivery.Options{Permit: anywhere}),
	})
	url, err := apis.ParseURL(server.URL + "/team/default")
	f.must(err)
	for _, name := range []string{"first", "second"} {
		d.Apply(f.newTrigger(name, func(t *eventingv1.Trigger) { t.Status.SubscriberURI = url }), f.broker)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url.String(), strings.NewReader("{}"))
	f.must(err)
	for name, value := range map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t", "ce-source": "/s", "content-type": "application/json"} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	f.must(err)
	f.must(response.Body.Close())

	// 1 + 2 + … of the Broker's passages; each event of the last one is refused twice.
	passages, ends := int64(1<<events.MaxHops-1), int64(1<<events.MaxHops)
	eventually(t, "the loop ends", func() bool { return refused.Load() == ends && f.depth(dlq) == int(ends) })
	f.must(d.Stop(t.Context()))
	if accepted.Load() != passages || refused.Load() != ends {
		t.Errorf("accepted %d, refused %d; want %d and %d", accepted.Load(), refused.Load(), passages, ends)
	}
}
