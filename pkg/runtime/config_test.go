package runtime

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

func lookup(environment ...string) func(string) string {
	m := map[string]string{}
	for _, e := range environment {
		k, v, _ := strings.Cut(e, "=")
		m[k] = v
	}
	return func(key string) string { return m[key] }
}

func TestConfigFromEnv(t *testing.T) {
	defaults := Config{Port: 8080, MetricsPort: 9464, DrainTimeout: 295 * time.Second, MaxBody: 16 << 20, Function: "function",
		EventSource: "io.knative.lambda/function", LogLevel: "info", LogFormat: "json", LogTraceContext: true, HTTPEvent: "decoded"}
	got, err := ConfigFromEnv(lookup())
	if diff := cmp.Diff(&defaults, got); err != nil || diff != "" {
		t.Errorf("%v (-want, +got):\n%s", err, diff)
	}
	got, err = ConfigFromEnv(lookup("PORT=9464", "LAMBDA_METRICS=false", "LAMBDA_DRAIN_TIMEOUT=1m", "LAMBDA_MAX_BODY=2048", "LAMBDA_FUNCTION_NAME=f",
		"LAMBDA_FUNCTION_NAMESPACE=ns", "LAMBDA_EVENT_SOURCE=/s", "LAMBDA_ERROR_STACK=true", "LAMBDA_LOG_LEVEL=debug", "LAMBDA_LOG_FORMAT=text", "LAMBDA_LOG_TRACE_CONTEXT=false", "LAMBDA_METRICS_EXEMPLARS=true", `LAMBDA_HTTP_CORS={"allowOrigins":["*"]}`, "LAMBDA_HTTP_EVENT=aws-v2"))
	want := Config{Port: 9464, DrainTimeout: time.Minute, MaxBody: 2048, Function: "f", Namespace: "ns", EventSource: "/s", ErrorStack: true, LogLevel: "debug", LogFormat: "text", Exemplars: true, CORS: &config.CORS{AllowOrigins: []string{"*"}}, HTTPEvent: "aws-v2"}
	if diff := cmp.Diff(&want, got); err != nil || diff != "" {
		t.Errorf("%v (-want, +got):\n%s", err, diff)
	}
}

func TestMetricsCanBeOff(t *testing.T) {
	for _, environment := range []string{"LAMBDA_METRICS=false", "LAMBDA_METRICS_PORT=0"} {
		if got, err := ConfigFromEnv(lookup(environment)); err != nil || got.MetricsPort != 0 {
			t.Errorf("%s: %+v, %v", environment, got, err)
		}
	}
}

func TestConfigFromEnvRefuses(t *testing.T) {
	for environment, want := range map[string]string{
		"PORT=0":                                  `PORT: expected a whole number from 1 to 65535, got "0"`,
		"PORT=9464":                               `LAMBDA_METRICS_PORT: 9464 is PORT already; expected another port`,
		"LAMBDA_METRICS_PORT=x":                   `LAMBDA_METRICS_PORT: expected a whole number from 0 to 65535, got "x"`,
		"LAMBDA_METRICS=maybe":                    `LAMBDA_METRICS: expected true or false, got "maybe"`,
		"LAMBDA_DRAIN_TIMEOUT=25":                 `LAMBDA_DRAIN_TIMEOUT: expected a duration above zero such as 30s, got "25"`,
		"LAMBDA_MAX_BODY=1":                       `LAMBDA_MAX_BODY: expected a whole number from 1024 to 1073741824, got "1"`,
		"LAMBDA_ERROR_STACK=always":               `LAMBDA_ERROR_STACK: expected true or false, got "always"`,
		"LAMBDA_LOG_LEVEL=warn":                   `LAMBDA_LOG_LEVEL: expected one of info, debug, warning, error, got "warn"`,
		`LAMBDA_HTTP_CORS={"allowOrigins":["a"]}`: `LAMBDA_HTTP_CORS: allowOrigins[0]: expected an origin such as https://app.example.com or http://localhost:3000, "*.example.com" or "*", got "a"`,
		"LAMBDA_TIMEOUT=0s":                       "LAMBDA_TIMEOUT: expected a duration above zero such as 30s, got \"0s\"",
		"LAMBDA_HTTP_EVENT=v1":                    `LAMBDA_HTTP_EVENT: expected one of decoded, aws-v2, got "v1"`,
		"LAMBDA_LOG_FORMAT=xml":                   `LAMBDA_LOG_FORMAT: expected one of json, text, got "xml"`,
	} {
		if _, err := ConfigFromEnv(lookup(environment)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, expected %s", environment, err, want)
		}
	}
}

func TestPoolConfigFromEnv(t *testing.T) {
	got, err := PoolConfigFromEnv(lookup("LAMBDA_HANDLER=main.handler", `LAMBDA_WORKER_COMMAND=["python3","-u","w.py"]`, "LAMBDA_WORKERS=3", "LAMBDA_TIMEOUT=10s"))
	want := PoolConfig{Protocol: "frames", Function: "function", Handler: "main.handler", TaskRoot: "/lambda/function", Command: []string{"python3", "-u", "w.py"}, Workers: 3, Concurrency: 3, Exclusive: true, Queue: 1000,
		Timeout: 10 * time.Second, StartTimeout: 2 * time.Minute, MaxBody: 16 << 20}
	if diff := cmp.Diff(&want, got); err != nil || diff != "" {
		t.Errorf("%v (-want, +got):\n%s", err, diff)
	}
	_, err = PoolConfigFromEnv(lookup("LAMBDA_WORKERS=0", "LAMBDA_TIMEOUT=-1s", "LAMBDA_WORKER_COMMAND=python3"))
	const problems = `LAMBDA_TIMEOUT: expected a duration above zero such as 30s, got "-1s"
LAMBDA_HANDLER: missing; expected a handler such as main.handler
LAMBDA_WORKERS: expected a whole number from 1 to 64, got "0"
LAMBDA_WORKER_COMMAND: expected a JSON array such as ["python3","/lambda/worker/worker.py"], got "python3"`
	if err == nil || err.Error() != problems {
		t.Errorf("failed with\n%v\nexpected\n%s", err, problems)
	}
}

