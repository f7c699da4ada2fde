package httpserver

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const structuredJSON = "application/cloudevents+json"

// TestReadEvent_WhenTheSDKPanics_ReleasesTheBytes: the sender is refused, and holds
// nothing of the budget.
func TestReadEvent_WhenTheSDKPanics_ReleasesTheBytes(t *testing.T) {
	t.Parallel()
	budget := NewBudget(2*step, 2*step)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"specversion":"1.0","id":"1","type":"x","source":"/s","data_base64":5}`))
	r.Header.Set("Content-Type", structuredJSON)
	e, release, err := ReadEvent(httptest.NewRecorder(), r, step, budget, "a")
	var refused *EventError
	if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || e != nil || release != nil {
		t.Errorf("ReadEvent() = %v, %v, want status 400", e, err)
	}
	if budget.Used() != 0 {
		t.Errorf("%d bytes stay reserved", budget.Used())
	}
}

// panicking is a body whose end panics.
type panicking struct{ io.Reader }

func (p panicking) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil {
		panic("broken")
	}
	return n, err
}

// TestReadEvent_WhenABodyPanics_ReleasesTheBytes, of an event in the binary mode, too.
func TestReadEvent_WhenABodyPanics_ReleasesTheBytes(t *testing.T) {
	t.Parallel()
	for _, mode := range []http.Header{{"Content-Type": {structuredJSON}}, {"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"t"}, "Ce-Source": {"/s"}}} {
		budget := NewBudget(2*step, 2*step)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", panicking{strings.NewReader("data")})
		r.Header = mode
		var p any
		func() {
			defer func() { p = recover() }()
			_, _, _ = ReadEvent(httptest.NewRecorder(), r, step, budget, "a")
		}()
		if p == nil || budget.Used() != 0 {
			t.Errorf("%v: panic %v, and %d bytes stay reserved", mode, p, budget.Used())
		}
	}
}

// TestServer_LogsPanics as errors, unlike peers that break off. It is not parallel: the
// default logger is one.
func TestServer_LogsPanics(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil)))
	address := start(t, Options{Name: "events", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic("broken")
	})})
	for _, path := range []string{"/abort", "/x"} {
		if got := closed(t, dial(t, address, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")); got != "" {
			t.Errorf("%s was answered %q", path, got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"level":"ERROR"`) || !strings.Contains(text, `"panic":"broken"`) ||
		!strings.Contains(text, "event_test.go") {
		t.Errorf("log = %s, want one error with the stack", text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
