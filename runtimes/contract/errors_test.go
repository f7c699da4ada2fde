package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// problem is what an error is told as.
type problem struct {
	Type, Message, Stack string
	Permanent            bool
}

// problemOf reads it from an answer to a plain request or an event.
func problemOf(t *testing.T, got *answer) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(got.body, &p); err != nil {
		t.Fatalf("the body %.200q is no problem: %v", got.body, err)
	}
	return p
}

// checkError checks status, type and message, a regular expression.
func checkError(t *testing.T, got *answer, status int, kind, message string, permanent bool) {
	t.Helper()
	p := problemOf(t, got)
	if got.status != status || p.Type != kind || p.Permanent != permanent || !regexp.MustCompile(message).MatchString(p.Message) {
		t.Errorf("answered %d %.500s\nexpected %d %s %q, permanent %t", got.status, got.body, status, kind, message, permanent)
	}
	if event := got.header.Get("Ce-Type"); event != "" && event != "io.knative.lambda.response.error" {
		t.Errorf("the event is a %s", event)
	}
}

func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		for _, tt := range []struct {
			do, what  string
			status    int
			kind      string
			message   string
			permanent bool
		}{
			{"fail", "error", 500, l.failure, "^it: failed$", false},
			{"fail", "permanent", 422, "PermanentError", "^for good$", true},
			{"fail", "own", 422, "Own", "^for good too$", true},
			{"fail", "exit", 500, l.exit, "^3$", false},
			{"return", "unwritable", 500, "InvalidReply", "^the handler returned a value of " + regexp.QuoteMeta(l.unwritable), false},
			{"return", "nan", 500, "InvalidReply", "^the handler returned a value of type (float|float64|number) that cannot be written as JSON: ", false},
			{"return", "long", 500, "InvalidReply", "^the reply is too long: .* 2097154 bytes, expected at most 1048576$", false},
		} {
			if tt.kind == "" || l.name == "provided" && (tt.what == "own" || tt.do == "return") {
				continue // the language has no such thing
			}
			t.Run(tt.what, func(t *testing.T) {
				body := fmt.Sprintf(`{"do": %q, "what": %q}`, tt.do, tt.what)
				checkError(t, f.sendJSON(t, body), tt.status, tt.kind, tt.message, tt.permanent)
				event := f.sendEvent(t, body)
				checkError(t, event, tt.status, tt.kind, tt.message, tt.permanent)
				if event.header.Get("Ce-Causationid") != "id-1" {
					t.Errorf("the error event names the cause %q", event.header.Get("Ce-Causationid"))
				}
			})
		}
		if strings.Contains(f.logs.String(), "died") {
			t.Errorf("a worker died of what is only an error:\n%s", f.logs)
		}
		if l.name == "provided" {
			return // the front's log has it
		}
		line := f.logs.line(t, l.failure+": it: failed")
		if exception, _ := line["exception"].(string); line["severity"] != "ERROR" || !l.linked && !strings.Contains(exception, l.file) {
			t.Errorf("the error is logged as %v", line)
		}
	})
}

func TestErrorStack(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l, func(s *settings) { s.ErrorStack = true })
		body := `{"do": "fail", "what": "error"}`
		if l.linked { // only a panic has a stack
			body = `{"do": "fail", "what": "exit"}`
		}
		stack := problemOf(t, f.sendJSON(t, body)).Stack
		if !strings.Contains(stack, l.file) {
			t.Errorf("the stack does not name %s:\n%s", l.file, stack)
		}
		if strings.Contains(stack, "worker") {
			t.Errorf("the stack shows the worker, which is not the author's:\n%s", stack)
		}
	}, "provided")
}

func TestTimeout(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l, func(s *settings) { s.timeout = 300 * time.Millisecond })
		g := newGate(t)
		defer g.open(t)
		got := f.sendEvent(t, g.body())
		p := problemOf(t, got)
		if got.status != http.StatusGatewayTimeout || got.header.Get("Ce-Type") != "io.knative.lambda.response.timeout" || p.Type != "Timeout" || p.Message != "the handler took too long: more than 300ms (spec.runtime.timeout)" {
			t.Errorf("answered %d %v %s", got.status, got.header, got.body)
		}
		if got := f.sendJSON(t, `1`); got.status != 200 {
			t.Errorf("the next call is answered with %d %s", got.status, got.body)
		}
	})
}

func TestCrash(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		if l.linked {
			t.Skip("a linked function has no worker that could die alone")
		}
		f := start(t, l)
		checkError(t, f.sendEvent(t, `{"do": "fail", "what": "crash"}`), 500, "WorkerDied", "^the worker process died while it handled the request: exit status 3$", false)
		if got := f.sendJSON(t, `1`); got.status != 200 {
			t.Errorf("the next call is answered with %d %s", got.status, got.body)
		}
	})
}

func TestSlowCallsDoNotBlockOthers(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l)
		g := newGate(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := f.sendJSON(t, g.body()); got.status != 200 || got.value() != "done" {
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
	})
}

// gate lets a test hold an invocation: it tells when the handler runs and when
// it may return.
type gate struct{ started, until string }

func newGate(t *testing.T) *gate {
	dir := t.TempDir()
	return &gate{started: filepath.Join(dir, "started"), until: filepath.Join(dir, "until")}
}

func (g *gate) body() string {
	return fmt.Sprintf(`{"do": "wait", "started": %q, "until": %q}`, g.started, g.until)
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

// TestLargeBodies goes to the limit of what config allows by default, and past
// it.
func TestLargeBodies(t *testing.T) {
	each(t, func(t *testing.T, l *language) {
		f := start(t, l, func(s *settings) { s.MaxBody = 16 << 20 })
		for _, size := range []int{1 << 20, 10 << 20} {
			text := strings.Repeat("x", size)
			for _, got := range []*answer{f.sendJSON(t, `"`+text+`"`), f.sendEvent(t, `"`+text+`"`),
				f.send(t, `{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": "`+text+`"}`, "Content-Type", "application/cloudevents+json")} {
				if got.status != 200 || !strings.Contains(string(got.body), text) {
					t.Errorf("%d bytes are answered with %d and %d bytes", size, got.status, len(got.body))
				}
			}
		}
		for _, got := range []*answer{f.sendJSON(t, `"`+strings.Repeat("x", 16<<20)+`"`), f.sendEvent(t, `"`+strings.Repeat("x", 16<<20)+`"`)} {
			if got.status != http.StatusRequestEntityTooLarge {
				t.Errorf("more than 16 MiB are answered with %d", got.status)
			}
		}
	})
}
