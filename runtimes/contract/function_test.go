// Package contract tests what users rely on in every language: the same
// requests against the same handler, written in each of them.
package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const patience = 20 * time.Second

// settings of a function under test.
type settings struct {
	runtime.Config
	language  *language
	timeout   time.Duration
	telemetry *runtime.Telemetry
}

// function is a running function.
type function struct {
	*httptest.Server
	language *language
	logs     *logs
}

// each runs a test for every language but those that have no such thing.
func each(t *testing.T, test func(t *testing.T, l *language), without ...string) {
	t.Helper()
	for _, l := range languages {
		if slices.Contains(without, l.name) {
			continue
		}
		t.Run(l.name, func(t *testing.T) { test(t, l) })
	}
}

// start runs the language's handler behind the real front.
func start(t *testing.T, l *language, change ...func(*settings)) *function {
	t.Helper()
	t.Setenv("LAMBDA_FUNCTION_NAME", "f")
	t.Setenv("LAMBDA_FUNCTION_NAMESPACE", "ns")
	s := &settings{language: l, timeout: patience, Config: runtime.Config{MaxBody: 1 << 20, EventSource: "io.knative.lambda/function/ns/f", Function: "f", Namespace: "ns", LogFormat: "json"}}
	for _, c := range change {
		c(s)
	}
	var err error
	if s.telemetry, err = runtime.StartTelemetry(t.Context(), &s.Config, os.Getenv); err != nil {
		t.Fatal(err)
	}
	f := &function{language: l, logs: &logs{}}
	invoker := l.invoker(t, s, f.logs)
	f.Server = httptest.NewServer(runtime.NewServer(&s.Config, invoker, s.telemetry))
	t.Cleanup(func() {
		f.Close()
		s.telemetry.Shutdown()
		if t.Failed() {
			t.Log(f.logs.String())
		}
	})
	return f
}

// answer to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// value is the body as JSON, and nil where it is none.
func (a *answer) value() any {
	var v any
	_ = json.Unmarshal(a.body, &v) // is compared with what is expected
	return v
}

// fields makes one map of an event in either mode.
func (a *answer) fields() map[string]any {
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/cloudevents+json") {
		fields, _ := a.value().(map[string]any)
		return fields
	}
	fields := map[string]any{}
	for k, v := range a.header {
		if name, ok := strings.CutPrefix(k, "Ce-"); ok {
			fields[strings.ToLower(name)] = v[0]
		}
	}
	if len(a.body) > 0 {
		fields["datacontenttype"], fields["data"] = a.header.Get("Content-Type"), string(a.body)
		if fields["datacontenttype"] == "application/json" {
			fields["data"] = a.value()
		}
	}
	return fields
}

// send posts the body with headers, given in turns with their values.
func (f *function) send(t *testing.T, body string, headers ...string) *answer {
	t.Helper()
	return f.request(t, http.MethodPost, "/", body, headers...)
}

func (f *function) request(t *testing.T, method, path, body string, headers ...string) *answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{status: response.StatusCode, header: response.Header, body: got}
}

// sendJSON posts a plain request.
func (f *function) sendJSON(t *testing.T, body string) *answer {
	t.Helper()
	return f.send(t, body, "Content-Type", "application/json")
}

// sendEvent posts a CloudEvent in binary mode.
func (f *function) sendEvent(t *testing.T, body string, headers ...string) *answer {
	t.Helper()
	return f.send(t, body, append([]string{"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "id-1",
		"Ce-Source", "/test", "Ce-Type", "io.example.test", "Ce-Subject", "subject-1"}, headers...)...)
}

// logs collects what a function writes.
type logs struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// line waits for a line of JSON whose message begins so.
func (l *logs) line(t *testing.T, message string) map[string]any {
	t.Helper()
	var found map[string]any
	eventually(t, "a log line "+message, func() bool {
		for text := range strings.Lines(l.String()) {
			var line map[string]any
			if json.Unmarshal([]byte(text), &line) == nil && strings.HasPrefix(line["message"].(string), message) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
