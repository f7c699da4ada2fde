package runtime

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger logs as functions do: JSON lines with timestamp, severity and
// message, or text. Lines in JSON that are logged with a context name its trace.
func NewLogger(cfg *Config, w io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "warning": slog.LevelWarn, "error": slog.LevelError}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: levels[cfg.LogLevel]}))
	}
	keys := map[string]string{slog.TimeKey: "timestamp", slog.LevelKey: "severity", slog.MessageKey: "message"}
	options := &slog.HandlerOptions{Level: levels[cfg.LogLevel], ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if level, ok := a.Value.Any().(slog.Level); ok && level == slog.LevelWarn {
			a.Value = slog.StringValue("WARNING") // as the workers call it
		}
		if key, ok := keys[a.Key]; ok && len(groups) == 0 {
			a.Key = key
		}
		return a
	}}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if cfg.LogTraceContext {
		handler = traceHandler{handler}
	}
	return slog.New(handler)
}

// traceHandler puts the trace and the span of the context on lines that are logged
// with one.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record = record.Clone()
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
