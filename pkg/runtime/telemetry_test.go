package runtime

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// freePort finds a port that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func scrape(t *testing.T, port int) []string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func TestMetrics(t *testing.T) {
	port := freePort(t)
	f := launch(t, "import time\ntime.sleep(0.2)\n"+failing, func(s *settings) {
		s.MetricsPort, s.Workers = port, 1
		s.Config.Function, s.Config.Namespace = "f", "ns"
	})
	for range 3 {
		f.sendJSON(t, `{"what": "fine"}`) // the first of them a cold start
	}
	f.sendJSON(t, `{"what": "exception"}`)
	f.sendJSON(t, `{"what": "permanent"}`)
	f.sendJSON(t, `{bad`)
	lines := scrape(t, port)
	for _, want := range []string{
		`lambda_invocations_total{outcome="success"} 3`,
		`lambda_invocations_total{outcome="error"} 1`,
		`lambda_invocations_total{outcome="permanent"} 1`,
		`lambda_invocations_total{outcome="rejected"} 1`,
		`lambda_invocation_duration_seconds_count{outcome="success"} 3`,
		`lambda_cold_starts_total 1`,
		`lambda_worker_load_duration_seconds_count 1`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no metric %s", want)
		}
	}
	info := regexp.MustCompile(`^target_info\{.*service_name="f",service_namespace="ns".*\} 1$`)
	if !slices.ContainsFunc(lines, info.MatchString) {
		t.Errorf("nothing names the function in\n%s", strings.Join(lines, "\n"))
	}
}

func TestMetricsOfRestarts(t *testing.T) {
	port := freePort(t)
	f := start(t, slow, func(s *settings) { s.MetricsPort, s.Workers, s.Timeout = port, 1, 200*time.Millisecond })
	f.sendJSON(t, `{"what": "exit"}`)
	f.sendJSON(t, newGate(t).body())
	f.sendJSON(t, `{}`)
	lines := scrape(t, port)
	for _, want := range []string{`lambda_worker_restarts_total 2`, `lambda_invocations_total{outcome="worker_died"} 1`, `lambda_invocations_total{outcome="timeout"} 1`} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no metric %s in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

// TestColdStarts: whoever holds the first invocation back until the handler is loaded
// passes it on at once then.
func TestColdStarts(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		started, loaded time.Time
		ready           bool
		want            bool
	}{
		"before it is loaded":              {now, time.Time{}, false, true},
		"when it is loaded":                {now.Add(-time.Minute), now, true, true},
		"later":                            {now.Add(-time.Minute), now.Add(-2 * promptly), true, false},
		"when a program has started":       {now, time.Time{}, true, true},
		"later, a program":                 {now.Add(-2 * promptly), time.Time{}, true, false},
		"while all workers are being made": {now.Add(-time.Minute), now.Add(-2 * promptly), false, true},
	} {
		s := &Server{invoker: readiness(tt.ready), telemetry: &Telemetry{}, started: tt.started}
		if !tt.loaded.IsZero() {
			s.telemetry.loaded.Store(tt.loaded.UnixNano())
		}
		if got := s.awaited(); got != tt.want {
			t.Errorf("%s: awaited() = %v, want %v", name, got, tt.want)
		}
	}
}

// readiness is an invoker that is ready or not.
type readiness bool

func (r readiness) Ready() bool                                        { return bool(r) }
func (readiness) Invoke(context.Context, *Invocation) (*Result, error) { return &Result{}, nil }

func TestMetricsPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = StartTelemetry(t.Context(), &Config{MetricsPort: l.Addr().(*net.TCPAddr).Port}, lookup())
	if err == nil || !strings.Contains(err.Error(), "LAMBDA_METRICS_PORT chooses another port") {
		t.Errorf("failed with %v", err)
	}
}

func TestTracesContinue(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	var mu sync.Mutex
	var exported bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/traces" {
			_, _ = exported.ReadFrom(r.Body)
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	f := start(t, "def handler(event, context):\n    return context.traceparent\n")
	for name, headers := range map[string][]string{
		"HTTP header":     {"Traceparent", "00-" + trace + "-b7ad6b7169203331-01"},
		"event extension": {"Ce-Traceparent", "00-" + trace + "-b7ad6b7169203331-01"},
	} {
		got := string(f.sendEvent(t, ``, headers...).body)
		if !strings.HasPrefix(got, `"00-`+trace+`-`) || strings.Contains(got, "b7ad6b7169203331") {
			t.Errorf("%s: the handler's traceparent is %s, expected the same trace and a span of its own", name, got)
		}
	}
	id := []byte{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}
	eventually(t, "the spans", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Contains(exported.Bytes(), id) && bytes.Contains(exported.Bytes(), []byte("io.example.test"))
	})
}

func TestLinkedHandler(t *testing.T) {
	telemetry, err := StartTelemetry(t.Context(), &Config{}, lookup())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{MaxBody: 1024, DrainTimeout: time.Second, EventSource: "/linked"}
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, cfg, NewServer(cfg, linked{}, telemetry), listener) }()
	f := &function{Server: &httptest.Server{URL: "http://" + listener.Addr().String()}}
	if got := f.sendEvent(t, `"Ada"`); string(got.body) != `"Ada" of io.example.test` || got.header.Get("Ce-Source") != "/linked" {
		t.Errorf("answered %d %s %v", got.status, got.body, got.header)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("the end is %v", err)
	}
}

// linked is a handler in the program itself.
type linked struct{}

func (linked) Ready() bool { return true }

func (linked) Invoke(_ context.Context, in *Invocation) (*Result, error) {
	return &Result{ContentType: "text/plain", Body: []byte(string(in.Body) + " of " + in.Event["type"].(string))}, nil
}
