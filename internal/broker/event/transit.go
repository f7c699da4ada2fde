package event

import (
	"context"
	"maps"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	attemptsHeader    = Reserved + "attempts"
	dueHeader         = Reserved + "due"
	triggerHeader     = Reserved + "trigger"
	queueHeader       = Reserved + "queue"
	phaseHeader       = Reserved + "phase"
	hopsHeader        = Reserved + "hops"
	arrivalHeader     = Reserved + "arrival"
	traceparentHeader = Reserved + "traceparent"
	tracestateHeader  = Reserved + "tracestate"

	// maxTrace bounds each header of the trace context, whose state a sender sets.
	maxTrace = 512
)

// Transit is what the event plane knows of a message besides its event. Times are kept
// in milliseconds; zero values are not stored.
type Transit struct {
	// Attempts to deliver the event that have failed.
	Attempts int32
	// Due is when the next attempt is to be made.
	Due time.Time
	// Trigger whose subscriber gets the event; empty before the event was routed.
	Trigger types.UID
	// Queue of that Trigger, to which a delay queue returns the event.
	Queue string
	// Phase of the delivery; empty while the subscriber is tried.
	Phase string
	// Hops is how many Brokers the event has come through, as far as deliveries led from
	// one to the next.
	Hops int32
	// Arrival at the ingress.
	Arrival time.Time
	// Traceparent and Tracestate are the W3C trace context of the last sender.
	Traceparent, Tracestate string
}

// EncodeTransit returns the message with this Transit in place of its own. The message
// stays as it is; both have the same body.
func EncodeTransit(m *queue.Message, t Transit) *queue.Message {
	headers := maps.Clone(m.Headers)
	if headers == nil {
		headers = map[string]any{}
	}
	maps.DeleteFunc(headers, func(name string, _ any) bool {
		return strings.HasPrefix(name, Reserved) && name != typesHeader && name != base64Header
	})
	for name, value := range map[string]int32{attemptsHeader: t.Attempts, hopsHeader: t.Hops} {
		if value != 0 {
			headers[name] = value
		}
	}
	for name, value := range map[string]time.Time{dueHeader: t.Due, arrivalHeader: t.Arrival} {
		if !value.IsZero() {
			headers[name] = value.UnixMilli()
		}
	}
	for name, value := range map[string]string{triggerHeader: string(t.Trigger), queueHeader: t.Queue, phaseHeader: t.Phase} {
		if value != "" {
			headers[name] = value
		}
	}
	for name, value := range map[string]string{traceparentHeader: t.Traceparent, tracestateHeader: t.Tracestate} {
		if value != "" && len(value) <= maxTrace {
			headers[name] = value
		}
	}
	return &queue.Message{Headers: headers, Body: m.Body}
}

// TransitOf a message. What is absent or malformed is the zero value.
func TransitOf(m *queue.Message) Transit {
	return Transit{
		Attempts:    clampInt32(number(m.Headers[attemptsHeader])),
		Due:         moment(m.Headers[dueHeader]),
		Trigger:     types.UID(text(m.Headers[triggerHeader])),
		Queue:       text(m.Headers[queueHeader]),
		Phase:       text(m.Headers[phaseHeader]),
		Hops:        clampInt32(number(m.Headers[hopsHeader])),
		Arrival:     moment(m.Headers[arrivalHeader]),
		Traceparent: text(m.Headers[traceparentHeader]),
		Tracestate:  text(m.Headers[tracestateHeader]),
	}
}

func number(value any) int64 {
	switch v := value.(type) {
	case int32:
		return int64(v)
	case int64:
		return v
	}
	return 0
}

func moment(value any) time.Time {
	if ms := number(value); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// InjectTrace puts the trace context of ctx into the Transit.
func (t *Transit) InjectTrace(ctx context.Context) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	t.Traceparent, t.Tracestate = carrier["traceparent"], carrier["tracestate"]
}

// ExtractTrace returns ctx with the trace context of the Transit.
func (t *Transit) ExtractTrace(ctx context.Context) context.Context {
	carrier := propagation.MapCarrier{"traceparent": t.Traceparent, "tracestate": t.Tracestate}
	return propagation.TraceContext{}.Extract(ctx, carrier)
}
