package dispatch

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"
	eventingbroker "knative.dev/eventing/pkg/broker"
	"knative.dev/eventing/pkg/observability"
	"knative.dev/eventing/pkg/tracing"

	cetypes "github.com/cloudevents/sdk-go/v2/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const scope = "github.com/brunovlucena/knative-lambda-operator/internal/broker/dispatch"

// Outcomes, of metrics.DeliveryLabel.
const (
	outcomeDelivered    = "delivered"
	outcomeFailed       = "failed"
	outcomeDeadLetter   = "dead_letter"
	outcomeDropped      = "dropped"
	outcomeFiltered     = "filtered"
	outcomeDeleted      = "deleted"
	outcomeReplyExpired = "reply_expired"
	outcomeFilterFailed = "filter_failed"
)

// Reasons of moves, of metrics.MoveLabel.
const (
	moveDelayed  = "delayed"
	moveSink     = "sink"
	moveReply    = "reply"
	moveStopping = "stopping"
)

// Results of outcomes, of metrics.OutcomeLabel.
const (
	resultStored     = "stored"
	resultPostponed  = "postponed"
	resultGivenUp    = "given_up"
	resultDropped    = "dropped"
	resultUnrecorded = "unrecorded"
)

// Metrics and spans of a Dispatcher. Those of nil are not recorded.
type Metrics struct {
	tracer             trace.Tracer
	dispatch, process  metric.Float64Histogram
	deliveries, moves  metric.Int64Counter
	outcomes           metric.Int64Counter
	trigger, namespace *metrics.Open
	broker, brokerOf   *metrics.Open
	status             *metrics.Open

	mu     sync.Mutex
	queues map[*worker]observed
}

// observed is what was last seen of a Trigger's queues.
type observed struct {
	labels metric.MeasurementOption
	events int
}

// NewMetrics makes the instruments.
func NewMetrics(meters metric.MeterProvider, traces trace.TracerProvider) (*Metrics, error) {
	meter := meters.Meter(scope)
	m := &Metrics{
		tracer:  traces.Tracer(scope),
		trigger: metrics.TriggerLabel.Open(), namespace: metrics.TriggerNamespaceLabel.Open(),
		broker: metrics.BrokerLabel.Open(), brokerOf: metrics.BrokerNamespaceLabel.Open(), status: metrics.HTTPStatusLabel.Open(),
		queues: map[*worker]observed{},
	}
	var errs [8]error
	m.dispatch, errs[0] = metrics.DispatchDuration.Float64Histogram(meter)
	m.process, errs[1] = metrics.ProcessDuration.Float64Histogram(meter)
	m.deliveries, errs[2] = metrics.Deliveries.Int64Counter(meter)
	m.moves, errs[3] = metrics.Moved.Int64Counter(meter)
	m.outcomes, errs[7] = metrics.CallOutcomes.Int64Counter(meter)
	errs[4] = metrics.InHand.ObserveInt64Gauge(meter, m.each(func(w *worker, _ observed) int64 { return w.inHand.Load() }))
	errs[5] = metrics.QueueEvents.ObserveInt64Gauge(meter, m.each(func(_ *worker, o observed) int64 { return int64(o.events) }))
	errs[6] = metrics.OldestEvent.ObserveInt64Gauge(meter, m.each(func(w *worker, o observed) int64 {
		if o.events == 0 || w.arrival.Load() == 0 {
			return 0
		}
		return int64(time.Since(time.UnixMilli(w.arrival.Load())) / time.Second)
	}))
	return m, errors.Join(errs[:]...)
}

// each reports a number of each Trigger.
func (m *Metrics) each(number func(*worker, observed) int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		for w, seen := range m.queues {
			o.Observe(number(w, seen), seen.labels)
		}
		return nil
	}
}

func (m *Metrics) labels(s *subscription, more ...attribute.KeyValue) metric.MeasurementOption {
	return metrics.Set(append(more, m.trigger.Of(s.name), m.namespace.Of(s.namespace))...)
}

// queue records how many events wait for a Trigger.
func (m *Metrics) queue(w *worker, s *subscription, events int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[w] = observed{m.labels(s), events}
}

func (m *Metrics) forget(w *worker) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.queues, w)
}

// delivered counts what became of an event. s is nil if the Trigger was deleted.
func (m *Metrics) delivered(s *subscription, outcome string) {
	if m != nil && s != nil {
		m.deliveries.Add(context.Background(), 1, m.labels(s, metrics.DeliveryLabel.Of(outcome)))
	}
}

func (m *Metrics) moved(s *subscription, reason string) {
	if m != nil && s != nil {
		m.moves.Add(context.Background(), 1, m.labels(s, metrics.MoveLabel.Of(reason)))
	}
}

// outcome counts what became of the outcome or the reply of a call.
func (m *Metrics) outcome(s *subscription, result string) {
	if m != nil {
		m.outcomes.Add(context.Background(), 1, m.labels(s, metrics.OutcomeLabel.Of(result)))
	}
}

// processed records the time until an event is sent for the first time.
func (m *Metrics) processed(it *item, s *subscription) {
	if m != nil {
		m.process.Record(it.ctx, time.Since(it.since).Seconds(), m.labels(s, m.broker.Of(s.broker.Name), m.brokerOf.Of(s.broker.Namespace)))
	}
}

// dispatched records an exchange.
func (m *Metrics) dispatched(ctx context.Context, s *subscription, r *delivery.Result) {
	if m != nil {
		m.dispatch.Record(ctx, r.Duration.Seconds(),
			m.labels(s, m.broker.Of(s.broker.Name), m.brokerOf.Of(s.broker.Namespace), m.status.Of(strconv.Itoa(r.Status))))
	}
}

// span of an exchange, as Knative's own brokers make it.
func (m *Metrics) span(ctx context.Context, it *item, s *subscription) (context.Context, func(*delivery.Result)) {
	if m == nil {
		return ctx, func(*delivery.Result) {}
	}
	destination := tracing.TriggerMessagingDestination(types.NamespacedName{Namespace: s.namespace, Name: s.name})
	ctx, span := m.tracer.Start(ctx, destination, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		span.SetAttributes(observability.MessagingLabels(destination, "send")...)
		span.SetAttributes(observability.BrokerName.With(s.broker.Name), observability.BrokerNamespace.With(s.broker.Namespace),
			observability.CloudEventType.With(it.event.Type()), observability.CloudEventSource.With(it.event.Source()))
	}
	return ctx, func(r *delivery.Result) {
		if r.Status != delivery.NoAnswer {
			span.SetAttributes(attribute.Int(metrics.HTTPStatusLabel.Name, r.Status))
		}
		if r.Err != nil {
			span.SetStatus(codes.Error, http.StatusText(r.Status))
		}
		span.End()
	}
}

// observeArrival remembers when the event that was picked up last had arrived.
func (l *lane) observeArrival(it *item) {
	at := it.transit.Arrival
	if at.IsZero() {
		if t, err := cetypes.ToTime(it.event.Extensions()[eventingbroker.EventArrivalTime]); err == nil {
			at = t
		}
	}
	if !at.IsZero() {
		l.w.arrival.Store(at.UnixMilli())
	}
}
