package event

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

func TestTransit(t *testing.T) {
	t.Parallel()
	e := minimal()
	m, err := Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(m.Headers)
	now := time.UnixMilli(1_790_000_000_123)
	want := Transit{
		Attempts: 3, Due: now.Add(time.Hour), Trigger: "uid", Queue: "lambda.t.a.b.uid", Phase: "sink", Hops: 3, Arrival: now,
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Tracestate: "a=b",
	}
	moved := EncodeTransit(m, want)
	if got := TransitOf(moved); !cmp.Equal(got, want) {
		t.Errorf("TransitOf() = %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(before, m.Headers); diff != "" {
		t.Errorf("the message changed: %s", diff)
	}
	got, err := Decode(moved)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, &e)
	again := EncodeTransit(moved, Transit{Attempts: 4})
	if got := TransitOf(again); !cmp.Equal(got, Transit{Attempts: 4}) {
		t.Errorf("after another move: %+v", got)
	}
	if got := TransitOf(EncodeTransit(m, Transit{Tracestate: strings.Repeat("x", 600)})); got.Tracestate != "" {
		t.Error("a trace state of 600 bytes was stored")
	}
	if got := TransitOf(EncodeTransit(&queue.Message{}, want)); !cmp.Equal(got, want) {
		t.Errorf("without headers: %+v", got)
	}
}

func TestTransitOf_WhenMalformed(t *testing.T) {
	t.Parallel()
	m := &queue.Message{Headers: map[string]any{
		attemptsHeader: "three", dueHeader: 1.5, triggerHeader: int32(1), phaseHeader: []byte("x"), arrivalHeader: nil,
	}}
	if got := TransitOf(m); got != (Transit{}) {
		t.Errorf("TransitOf() = %+v", got)
	}
	m.Headers[attemptsHeader] = int64(1) << 40
	if got := TransitOf(m).Attempts; got != 1<<31-1 {
		t.Errorf("attempts = %d", got)
	}
}

func TestTransit_Trace(t *testing.T) {
	t.Parallel()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	var out Transit
	out.InjectTrace(trace.ContextWithSpanContext(t.Context(), span))
	in := TransitOf(EncodeTransit(&queue.Message{}, out))
	if got := trace.SpanContextFromContext(in.ExtractTrace(t.Context())); got.TraceID() != span.TraceID() || got.SpanID() != span.SpanID() || !got.IsRemote() {
		t.Errorf("span context = %+v", got)
	}
}
