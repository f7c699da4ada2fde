package ingress

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 678000000, time.UTC)

// fakeBrokers has team/default.
type fakeBrokers struct {
	mu        sync.Mutex
	refreshed []Broker // what Refresh answers, one by one; then what Get does
	deleted   bool     // Refresh finds none
	reads     int
}

var defaultBroker = Broker{Namespace: "team", Name: "default", UID: "uid-1"}

func (*fakeBrokers) Get(namespace, name string) (Broker, bool) {
	if name != "default" || namespace == "empty" {
		return Broker{}, false
	}
	b := defaultBroker
	b.Namespace = namespace
	return b, true
}

func (f *fakeBrokers) Refresh(_ context.Context, namespace, name string) (Broker, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.deleted {
		return Broker{}, false
	}
	if len(f.refreshed) > 0 {
		b := f.refreshed[0]
		f.refreshed = f.refreshed[1:]
		return b, true
	}
	return f.Get(namespace, name)
}

// published message.
type published struct {
	keys    []string
	message *queue.Message
}

// fakePublisher answers with errs, one by one, then with nil.
type fakePublisher struct {
	mu       sync.Mutex
	errs     []error
	hang     bool // until the context ends
	begun    func()
	messages []published
}

func (p *fakePublisher) Publish(ctx context.Context, keys []string, m *queue.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if p.begun != nil {
		p.begun()
	}
	if p.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = append(p.messages, published{keys, m})
	if len(p.errs) > 0 {
		err := p.errs[0]
		p.errs = p.errs[1:]
		return err
	}
	return nil
}

func (*fakePublisher) Put(context.Context, string, *queue.Message) error {
	panic("the ingress puts nothing")
}

// harness is a Handler with fakes.
type harness struct {
	*testing.T
	handler   *Handler
	brokers   *fakeBrokers
	publisher *fakePublisher
	reader    *sdkmetric.ManualReader
	spans     *tracetest.SpanRecorder
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{T: t, brokers: &fakeBrokers{}, publisher: &fakePublisher{}, reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	telemetry, err := NewTelemetry(sdkmetric.NewMeterProvider(sdkmetric.WithReader(h.reader)), sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(h.spans)))
	if err != nil {
		t.Fatal(err)
	}
	h.handler = (&Handler{
		Brokers: h.brokers, Publisher: h.publisher, Budget: budget.New(budget.Requests, budget.Bytes), Telemetry: telemetry,
		Clock: clocktesting.NewFakePassiveClock(now), MaxBody: 1 << 20, Timeout: 20 * time.Millisecond,
	}).Complete()
	return h
}

func (h *harness) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if requests, bytes := h.handler.Budget.InHand(); requests != 0 || bytes != 0 {
		h.Errorf("%d requests and %d bytes stay in hand", requests, bytes)
	}
	return w
}

// event of the only message that was published last.
func (h *harness) stored() (*cloudevents.Event, published) {
	h.Helper()
	if len(h.publisher.messages) == 0 {
		h.Fatal("nothing was published")
	}
	last := h.publisher.messages[len(h.publisher.messages)-1]
	e, err := event.Decode(last.message)
	if err != nil {
		h.Fatal(err)
	}
	return e, last
}

// sum of a counter's points whose attribute has the value; all points for no attribute.
func (h *harness) sum(name, attribute, value string) (n int64) {
	h.Helper()
	for _, m := range h.metrics() {
		if s, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
			for _, p := range s.DataPoints {
				if v, _ := p.Attributes.Value(keyOf(attribute)); attribute == "" || v.AsString() == value {
					n += p.Value
				}
			}
		}
	}
	return n
}

func (h *harness) metrics() (all []metricdata.Metrics) {
	h.Helper()
	var collected metricdata.ResourceMetrics
	if err := h.reader.Collect(context.WithoutCancel(h.Context()), &collected); err != nil {
		h.Fatal(err)
	}
	for _, s := range collected.ScopeMetrics {
		all = append(all, s.Metrics...)
	}
	return all
}

func keysOf(uid string) []string { return routing.Keys(types.UID(uid), "t", "/s") }

func minimalEvent() *cloudevents.Event {
	e := cloudevents.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	_ = e.SetData(cloudevents.ApplicationJSON, []byte(`{"a":1}`))
	return &e
}
