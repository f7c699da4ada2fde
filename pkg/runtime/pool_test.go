package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const slow = `
import os, signal, subprocess, time

def handler(event, context):
    what = event.get("what")
    if what == "wait":
        open(event["started"], "w").close()
        while not os.path.exists(event["until"]):
            time.sleep(0.001)
    if what == "for ever":
        child = subprocess.Popen(["sleep", "3600"])
        with open(event["child"], "w") as f: f.write(str(child.pid))
        time.sleep(3600)
    if what == "exit": os._exit(3)
    if what == "exit well": os._exit(0)
    if what == "killed": os.kill(os.getpid(), signal.SIGKILL)
    if what == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if what == "close": os.close(3); time.sleep(3600)
    return os.getpid()
`

// gate lets a test hold an invocation: it tells when the handler runs and when
// it may return.
type gate struct{ started, until string }

func newGate(t *testing.T) *gate {
	dir := t.TempDir()
	return &gate{started: filepath.Join(dir, "started"), until: filepath.Join(dir, "until")}
}

func (g *gate) body() string {
	return fmt.Sprintf(`{"what": "wait", "started": %q, "until": %q}`, g.started, g.until)
}

func (g *gate) entered(t *testing.T) {
	t.Helper()
	eventually(t, "the handler to be called", func() bool { _, err := os.Stat(g.started); return err == nil })
}

func (g *gate) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(g.until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSlowCallsDoNotBlockOthers(t *testing.T) {
	f := start(t, slow)
	eventually(t, "both workers", func() bool { return f.pool.live.Load() == 2 })
	g := newGate(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.sendJSON(t, g.body()); got.status != 200 {
			t.Errorf("the slow call is answered with %d %s", got.status, got.body)
		}
	})
	g.entered(t)
	for range 20 {
		if got := f.sendJSON(t, `{}`); got.status != 200 {
			t.Errorf("a call beside the slow one is answered with %d %s", got.status, got.body)
		}
	}
	g.open(t)
	wg.Wait()
}

func TestTimeout(t *testing.T) {
	f := start(t, slow, func(s *settings) { s.Timeout = 300 * time.Millisecond; s.Workers = 1 })
	pidFile := filepath.Join(t.TempDir(), "child")
	got := f.sendEvent(t, fmt.Sprintf(`{"what": "for ever", "child": %q}`, pidFile))
	fields := got.fields(t)
	if got.status != 504 || fields["type"] != "io.knative.lambda.response.timeout" || fields["causationid"] != "id-1" {
		t.Errorf("answered %d %v, expected 504 response.timeout", got.status, fields)
	}
	if want := `{"type":"Timeout","message":"the handler took too long: more than 300ms (spec.runtime.timeout)","permanent":false}`; fields["data"] != want {
		t.Errorf("the data is %v, expected %s", fields["data"], want)
	}
	if got := f.sendJSON(t, `{}`); got.status != 200 {
		t.Errorf("the next call is answered with %d %s", got.status, got.body)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the process that the handler had started", func() bool { return !running(child) })
}

// running tells whether there is a process that is not a zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestWorkerDeath(t *testing.T) {
	f := start(t, slow)
	eventually(t, "both workers", func() bool { return f.pool.live.Load() == 2 })
	g := newGate(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.sendJSON(t, g.body()); got.status != 200 {
			t.Errorf("the call in flight beside the deaths is answered with %d %s", got.status, got.body)
		}
	})
	g.entered(t)
	for what, cause := range map[string]string{
		"exit":      "exit status 3",
		"exit well": "it exited with status 0",
		"killed":    "it was killed, most likely because the container ran out of memory (spec.resources.limits.memory)",
		"crash":     "signal: segmentation fault",
		"close":     "it closed its socket",
	} {
		got := f.sendEvent(t, `{"what": "`+what+`"}`)
		fields := got.fields(t)
		data, _ := fields["data"].(string)
		if got.status != 500 || fields["type"] != "io.knative.lambda.response.error" || !strings.HasPrefix(data, `{"type":"WorkerDied","message":"the worker process died while it handled the request: `+cause) {
			t.Errorf("%s is answered with %d %v, expected 500 response.error with %q", what, got.status, fields, cause)
		}
	}
	g.open(t)
	wg.Wait()
	eventually(t, "both workers to be replaced", func() bool { return f.pool.live.Load() == 2 })
	if got := f.sendJSON(t, `{}`); got.status != 200 {
		t.Errorf("after the deaths a call is answered with %d %s", got.status, got.body)
	}
}

