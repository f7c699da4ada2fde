// Package runtime is the lambda runtime: an HTTP server that speaks CloudEvents
// in front of an Invoker, which is either a Pool of worker processes of the
// function's language or a handler that is linked into the program.
package runtime

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// Config of the front. Each field is an environment variable, see
// ConfigFromEnv.
type Config struct {
	Port         int
	MetricsPort  int // 0 turns metrics off
	DrainTimeout time.Duration
	MaxBody      int    // longest request or reply, in bytes
	Function     string // its name, for telemetry
	Namespace    string
	EventSource  string // source of the events that the function emits
	ErrorStack   bool   // whether error bodies carry stack traces
	ReplySink    string // URL that gets the replies to events, instead of the sender
	ResponseSink string // URL that gets the events of failed invocations
	CallsURL     string // URL that stores asynchronous calls of the function
	LogLevel     string
	LogFormat    string
	// Exemplars adds traces to the histograms that are scraped as OpenMetrics.
	Exemplars bool
	// LogTraceContext puts the trace and the span of an invocation on its log lines.
	LogTraceContext bool
	CORS            *config.CORS // nil: no pages of other origins
	// HTTPEvent is what handlers get for a plain request: config.HTTPEventDecoded or
	// config.HTTPEventAWS.
	HTTPEvent string
}

// PoolConfig says which handler worker processes load and how they are used.
// Each field is an environment variable, see PoolConfigFromEnv.
type PoolConfig struct {
	Handler      string
	TaskRoot     string // the folder of the function's code
	Command      []string
	Protocol     string // that the workers speak
	Function     string // its name
	Namespace    string
	Workers      int
	Concurrency  int           // calls that may be open at once
	Exclusive    bool          // a worker has one call at a time
	Queue        int           // requests that may wait for a worker
	Timeout      time.Duration // of one invocation
	StartTimeout time.Duration // for loading the handler
	MaxBody      int           // longest reply, in bytes
}

// Protocols that workers may speak.
const (
	ProtocolFrames  = config.ProtocolFrames
	ProtocolFrames2 = config.ProtocolFrames2
	ProtocolAWS     = config.ProtocolAWS
)

// maxConnections of all workers of protocol 2 together, as long as they can have as
// many calls as there may be.
const maxConnections = 2048

// Slots of one worker: as many as there may be calls, so that the first worker can have
// all while others are started, unless that makes too many. Programs for AWS Lambda have
// their share, as some start a process for each.
func (c *PoolConfig) Slots() int {
	if c.Exclusive {
		return 1
	}
	share := (c.Concurrency + c.Workers - 1) / c.Workers
	if c.Protocol == ProtocolAWS {
		return share
	}
	return min(c.Concurrency, max(share, maxConnections/c.Workers))
}

// ConfigFromEnv reads the front's configuration. The error names every variable
// that is wrong and what would be right.
func ConfigFromEnv(getenv func(string) string) (*Config, error) {
	e := env{get: getenv}
	cfg := &Config{
		Port:         e.number("PORT", 8080, 1, 65535),
		MetricsPort:  e.number("LAMBDA_METRICS_PORT", 9464, 0, 65535),
		DrainTimeout: e.drainTimeout(),
		MaxBody:      e.maxBody(),
		Function:     e.text("LAMBDA_FUNCTION_NAME", "function"),
		Namespace:    e.text("LAMBDA_FUNCTION_NAMESPACE", ""),
		EventSource:  e.text("LAMBDA_EVENT_SOURCE", "io.knative.lambda/function"),
		ErrorStack:   e.boolean("LAMBDA_ERROR_STACK", false),
		ReplySink:    e.url("LAMBDA_REPLY_SINK"),
		ResponseSink: e.url("LAMBDA_RESPONSE_SINK"),
		CallsURL:     e.url("LAMBDA_CALLS_URL"),
		LogLevel:     e.oneOf("LAMBDA_LOG_LEVEL", "info", "debug", "warning", "error"),
		LogFormat:    e.oneOf("LAMBDA_LOG_FORMAT", "json", "text"),

		Exemplars:       e.boolean("LAMBDA_METRICS_EXEMPLARS", false),
		LogTraceContext: e.boolean("LAMBDA_LOG_TRACE_CONTEXT", true),
		CORS:            e.cors(),
		HTTPEvent:       e.oneOf(config.EnvHTTPEvent, config.HTTPEventDecoded, config.HTTPEventAWS),
	}
	if !e.boolean("LAMBDA_METRICS", true) {
		cfg.MetricsPort = 0
	}
	if cfg.MetricsPort == cfg.Port {
		e.fail("LAMBDA_METRICS_PORT: %d is PORT already; expected another port", cfg.Port)
	}
	return cfg, e.err()
}

// PoolConfigFromEnv reads the configuration of worker processes. The error names
// every variable that is wrong and what would be right.
func PoolConfigFromEnv(getenv func(string) string) (*PoolConfig, error) {
	e := env{get: getenv}
	cfg := &PoolConfig{
		Handler:      e.text("LAMBDA_HANDLER", ""),
		TaskRoot:     e.text("LAMBDA_TASK_ROOT", "/lambda/function"),
		Protocol:     e.oneOf("LAMBDA_WORKER_PROTOCOL", ProtocolFrames, ProtocolFrames2, ProtocolAWS),
		Function:     e.text("LAMBDA_FUNCTION_NAME", "function"),
		Namespace:    e.text("LAMBDA_FUNCTION_NAMESPACE", ""),
		Timeout:      e.timeout(),
		StartTimeout: e.duration("LAMBDA_START_TIMEOUT", 2*time.Minute),
		MaxBody:      e.maxBody(),
	}
	if cfg.Handler == "" {
		e.fail("LAMBDA_HANDLER: missing; expected a handler such as main.handler")
	}
	e.concurrency(cfg)
	e.oneOf(config.EnvInterface, config.Interfaces()...) // which workers read themselves
	command := getenv("LAMBDA_WORKER_COMMAND")
	if err := json.Unmarshal([]byte(command), &cfg.Command); err != nil || len(cfg.Command) == 0 || cfg.Command[0] == "" {
		e.fail(`LAMBDA_WORKER_COMMAND: expected a JSON array such as ["python3","/lambda/worker/worker.py"], got %q`, command)
	}
	return cfg, e.err()
}

