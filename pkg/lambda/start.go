package lambda

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// Start serves a handler of one of the package's shapes and does not return. The
// program that is made for a function calls it.
func Start(handler any) {
	runtime.Main(func(cfg *runtime.Config, _ *runtime.Telemetry) (runtime.Invoker, error) {
		limits, err := runtime.LimitsFromEnv(os.Getenv)
		if err != nil {
			return nil, err
		}
		tuneCollector()
		base := runtime.NewLogger(cfg, os.Stderr)
		logger := slog.New(contextHandler{base.With("logger", "function").Handler()})
		slog.SetDefault(logger)
		if cfg.LogFormat == "json" {
			if err := takeOverStreams(base); err != nil {
				return nil, err
			}
		}
		invoker, err := NewInvoker(handler, limits, cfg.Function, cfg.Namespace, logger)
		if err != nil {
			return nil, err
		}
		invoker.untraced = !cfg.LogTraceContext
		return invoker, nil
	})
}

// contextHandler names the event of the context on lines that are logged with
// one, such as by slog.InfoContext.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, record slog.Record) error {
	if c, ok := ctx.Value(contextKey{}).(*Context); ok {
		record = record.Clone()
		record.Add(c.logAttributes()...)
		ctx = context.Background() // whose trace they name already
	}
	return h.Handler.Handle(ctx, record)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}

// logAttributes are what names the event on a line of the log.
func (c *Context) logAttributes() (attributes []any) {
	if c.ID != "" {
		attributes = append(attributes, "event_id", c.ID, "event_type", c.Type)
	}
	if id := c.TraceID(); id != "" && !c.untraced {
		attributes = append(attributes, "trace_id", id, "span_id", c.SpanID())
	}
	return attributes
}

// takeOverStreams makes what is printed lines of the log, whatever its level. They
// cannot name their event: many invocations share the streams.
func takeOverStreams(logger *slog.Logger) error {
	for _, stream := range []struct {
		file  **os.File
		name  string
		level slog.Level
	}{{&os.Stdout, "stdout", slog.LevelInfo}, {&os.Stderr, "stderr", slog.LevelWarn}} {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		*stream.file = w
		go logLines(r, logger.With("logger", stream.name).Handler(), stream.level)
	}
	return nil
}

func logLines(r io.Reader, handler slog.Handler, level slog.Level) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			_ = handler.Handle(context.Background(), slog.NewRecord(time.Now(), level, line, 0)) // nobody could be told
		}
		if err != nil {
			return
		}
	}
}
