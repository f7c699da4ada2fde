package runtime

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const talking = `
import logging, sys, threading
print("at import")
def handler(event, context):
    if event == "fail": raise ValueError("failed")
    print("printed", 1)
    print("two\nlines", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\n")
    logging.getLogger("own").warning("warned %s", "twice")
    context.logger.info("told")
    context.logger.debug("whispered")
    thread = threading.Thread(target=print, args=("from a thread",)); thread.start(); thread.join()
    print("unfinished", end="")
`

func TestLogsNameTheirEvent(t *testing.T) {
	f := start(t, talking)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f.sendEvent(t, `{}`, "Traceparent", traceparent)
	for message, want := range map[string][2]string{
		"printed 1":     {"INFO", "stdout"},
		"two":           {"WARNING", "stderr"},
		"lines":         {"WARNING", "stderr"},
		"bytes":         {"INFO", "stdout"},
		"warned twice":  {"WARNING", "own"},
		"told":          {"INFO", "function"},
		"from a thread": {"INFO", "stdout"},
		"unfinished":    {"INFO", "stdout"},
	} {
		line := f.logs.line(t, message)
		delete(line, "timestamp")
		want := map[string]any{"severity": want[0], "logger": want[1], "message": message, "event_id": "id-1", "event_type": "io.example.test", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
		if diff := cmp.Diff(want, line); diff != "" {
			t.Errorf("%s (-want, +got):\n%s", message, diff)
		}
	}
	if line := f.logs.line(t, "at import"); line["event_id"] != nil {
		t.Errorf("what was printed at import names an event: %v", line)
	}
	if strings.Contains(f.logs.String(), "whispered") {
		t.Error("a debug line came through at level info")
	}
	f.sendEvent(t, `"fail"`)
	line := f.logs.line(t, "ValueError: failed")
	if exception, _ := line["exception"].(string); line["severity"] != "ERROR" || line["event_id"] != "id-1" || !strings.Contains(exception, "main.py") {
		t.Errorf("the exception is logged as %v", line)
	}
	for text := range strings.Lines(f.logs.String()) {
		if !json.Valid([]byte(text)) {
			t.Errorf("the line %q is no JSON", text)
		}
	}
}

func TestLogLevel(t *testing.T) {
	f := start(t, talking, func(*settings) { t.Setenv("LAMBDA_LOG_LEVEL", "error") })
	f.sendEvent(t, `{}`)
	f.logs.line(t, "printed 1") // who prints wants to see it
	if text := f.logs.String(); strings.Contains(text, "told") || strings.Contains(text, "warned") {
		t.Errorf("lines below error came through:\n%s", text)
	}
}

func TestLogsAsText(t *testing.T) {
	f := start(t, talking, func(*settings) { t.Setenv("LAMBDA_LOG_FORMAT", "text") })
	f.sendEvent(t, `{}`)
	eventually(t, "the lines", func() bool {
		text := f.logs.String()
		return strings.Contains(text, "\nprinted 1\n") && strings.Contains(text, " WARNING own: warned twice\n")
	})
}

func TestFrontLogsAlike(t *testing.T) {
	var buf bytes.Buffer
	NewLogger(&Config{LogFormat: "json", LogLevel: "warning"}, &buf).Warn("careful", "k", "v")
	var line map[string]any
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["timestamp"] == nil {
		t.Errorf("%v has no timestamp", line)
	}
	delete(line, "timestamp")
	if diff := cmp.Diff(map[string]any{"severity": "WARNING", "message": "careful", "k": "v"}, line); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	buf.Reset()
	logger := NewLogger(&Config{LogFormat: "text", LogLevel: "warning"}, &buf)
	logger.Info("not this")
	logger.Log(t.Context(), slog.LevelError, "this")
	if got := buf.String(); strings.Contains(got, "not this") || !strings.Contains(got, "level=ERROR msg=this") {
		t.Errorf("the text is %s", got)
	}
}

// TestLogsWithoutTraceContext: lines name no trace where that is turned off.
func TestLogsWithoutTraceContext(t *testing.T) {
	f := start(t, talking, func(*settings) { t.Setenv("LAMBDA_LOG_TRACE_CONTEXT", "false") })
	f.sendEvent(t, `{}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	line := f.logs.line(t, "told")
	delete(line, "timestamp")
	if diff := cmp.Diff(map[string]any{"severity": "INFO", "logger": "function", "message": "told", "event_id": "id-1", "event_type": "io.example.test"}, line); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
}

// TestFrontNamesTheTrace: the runtime's own lines name the trace of their request, whether
// the runtime traces or not.
func TestFrontNamesTheTrace(t *testing.T) {
	untraced := &Telemetry{}
	ctx, span, _ := untraced.startSpan(t.Context(), time.Now(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	defer span.End()
	for _, tt := range []struct {
		name string
		cfg  Config
		want map[string]any
	}{
		{"on", Config{LogFormat: "json", LogTraceContext: true}, map[string]any{"severity": "INFO", "message": "m", "k": "v", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}},
		{"off", Config{LogFormat: "json"}, map[string]any{"severity": "INFO", "message": "m", "k": "v"}},
	} {
		var buf bytes.Buffer
		NewLogger(&tt.cfg, &buf).With("k", "v").InfoContext(ctx, "m")
		var line map[string]any
		if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		delete(line, "timestamp")
		if diff := cmp.Diff(tt.want, line); diff != "" {
			t.Errorf("%s (-want, +got):\n%s", tt.name, diff)
		}
	}
	if got, _, _ := untraced.startSpan(t.Context(), time.Now(), "", ""); got != t.Context() {
		t.Error("a request without a trace gets a context of its own")
	}
}