// isolations that workers may have, by their protocol; the first is the default.
func isolations(protocol string) []string {
	switch protocol {
	case ProtocolFrames2:
		return []string{config.IsolationShared, config.IsolationExclusive}
	case ProtocolAWS: // programs expect one call at a time
		return []string{config.IsolationExclusive, config.IsolationShared}
	}
	return []string{config.IsolationExclusive}
}

// concurrency reads how many workers and calls there may be.
func (e *env) concurrency(cfg *PoolConfig) {
	cfg.Exclusive = e.oneOf(config.EnvIsolation, isolations(cfg.Protocol)...) == config.IsolationExclusive
	workers := e.optional(config.EnvWorkers, config.MaxWorkers)
	if cfg.Exclusive {
		concurrency := e.optional(config.EnvConcurrency, config.MaxWorkers)
		if workers > 0 && concurrency > 0 && workers != concurrency {
			e.fail("%s: expected %d, as %s has: with %s=%s each worker has one call, got \"%d\"",
				config.EnvConcurrency, workers, config.EnvWorkers, config.EnvIsolation, config.IsolationExclusive, concurrency)
		}
		cfg.Workers = cmp.Or(workers, concurrency, computedWorkers())
		cfg.Concurrency = cfg.Workers
	} else {
		cfg.Concurrency = e.number(config.EnvConcurrency, config.DefaultConcurrency, 1, config.MaxConcurrency)
		cfg.Workers = cmp.Or(workers, min(computedWorkers(), cfg.Concurrency))
	}
	cfg.Queue = cfg.Concurrency
	if cfg.Protocol == ProtocolFrames {
		cfg.Queue = e.number("LAMBDA_QUEUE", 1000, 0, 1_000_000)
	}
}

// LimitsFromEnv are those of a handler that is linked into the program.
func LimitsFromEnv(getenv func(string) string) (Limits, error) {
	e := env{get: getenv}
	l := Limits{Timeout: e.timeout(), Concurrency: e.number(config.EnvConcurrency, config.DefaultConcurrency, 1, config.MaxConcurrency)}
	return l, e.err()
}

// env reads variables and collects what is wrong with them.
type env struct {
	get  func(string) string
	errs []error
}

func (e *env) fail(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

func (e *env) err() error { return errors.Join(e.errs...) }

func (e *env) text(key, fallback string) string {
	if v := e.get(key); v != "" {
		return v
	}
	return fallback
}

func (e *env) number(key string, fallback, least, most int) int {
	text := e.text(key, strconv.Itoa(fallback))
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		e.fail("%s: expected a whole number from %d to %d, got %q", key, least, most, text)
	}
	return n
}

// optional reads a number from 1 to most; it is 0 where there is none.
func (e *env) optional(key string, most int) int {
	if e.get(key) == "" {
		return 0
	}
	return e.number(key, 0, 1, most)
}

// timeout is a little less than Knative's of 300 s, which ends a stream as if it were
// whole.
func (e *env) timeout() time.Duration { return e.duration(config.EnvTimeout, config.DefaultTimeout) }

// drainTimeout lets each call end that has begun.
func (e *env) drainTimeout() time.Duration {
	if e.get(config.EnvDrainTimeout) == "" {
		return e.timeout()
	}
	return e.duration(config.EnvDrainTimeout, 0)
}

func (e *env) maxBody() int {
	return e.number(config.EnvMaxBody, config.DefaultMaxBody, config.MinMaxBody, config.MaxMaxBody)
}

func (e *env) duration(key string, fallback time.Duration) time.Duration {
	text := e.text(key, fallback.String())
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		e.fail("%s: expected a duration above zero such as 30s, got %q", key, text)
	}
	return d
}

func (e *env) boolean(key string, fallback bool) bool {
	text := e.text(key, strconv.FormatBool(fallback))
	b, err := strconv.ParseBool(text)
	if err != nil {
		e.fail("%s: expected true or false, got %q", key, text)
	}
	return b
}

// oneOf reads one of the choices; the first is the default.
func (e *env) oneOf(key string, choices ...string) string {
	text := e.text(key, choices[0])
	if !slices.Contains(choices, text) {
		e.fail("%s: expected one of %s, got %q", key, strings.Join(choices, ", "), text)
	}
	return text
}

// cors reads a configuration of CORS that may be missing.
func (e *env) cors() *config.CORS {
	c, err := config.ParseCORS(e.get(config.EnvCORS))
	if err != nil {
		e.fail("%s: %w", config.EnvCORS, err)
	}
	return c
}

// url reads an absolute URL that may be missing.
func (e *env) url(key string) string {
	text := e.get(key)
	if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		e.fail("%s: expected a URL such as http://broker.example.svc/, got %q", key, text)
	}
	return text
}
