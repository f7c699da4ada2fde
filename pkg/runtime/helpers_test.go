package runtime

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second

// python finds a real interpreter: that of the system before a shim of the
// user's, which is slow to start.
func python(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("these tests need python3")
	return ""
}

// function is a running function.
type function struct {
	*httptest.Server
	server *Server
	pool   *Pool
	logs   *logs
}

type settings struct {
	Config
	PoolConfig
	files map[string]string
}

// start runs the code as main.py behind the real front and worker.
func start(t *testing.T, code string, change ...func(*settings)) *function {
	t.Helper()
	f, err := tryStart(t, code, change...)
	if err != nil {
		t.Fatalf("the function did not start: %v\n%s", err, f.logs)
	}
	return f
}

// tryStart returns the error of a handler that cannot be loaded.
func tryStart(t *testing.T, code string, change ...func(*settings)) (*function, error) {
	t.Helper()
	f := launch(t, code, change...)
	deadline := time.After(patience)
	for !f.pool.Ready() {
		select {
		case err := <-f.pool.Failed():
			return f, err
		case <-deadline:
			t.Fatalf("the handler was not loaded in time\n%s", f.logs)
		case <-time.After(time.Millisecond):
		}
	}
	return f, nil
}

// launch does not wait for the handler.
func launch(t *testing.T, code string, change ...func(*settings)) *function {
	t.Helper()
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1") // the worker's folder becomes part of images
	worker, err := filepath.Abs("../../runtimes/python/worker/worker.py")
	if err != nil {
		t.Fatal(err)
	}
	s := &settings{
		Config: Config{MaxBody: 1 << 20, EventSource: "io.knative.lambda/function/test/f", Function: "f"},
		PoolConfig: PoolConfig{Handler: "main.handler", TaskRoot: t.TempDir(), Command: []string{python(t), "-u", worker}, Workers: 2, Queue: 100,
			Timeout: patience, StartTimeout: patience, MaxBody: 1 << 20},
		files: map[string]string{"main.py": code},
	}
	for _, c := range change {
		c(s)
	}
	for name, text := range s.files {
		path := filepath.Join(s.TaskRoot, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	telemetry, err := StartTelemetry(t.Context(), &s.Config, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	f := &function{logs: &logs{}}
	f.pool = NewPool(&s.PoolConfig, telemetry, f.logs, f.logs)
	f.server = NewServer(&s.Config, f.pool, telemetry)
	f.Server = httptest.NewServer(f.server)
	t.Cleanup(func() {
		f.Close()
		f.pool.Close()
		telemetry.Shutdown()
	})
	return f
}

// answer to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// value is the body as JSON.
func (a *answer) value(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("the body %q is no JSON object: %v", a.body, err)
	}
	return v
}

// fields makes one map of an event in either mode.
func (a *answer) fields(t *testing.T) map[string]any {
	t.Helper()
	if strings.HasPrefix(a.header.Get("Content-Type"), typeStructured) {
		return a.value(t)
	}
	fields := map[string]any{}
	for k, v := range a.header {
		if name, ok := strings.CutPrefix(k, "Ce-"); ok {
			fields[strings.ToLower(name)] = v[0]
		}
	}
	if len(a.body) > 0 {
		fields["data"], fields["datacontenttype"] = string(a.body), a.header.Get("Content-Type")
	}
	return fields
}

// send posts the body with headers, given in turns with their values.
func (f *function) send(t *testing.T, body string, headers ...string) *answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return f.do(t, r)
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

func (f *function) do(t *testing.T, r *http.Request) *answer {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{status: response.StatusCode, header: response.Header, body: body}
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

// line waits for a line of JSON with that message.
func (l *logs) line(t *testing.T, message string) map[string]any {
	t.Helper()
	var found map[string]any
	eventually(t, "a log line "+message, func() bool {
		for text := range strings.Lines(l.String()) {
			var line map[string]any
			if json.Unmarshal([]byte(text), &line) == nil && line["message"] == message {
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

const echo = "def handler(event, context):\n    return {\"got\": repr(event)}\n"