func TestWorkerDeathInIdleness(t *testing.T) {
	f := start(t, slow, func(s *settings) { s.Workers = 1 })
	pid, err := strconv.Atoi(string(f.sendJSON(t, `{}`).body))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker to be seen dead", func() bool { return !running(pid) })
	eventually(t, "another worker", func() bool {
		got := f.sendJSON(t, `{}`)
		return got.status == 200 && string(got.body) != strconv.Itoa(pid)
	})
}

func TestWorkersThatDoNotStartAreTriedAgain(t *testing.T) {
	dir := t.TempDir()
	needed, attempts := filepath.Join(dir, "needed"), filepath.Join(dir, "attempts")
	if err := os.WriteFile(needed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, fmt.Sprintf("import os\nopen(%q, 'a').write('.')\nopen(%q)\ndef handler(event, context):\n    os._exit(1) if event else None\n    return os.getpid()\n", attempts, needed), func(s *settings) { s.Workers = 1 })
	if err := os.Remove(needed); err != nil {
		t.Fatal(err)
	}
	if got := f.sendJSON(t, `"exit"`); got.status != 500 {
		t.Errorf("the death is answered with %d %s", got.status, got.body)
	}
	eventually(t, "the pool to say that it is not ready", func() bool { return !f.pool.Ready() })
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.sendJSON(t, `0`); got.status != 200 {
			t.Errorf("who waited is answered with %d %s", got.status, got.body)
		}
	})
	eventually(t, "a call to wait", func() bool { return f.pool.waiting.Load() == 1 })
	eventually(t, "some attempts", func() bool {
		made, err := os.ReadFile(attempts)
		return err == nil && len(made) > 3
	})
	if err := os.WriteFile(needed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

func TestQueueIsBounded(t *testing.T) {
	f := start(t, slow, func(s *settings) { s.Workers, s.Queue = 1, 1 })
	g := newGate(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if got := f.sendJSON(t, g.body()); got.status != 200 {
				t.Errorf("a call is answered with %d %s", got.status, got.body)
			}
		})
	}
	g.entered(t)
	eventually(t, "a call to wait", func() bool { return f.pool.waiting.Load() == 1 })
	got := f.sendJSON(t, `{}`)
	if want := `{"type":"Busy","message":"too many requests wait for a worker: 1","permanent":false}`; got.status != 503 || string(got.body) != want || got.header.Get("Retry-After") == "" {
		t.Errorf("answered %d %s Retry-After %q, expected 503 %s", got.status, got.body, got.header.Get("Retry-After"), want)
	}
	g.open(t)
	wg.Wait()
}

func TestWhoHangsUpLeavesTheQueue(t *testing.T) {
	f := start(t, slow, func(s *settings) { s.Workers = 1 })
	g := newGate(t)
	var wg sync.WaitGroup
	wg.Go(func() { f.sendJSON(t, g.body()) })
	g.entered(t)
	ctx, hangUp := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		if response, err := http.DefaultClient.Do(r); err == nil {
			response.Body.Close()
			t.Errorf("who hung up was answered with %s", response.Status)
		}
	})
	eventually(t, "the call to wait", func() bool { return f.pool.waiting.Load() == 1 })
	hangUp()
	eventually(t, "the queue to be empty", func() bool { return f.pool.waiting.Load() == 0 })
	g.open(t)
	wg.Wait()
}

func TestCloseEndsWorkers(t *testing.T) {
	f := start(t, slow, func(s *settings) { s.Workers = 1 })
	pid, err := strconv.Atoi(string(f.sendJSON(t, `{}`).body))
	if err != nil {
		t.Fatal(err)
	}
	f.pool.Close()
	if running(pid) {
		t.Error("a worker outlived the pool")
	}
	if f.pool.Ready() {
		t.Error("a closed pool is ready")
	}
	if _, err := f.pool.Invoke(t.Context(), &Invocation{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a closed pool answers %v, expected ErrBusy", err)
	}
}

func TestEarlyRequestsWait(t *testing.T) {
	dir := t.TempDir()
	f := launch(t, `
import os, time
while not os.path.exists(os.environ["TEST_GATE"]):
    time.sleep(0.001)
def handler(event, context):
    return "late"
`, func(*settings) { t.Setenv("TEST_GATE", filepath.Join(dir, "gate")) })
	health := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return f.do(t, r).status
	}
	if got := health(); got != 503 {
		t.Errorf("before the handler is loaded /healthz is %d, expected 503", got)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.sendJSON(t, `{}`); string(got.body) != `"late"` {
			t.Errorf("the early request is answered with %d %s", got.status, got.body)
		}
	})
	eventually(t, "the early request to wait", func() bool { return f.pool.waiting.Load() == 1 })
	if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got := health(); got != 200 {
		t.Errorf("with the handler loaded /healthz is %d, expected 200", got)
	}
}
