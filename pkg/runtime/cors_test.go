package runtime

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// fixedInvoker returns one result or error, of a handler with these traits.
type fixedInvoker struct {
	result  Result
	err     error
	traits  Traits
	loading bool
}

func (f *fixedInvoker) Invoke(context.Context, *Invocation) (*Result, error) { return &f.result, f.err }
func (f *fixedInvoker) Ready() bool                                          { return !f.loading }
func (f *fixedInvoker) Traits(context.Context, time.Time) (Traits, error)    { return f.traits, nil }

// ask sends a request with headers, given in turns with their values, to a function.
func ask(t *testing.T, cors *config.CORS, invoker Invoker, method, path string, headers ...string) *http.Response {
	t.Helper()
	cfg := &Config{MaxBody: 1000, EventSource: "/f", CORS: cors}
	telemetry, err := StartTelemetry(t.Context(), cfg, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	defer telemetry.Shutdown()
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s := NewServer(cfg, invoker, telemetry)
	defer s.Close()
	s.ServeHTTP(w, r)
	return w.Result()
}

// headersOf CORS, and Vary, that a response has.
func headersOf(response *http.Response) map[string]string {
	h := map[string]string{}
	for name, values := range response.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			h[strings.TrimPrefix(name, "Access-Control-")] = strings.Join(values, ", ")
		}
	}
	return h
}