// TestDefaults: the drain lasts as long as a call, and there are workers for the CPUs.
func TestDefaults(t *testing.T) {
	cfg, err := ConfigFromEnv(lookup("LAMBDA_TIMEOUT=7s"))
	if err != nil || cfg.DrainTimeout != 7*time.Second {
		t.Errorf("the drain lasts %v, %v, want 7s", cfg.DrainTimeout, err)
	}
	for _, tt := range []struct {
		environment          []string
		workers, concurrency int
		exclusive            bool
	}{
		{nil, computedWorkers(), computedWorkers(), true},
		{[]string{"LAMBDA_WORKER_PROTOCOL=frames-2"}, computedWorkers(), 100, false},
		{[]string{"LAMBDA_WORKER_PROTOCOL=frames-2", "LAMBDA_CONCURRENCY=1"}, 1, 1, false},
		{[]string{"LAMBDA_WORKER_PROTOCOL=frames-2", "LAMBDA_ISOLATION=exclusive", "LAMBDA_CONCURRENCY=5"}, 5, 5, true},
		{[]string{"LAMBDA_WORKER_PROTOCOL=aws-lambda"}, computedWorkers(), computedWorkers(), true},
		{[]string{"LAMBDA_WORKER_PROTOCOL=aws-lambda", "LAMBDA_ISOLATION=shared", "LAMBDA_WORKERS=2"}, 2, 100, false},
	} {
		got, err := PoolConfigFromEnv(lookup(append(tt.environment, "LAMBDA_HANDLER=h.h", `LAMBDA_WORKER_COMMAND=["w"]`)...))
		if err != nil || got.Workers != tt.workers || got.Concurrency != tt.concurrency || got.Exclusive != tt.exclusive {
			t.Errorf("%v: %+v, %v, want %d workers and %d calls, exclusive %t", tt.environment, got, err, tt.workers, tt.concurrency, tt.exclusive)
		}
	}
}

func TestPoolConfigOfManyCalls(t *testing.T) {
	base := []string{"LAMBDA_HANDLER=h", `LAMBDA_WORKER_COMMAND=["w"]`, "LAMBDA_WORKER_PROTOCOL=frames-2", "LAMBDA_WORKERS=2"}
	for _, tt := range []struct {
		environment string
		want        PoolConfig // what depends on it
		slots       int
	}{
		{"", PoolConfig{Workers: 2, Concurrency: 100, Queue: 100}, 100},
		{"LAMBDA_CONCURRENCY=7", PoolConfig{Workers: 2, Concurrency: 7, Queue: 7}, 7},
		{"LAMBDA_WORKERS=64", PoolConfig{Workers: 64, Concurrency: 100, Queue: 100}, 32},
		{"LAMBDA_ISOLATION=exclusive", PoolConfig{Workers: 2, Concurrency: 2, Queue: 2, Exclusive: true}, 1},
	} {
		got, err := PoolConfigFromEnv(lookup(append(base, tt.environment)...))
		if err != nil {
			t.Errorf("%s: %v", tt.environment, err)
			continue
		}
		if have := (PoolConfig{Workers: got.Workers, Concurrency: got.Concurrency, Queue: got.Queue, Exclusive: got.Exclusive}); !cmp.Equal(tt.want, have) || got.Slots() != tt.slots {
			t.Errorf("%s: %+v with %d slots, want %+v with %d", tt.environment, have, got.Slots(), tt.want, tt.slots)
		}
	}
	for environment, want := range map[string]string{
		"LAMBDA_CONCURRENCY=1001": `LAMBDA_CONCURRENCY: expected a whole number from 1 to 1000, got "1001"`,
		"LAMBDA_WORKERS=65":       `LAMBDA_WORKERS: expected a whole number from 1 to 64, got "65"`,
		"LAMBDA_INTERFACE=cgi":    `LAMBDA_INTERFACE: expected one of auto, handler, asgi, wsgi, listener, fetch, got "cgi"`,
		"LAMBDA_ISOLATION=alone":  `LAMBDA_ISOLATION: expected one of shared, exclusive, got "alone"`,
	} {
		if _, err := PoolConfigFromEnv(lookup(append(base, environment)...)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", environment, err, want)
		}
	}
	_, err := PoolConfigFromEnv(lookup(append(base, "LAMBDA_ISOLATION=exclusive", "LAMBDA_CONCURRENCY=3")...))
	if want := `LAMBDA_CONCURRENCY: expected 2, as LAMBDA_WORKERS has: with LAMBDA_ISOLATION=exclusive each worker has one call, got "3"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	for concurrency, slots := range map[int]int{1: 1, 1000: 1000} {
		if got := (&PoolConfig{Workers: 2, Concurrency: concurrency}).Slots(); got != slots {
			t.Errorf("%d slots for %d calls in 2 workers, want %d", got, concurrency, slots)
		}
	}
	if got := (&PoolConfig{Protocol: ProtocolAWS, Workers: 8, Concurrency: 100}).Slots(); got != 13 {
		t.Errorf("%d slots for 100 calls in 8 programs for AWS Lambda, want 13", got)
	}
	if got := (&PoolConfig{Workers: 8, Concurrency: 1000}).Slots(); got != 256 {
		t.Errorf("%d slots for 1000 calls in 8 workers, want 256", got)
	}
}
