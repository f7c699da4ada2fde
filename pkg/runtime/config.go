// Package runtime is the lambda runtime: an HTTP server that speaks CloudEvents
// in front of a handler, which worker processes of the function's language or a
// linked Invoker call.
package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"strconv"
	"time"
)

// Config of a runtime; each field is an environment variable, see
// ConfigFromEnv.
type Config struct {
	Port          int
	MetricsPort   int // 0 turns metrics off
	Handler       string
	TaskRoot      string
	WorkerCommand []string
	Workers       int
	Queue         int // requests that may wait for a worker
	Timeout       time.Duration
	StartTimeout  time.Duration
	DrainTimeout  time.Duration
	MaxBody       int // bytes
	EventSource   string
	ErrorStack    bool
	LogLevel      string
	LogFormat     string
}

// ConfigFromEnv reads the configuration. The error names every variable that is
// wrong and what would be right.
func ConfigFromEnv(getenv func(string) string) (*Config, error) {
	var errs []error
	text := func(key, fallback string) string {
		if v := getenv(key); v != "" {
			return v
		}
		return fallback
	}
	number := func(key string, fallback, least, most int) int {
		n, err := strconv.Atoi(text(key, strconv.Itoa(fallback)))
		if err != nil || n < least || n > most {
			errs = append(errs, fmt.Errorf("%s: expected a whole number from %d to %d, got %q", key, least, most, getenv(key)))
		}
		return n
	}
	duration := func(key string, fallback time.Duration) time.Duration {
		d, err := time.ParseDuration(text(key, fallback.String()))
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("%s: expected a duration such as 30s, got %q", key, getenv(key)))
		}
		return d
	}
	workers := max(2, goruntime.GOMAXPROCS(0))
	cfg := &Config{
		Port:         number("PORT", 8080, 1, 65535),
		MetricsPort:  number("LAMBDA_METRICS_PORT", 9464, 0, 65535),
		Handler:      getenv("LAMBDA_HANDLER"),
		TaskRoot:     text("LAMBDA_TASK_ROOT", "/lambda/function"),
		Workers:      number("LAMBDA_WORKERS", workers, 1, 1000),
		Queue:        number("LAMBDA_QUEUE", 1000, 0, 1_000_000),
		Timeout:      duration("LAMBDA_TIMEOUT", 5*time.Minute),
		StartTimeout: duration("LAMBDA_START_TIMEOUT", 2*time.Minute),
		DrainTimeout: duration("LAMBDA_DRAIN_TIMEOUT", 25*time.Second),
		MaxBody:      number("LAMBDA_MAX_BODY", 16<<20, 1024, 1<<30),
		EventSource:  text("LAMBDA_EVENT_SOURCE", "io.knative.lambda/function"),
		ErrorStack:   getenv("LAMBDA_ERROR_STACK") == "true",
		LogLevel:     text("LAMBDA_LOG_LEVEL", "info"),
		LogFormat:    text("LAMBDA_LOG_FORMAT", "json"),
	}
	if cfg.Handler == "" {
		errs = append(errs, errors.New("LAMBDA_HANDLER: missing; expected a handler such as main.handler"))
	}
	if err := json.Unmarshal([]byte(getenv("LAMBDA_WORKER_COMMAND")), &cfg.WorkerCommand); err != nil || len(cfg.WorkerCommand) == 0 {
		errs = append(errs, fmt.Errorf(`LAMBDA_WORKER_COMMAND: expected a JSON array such as ["python3","worker.py"], got %q`, getenv("LAMBDA_WORKER_COMMAND")))
	}
	return cfg, errors.Join(errs...)
}