func TestCORS(t *testing.T) {
	const origin = "https://a.example"
	one := &config.CORS{AllowOrigins: []string{origin}, AllowHeaders: []string{"X-A", "Content-Type"}, ExposeHeaders: []string{"X-B", "X-C"}, AllowCredentials: true, MaxAge: 600}
	everyone := &config.CORS{AllowOrigins: []string{"*"}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}}
	actual := map[string]string{"Allow-Origin": origin, "Allow-Credentials": "true", "Expose-Headers": "X-B, X-C", "Vary": "Origin"}
	fixed := func(status int, err error) Invoker {
		return &fixedInvoker{err: err, result: Result{Status: status, ContentType: "text/plain", Header: http.Header{"Access-Control-Allow-Origin": {"https://own.example"}}}}
	}
	preflight := func(origin, method string, more ...string) []string {
		return append([]string{"Origin", origin, "Access-Control-Request-Method", method}, more...)
	}
	for name, tt := range map[string]struct {
		cors    *config.CORS
		invoker Invoker
		method  string
		headers []string
		status  int
		want    map[string]string
	}{
		"actual":             {one, fixed(201, nil), "POST", []string{"Origin", origin}, 201, actual},
		"no origin":          {one, fixed(201, nil), "POST", nil, 201, map[string]string{"Vary": "Origin"}},
		"another origin":     {one, fixed(201, nil), "POST", []string{"Origin", "https://b.example"}, 201, map[string]string{"Vary": "Origin"}},
		"everyone":           {everyone, fixed(201, nil), "POST", []string{"Origin", origin}, 201, map[string]string{"Allow-Origin": "*"}},
		"error":              {one, fixed(0, &HandlerError{Type: "E", Message: "m"}), "POST", []string{"Origin", origin}, 500, actual},
		"timeout":            {one, fixed(0, ErrTimeout), "POST", []string{"Origin", origin}, 504, actual},
		"busy":               {one, fixed(0, ErrBusy), "POST", []string{"Origin", origin}, 503, actual},
		"bad request":        {one, fixed(200, nil), "POST", []string{"Origin", origin, "Content-Encoding", "x"}, 415, actual},
		"OPTIONS":            {one, fixed(200, nil), "OPTIONS", []string{"Origin", origin}, 200, actual},
		"without CORS":       {nil, fixed(200, nil), "OPTIONS", preflight(origin, "PUT"), 200, map[string]string{"Allow-Origin": "https://own.example"}},
		"preflight":          {one, fixed(500, nil), "OPTIONS", preflight(origin, "PUT", "Access-Control-Request-Headers", "x-a"), 204, map[string]string{"Allow-Origin": origin, "Allow-Credentials": "true", "Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Allow-Headers": "X-A, Content-Type", "Max-Age": "600", "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}},
		"preflight to all":   {everyone, fixed(500, nil), "OPTIONS", preflight(origin, "PURGE", "Access-Control-Request-Headers", "authorization,x"), 204, map[string]string{"Allow-Origin": "*", "Allow-Methods": "PURGE", "Allow-Headers": "authorization,x", "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers"}},
		"preflight, origin":  {one, fixed(200, nil), "OPTIONS", preflight("https://b.example", "PUT"), 403, map[string]string{"Vary": "Origin"}},
		"preflight, method":  {one, fixed(200, nil), "OPTIONS", preflight(origin, "PURGE"), 403, map[string]string{"Allow-Origin": origin, "Allow-Credentials": "true", "Vary": "Origin"}},
		"preflight, loading": {one, &fixedInvoker{loading: true}, "OPTIONS", preflight(origin, "DELETE"), 204, map[string]string{"Allow-Origin": origin, "Allow-Credentials": "true", "Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Allow-Headers": "X-A, Content-Type", "Max-Age": "600", "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}},
	} {
		t.Run(name, func(t *testing.T) {
			response := ask(t, tt.cors, tt.invoker, tt.method, "/", tt.headers...) //nolint:bodyclose // ask closes it
			if diff := cmp.Diff(tt.want, headersOf(response)); diff != "" || response.StatusCode != tt.status {
				t.Errorf("answered %s, want %d (-want, +got):\n%s", response.Status, tt.status, diff)
			}
		})
	}
}

// TestWebhookValidation: senders of CloudEvents may ask whether they may send.
func TestWebhookValidation(t *testing.T) {
	handler, app := &fixedInvoker{result: Result{Status: 418}}, &fixedInvoker{result: Result{Status: 418}, traits: Traits{Raw: true}}
	for name, tt := range map[string]struct {
		invoker Invoker
		method  string
		origin  string
		status  int
	}{
		"handler":        {handler, "OPTIONS", "sender.example", 200},
		"another method": {handler, "POST", "sender.example", 418},
		"no webhook":     {handler, "OPTIONS", "", 418},
		"application":    {app, "OPTIONS", "sender.example", 418},
	} {
		response := ask(t, nil, tt.invoker, tt.method, "/", "WebHook-Request-Origin", tt.origin, "WebHook-Request-Rate", "120") //nolint:bodyclose // ask closes it
		want := map[string]string{}
		if tt.status == 200 {
			want = map[string]string{"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": tt.origin, "WebHook-Allowed-Rate": "*"}
		}
		for name, value := range want {
			if got := response.Header.Get(name); got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
		if response.StatusCode != tt.status {
			t.Errorf("%s: answered %s, want %d", name, response.Status, tt.status)
		}
	}
}

func TestReadiness(t *testing.T) {
	for _, tt := range []struct {
		name    string
		invoker *fixedInvoker
		path    string
		status  int
	}{
		{"handler", &fixedInvoker{}, config.ReadyPath, 200},
		{"handler", &fixedInvoker{result: Result{Status: 418}}, "/healthz", 200},
		{"handler that loads", &fixedInvoker{loading: true}, config.ReadyPath, 503},
		{"handler that loads", &fixedInvoker{loading: true}, "/healthz", 503},
		{"application", &fixedInvoker{traits: Traits{Raw: true}, result: Result{Status: 418}}, config.ReadyPath, 200},
		{"application", &fixedInvoker{traits: Traits{Raw: true}, result: Result{Status: 418}}, "/healthz", 418},
		{"application that loads", &fixedInvoker{traits: Traits{Raw: true}, loading: true}, "/healthz", 503},
	} {
		response := ask(t, nil, tt.invoker, http.MethodGet, tt.path) //nolint:bodyclose // ask closes it
		if response.StatusCode != tt.status {
			t.Errorf("%s: %s is answered %s, want %d", tt.name, tt.path, response.Status, tt.status)
		}
	}
}
