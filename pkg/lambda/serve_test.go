package lambda

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const patience = 20 * time.Second

// serve runs the server of a function.
func serve(t *testing.T, handler any, change ...func(*Invoker)) *httptest.Server {
	t.Helper()
	cfg := &runtime.Config{MaxBody: 1 << 20, EventSource: "/test", Function: "f"}
	telemetry, err := runtime.StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	i := invoker(t, handler)
	for _, c := range change {
		c(i)
	}
	server := httptest.NewServer(runtime.NewServer(cfg, i, telemetry))
	t.Cleanup(server.Close)
	return server
}

func within(timeout time.Duration) func(*Invoker) {
	return func(i *Invoker) { i.limits.Timeout = timeout }
}

// answer is a reply whose body is closed at the end of the test.
type answer struct{ *http.Response }

// ask sends a request and returns the reply, whose body is still to be read.
func ask(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return answer{response}
}

// answered checks a reply.
func answered(t *testing.T, response answer, status int, body string) {
	t.Helper()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || string(got) != body {
		t.Errorf("answered %d %q, %v, want %d %q", response.StatusCode, got, err, status, body)
	}
}

func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
