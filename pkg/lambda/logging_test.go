package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// TestLogsOfTheContext: lines of the context's logger, and those that are logged with the
// context, name the event and its trace once; the trace only where that is on.
func TestLogsOfTheContext(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, on := range []bool{true, false} {
		var out bytes.Buffer
		base := runtime.NewLogger(&runtime.Config{LogFormat: "json", LogTraceContext: on}, &out)
		logger := slog.New(contextHandler{base.Handler()})
		i, err := NewInvoker(func(ctx context.Context) {
			FromContext(ctx).Logger().Info("m")
			logger.InfoContext(ctx, "m")
		}, runtime.Limits{Timeout: time.Minute, Concurrency: 100}, "f", "ns", logger)
		if err != nil {
			t.Fatal(err)
		}
		i.untraced = !on
		e := NewEvent("io.example.test")
		e.SetID("1")
		ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": traceparent})
		if _, err := i.Invoke(ctx, &runtime.Invocation{CloudEvent: &e, Traceparent: traceparent}); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"severity": "INFO", "message": "m", "event_id": "1", "event_type": "io.example.test"}
		if on {
			want["trace_id"], want["span_id"] = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
		}
		lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
		if len(lines) != 2 {
			t.Fatalf("%d lines, want two:\n%s", len(lines), out.Bytes())
		}
		for _, text := range lines {
			if bytes.Count(text, []byte("trace_id")) > 1 {
				t.Errorf("%s names the trace twice", text)
			}
			var line map[string]any
			if err := json.Unmarshal(text, &line); err != nil {
				t.Fatal(err)
			}
			delete(line, "timestamp")
			if diff := cmp.Diff(want, line); diff != "" {
				t.Errorf("trace context %t (-want, +got):\n%s", on, diff)
			}
		}
	}
}
