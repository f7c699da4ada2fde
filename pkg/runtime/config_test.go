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
	defaults := Config{Port: 8080, MetricsPort: 9464, DrainTimeout: 25 * time.Second, MaxBody: 16 << 20, Function: "function",
		EventSource: "io.knative.lambda/function", LogLevel: "info", LogFormat: "json", LogTraceContext: true}
	got, err := ConfigFromEnv(lookup())
	if diff := cmp.Diff(&defaults, got); err != nil || diff != "" {
		t.Errorf("%v (-want, +got):\n%s", err, diff)
	}
	got, err = ConfigFromEnv(lookup("PORT=9464", "LAMBDA_METRICS=false", "LAMBDA_DRAIN_TIMEOUT=1m", "LAMBDA_MAX_BODY=2048", "LAMBDA_FUNCTION_NAME=f",
		"LAMBDA_FUNCTION_NAMESPACE=ns", "LAMBDA_EVENT_SOURCE=/s", "LAMBDA_ERROR_STACK=true", "LAMBDA_LOG_LEVEL=debug", "LAMBDA_LOG_FORMAT=text", "LAMBDA_LOG_TRACE_CONTEXT=false", "LAMBDA_METRICS_EXEMPLARS=true", `LAMBDA_HTTP_CORS={"allowOrigins":["*"]}`))
	want := Config{Port: 9464, DrainTimeout: time.Minute, MaxBody: 2048, Function: "f", Namespace: "ns", EventSource: "/s", ErrorStack: true, LogLevel: "debug", LogFormat: "text", Exemplars: true, CORS: &config.CORS{AllowOrigins: []string{"*"}}}
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
		"LAMBDA_LOG_FORMAT=xml":                   `LAMBDA_LOG_FORMAT: expected one of json, text, got "xml"`,
	} {
		if _, err := ConfigFromEnv(lookup(environment)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, expected %s", environment, err, want)
		}
	}
}

func TestPoolConfigFromEnv(t *testing.T) {
	got, err := PoolConfigFromEnv(lookup("LAMBDA_HANDLER=main.handler", `LAMBDA_WORKER_COMMAND=["python3","-u","w.py"]`, "LAMBDA_WORKERS=3", "LAMBDA_TIMEOUT=10s"))
	want := PoolConfig{Protocol: "frames", Function: "function", Handler: "main.handler", TaskRoot: "/lambda/function", Command: []string{"python3", "-u", "w.py"}, Workers: 3, Queue: 1000,
		Timeout: 10 * time.Second, StartTimeout: 2 * time.Minute, MaxBody: 16 << 20}
	if diff := cmp.Diff(&want, got); err != nil || diff != "" {
		t.Errorf("%v (-want, +got):\n%s", err, diff)
	}
	_, err = PoolConfigFromEnv(lookup("LAMBDA_WORKERS=0", "LAMBDA_TIMEOUT=-1s", "LAMBDA_WORKER_COMMAND=python3"))
	const problems = `LAMBDA_WORKERS: expected a whole number from 1 to 1000, got "0"
LAMBDA_TIMEOUT: expected a duration above zero such as 30s, got "-1s"
LAMBDA_HANDLER: missing; expected a handler such as main.handler
LAMBDA_WORKER_COMMAND: expected a JSON array such as ["python3","/lambda/worker/worker.py"], got "python3"`
	if err == nil || err.Error() != problems {
		t.Errorf("failed with\n%v\nexpected\n%s", err, problems)
	}
	if got, err := PoolConfigFromEnv(lookup("LAMBDA_HANDLER=h.h", `LAMBDA_WORKER_COMMAND=["w"]`)); err != nil || got.Workers < 2 {
		t.Errorf("%v, %v, expected at least 2 workers", got, err)
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
		"LAMBDA_ISOLATION=alone":  `LAMBDA_ISOLATION: expected one of shared, exclusive, got "alone"`,
	} {
		if _, err := PoolConfigFromEnv(lookup(append(base, environment)...)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", environment, err, want)
		}
	}
	for concurrency, slots := range map[int]int{1: 1, 1000: 1000} {
		if got := (&PoolConfig{Workers: 2, Concurrency: concurrency}).Slots(); got != slots {
			t.Errorf("%d slots for %d calls in 2 workers, want %d", got, concurrency, slots)
		}
	}
	if got := (&PoolConfig{Workers: 8, Concurrency: 1000}).Slots(); got != 256 {
		t.Errorf("%d slots for 1000 calls in 8 workers, want 256", got)
	}
}
