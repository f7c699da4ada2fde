package runtime

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

func TestTriggerFilters(t *testing.T) {
	telemetry, err := StartTelemetry(t.Context(), &Config{}, lookup())
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(&Config{MaxBody: 1 << 20, EventSource: "/test", SubscriberKey: testKey}, fixed{}, telemetry)
	send := func(filters, eventType, source string) int {
		target := "/"
		if filters != "" {
			target = "/?" + query(events.Subscriber{Filters: filters})
		}
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader("{}"))
		for k, v := range map[string]string{"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": eventType, "Ce-Source": source} {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Code
	}
	const own = `[[{"not": {"exact": {"source": "io.knative.lambda/function/team/greeter"}}}]]`
	const orders = `[[{"prefix": {"type": "order."}}], [{"exact": {"source": "/shop"}}]]`
	for _, tt := range []struct {
		filters, eventType, source string
		want                       int
	}{
		{"", "x", "io.knative.lambda/function/team/greeter", http.StatusOK},
		{own, "x", "/shop", http.StatusOK},
		{own, "x", "io.knative.lambda/function/team/greeter", http.StatusNoContent},
		{orders, "order.created", "/other", http.StatusOK},
		{orders, "x", "/shop", http.StatusOK},
		{orders, "x", "/other", http.StatusNoContent},
		{"[[{}]]", "x", "/other", http.StatusInternalServerError}, // so that a broker keeps the event
	} {
		for range 2 { // parsed, then remembered
			if got := send(tt.filters, tt.eventType, tt.source); got != tt.want {
				t.Errorf("%s: an event of type %s from %s is answered with %d, want %d", tt.filters, tt.eventType, tt.source, got, tt.want)
			}
		}
	}
	for i := range 2 * maxTriggers {
		send(fmt.Sprintf(`[[{"exact": {"type": "t%d"}}]]`, i), "x", "/")
	}
	if n := len(server.triggers.parsed); n > maxTriggers {
		t.Errorf("%d filters are kept, want at most %d", n, maxTriggers)
	}
}

// counting is a handler that counts its calls.
type counting struct {
	fixed
	calls *int
}

func (c counting) Invoke(ctx context.Context, i *Invocation) (*Result, error) {
	*c.calls++
	return c.fixed.Invoke(ctx, i)
}

// TestPrivateQueriesOfCallers: what only Triggers may ask for is refused when a caller
// does, without a look at it, and counted; nothing else of a query is.
func TestPrivateQueriesOfCallers(t *testing.T) {
	port := freePort(t)
	telemetry, err := StartTelemetry(t.Context(), &Config{MetricsPort: port}, lookup())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(telemetry.Shutdown)
	calls := 0
	server := NewServer(&Config{MaxBody: 1 << 20, EventSource: "/test", SubscriberKey: testKey, DeadLetterSink: "http://letters.test/"}, counting{calls: &calls}, telemetry)
	slow := `[[{"cesql":"` + strings.Repeat("(", 6<<10) + `"}]]`
	for _, tt := range []struct {
		name, query string
		want, calls int
	}{
		{"no query", "", http.StatusOK, 1},
		{"a query of the function's own", "lambda=1&q=lambdafilters", http.StatusOK, 1},
		{"filters", events.Subscriber{Filters: slow}.Query(), http.StatusForbidden, 0},
		{"filters that are signed with another key", events.Sign(events.Subscriber{Filters: slow}.Query(), "other"), http.StatusForbidden, 0},
		{"filters that are no JSON", "lambdafilters=%zz", http.StatusForbidden, 0},
		{"permanent", "lambdapermanent=retry", http.StatusForbidden, 0},
		{"attempts", "lambdatrigger=t&lambdamaxattempts=1&lambdaretrywindow=1h", http.StatusForbidden, 0},
		{"a signature alone", "lambdasignature=x", http.StatusForbidden, 0},
		{"beside another", "a=b&lambdapermanent=dead-letter", http.StatusForbidden, 0},
		{"after one of the operator's", query(events.Subscriber{Permanent: "retry"}) + "&lambdafilters=[[]]", http.StatusForbidden, 0},
		{"of the operator", query(events.Subscriber{Permanent: "retry"}), http.StatusOK, 1},
		{"of the operator, too slow", query(events.Subscriber{Filters: slow}), http.StatusInternalServerError, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls = 0
			r := httptest.NewRequest(http.MethodPost, "/?"+tt.query, strings.NewReader("{}"))
			for k, v := range map[string]string{"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "x", "Ce-Source": "/"} {
				r.Header.Set(k, v)
			}
			w, start := httptest.NewRecorder(), time.Now()
			server.ServeHTTP(w, r)
			if w.Code != tt.want || calls != tt.calls {
				t.Errorf("answered %d %s after %d calls, want %d after %d", w.Code, w.Body, calls, tt.want, tt.calls)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %s", took)
			}
			if w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), "no valid signature") {
				t.Errorf("the answer does not say why: %s", w.Body)
			}
		})
	}
	if n := len(server.triggers.parsed); n != 1 {
		t.Errorf("%d queries are kept, want the operator's one", n)
	}
	if text := strings.Join(scrape(t, port), "\n"); !strings.Contains(text, `lambda_invocations_total{outcome="rejected"} 9`) {
		t.Errorf("what was refused is not counted:\n%s", text)
	}
}

// FuzzParseFilters: whatever the text is, it takes little.
func FuzzParseFilters(f *testing.F) {
	for _, text := range []string{
		`[[{"exact":{"a":"b"}},{"any":[{"prefix":{"a":"b"}},{"all":[{"suffix":{"c":"d"}}]}]}],[{"not":{"cesql":"type LIKE 'a%'"}}]]`,
		`[[` + strings.Repeat(`{"not":`, 40) + `{"cesql":"TRUE"}` + strings.Repeat("}", 40) + `]]`,
		strings.Repeat("[", 1000), `[[{"cesql":"` + strings.Repeat("(", 4000) + `"}]]`,
	} {
		f.Add(text)
	}
	e := ordered()
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		filters, err := ParseFilters(text)
		if err == nil {
			filters.pass(e, Attributes(e))
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%d bytes take %s", len(text), took)
		}
	})
}
