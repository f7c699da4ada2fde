package contract

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLogsNameTheirEvent(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		f.sendEvent(t, `{"do": "log"}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		for message, want := range map[string][2]string{
			"printed": {"INFO", "stdout"},
			"two":     {"WARNING", "stderr"},
			"lines":   {"WARNING", "stderr"},
			"told":    {"INFO", "function"},
			"warned":  {"WARNING", "function"},
		} {
			if l.linked && strings.HasPrefix(want[1], "std") {
				continue // the streams are the test's own
			}
			line := f.logs.line(t, message)
			delete(line, "timestamp")
			want := map[string]any{"severity": want[0], "logger": want[1], "message": message, "event_id": "id-1", "event_type": "io.example.test", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
			if diff := cmp.Diff(want, line); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", message, diff)
			}
		}
		if strings.Contains(f.logs.String(), "whispered") {
			t.Error("a debug line came through at level info")
		}
		for text := range strings.Lines(f.logs.String()) {
			if !json.Valid([]byte(text)) {
				t.Errorf("the line %q is no JSON", text)
			}
		}
	}, "provided")
}

// TestLogsWithoutTraceContext: no language names the trace where that is turned off. The
// test of a linked function is TestLogsOfTheContext of package lambda.
func TestLogsWithoutTraceContext(t *testing.T) {
	t.Setenv("LAMBDA_LOG_TRACE_CONTEXT", "false")
	each(t, func(t *testing.T, l *language) {
		if l.linked {
			return
		}
		f := start(t, l)
		f.sendEvent(t, `{"do": "log"}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		line := f.logs.line(t, "told")
		if line["event_id"] != "id-1" || line["trace_id"] != nil || line["span_id"] != nil {
			t.Errorf("the line is %v, want one with the event's id and without trace_id and span_id", line)
		}
	}, "provided")
}
