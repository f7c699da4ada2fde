package runtime

import (
	"io"
	"log/slog"
)

// NewLogger logs as functions do: JSON lines with timestamp, severity and
// message, or text.
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
	return slog.New(slog.NewJSONHandler(w, options))
}
