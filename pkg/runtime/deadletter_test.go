package runtime

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// TestPermanentFailures: what another attempt would not help is at the dead letter
// sink before the broker drops it, or else the broker keeps it.
func TestPermanentFailures(t *testing.T) {
	refused := []int{http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusServiceUnavailable}
	tooLong := `"` + strings.Repeat("x", 1<<20) + `"`
	hops := []string{"Ce-Lambdahops", "11"}
	for _, tt := range []struct {
		name    string
		what    string
		body    string
		headers []string
		filters string
		mode    string
		noSink  bool
		sink    []int // answers of the dead letter sink
		status  int
		letters int
		code    string
		kind    string
	}{
		{name: "a permanent error", what: "permanent", mode: "dead-letter", status: 422, letters: 1, code: "422", kind: "PermanentError"},
		{name: "an event that has gone in a circle", headers: hops, mode: "dead-letter", status: 422, letters: 1, code: "422", kind: "InvalidRequest"},
		{name: "one of those that the trigger does not ask for", headers: hops, filters: `[[{"exact":{"type":"other"}}]]`, mode: "dead-letter", status: 204},
		{name: "hops that are no number", headers: []string{"Ce-Lambdahops", "many"}, mode: "dead-letter", status: 400, letters: 1, code: "400", kind: "InvalidRequest"},
		{name: "a sink that takes it at last", what: "permanent", mode: "dead-letter", sink: refused[:2], status: 422, letters: 3, code: "422", kind: "PermanentError"},
		{name: "a sink that does not take it", what: "permanent", mode: "dead-letter", sink: refused, status: 500, letters: 3, code: "422", kind: "PermanentError"},
		{name: "no sink", what: "permanent", mode: "dead-letter", noSink: true, status: 500},
		{name: "a sink of the user's own", what: "permanent", mode: "retry", status: 500},
		{name: "too long to be read", body: tooLong, mode: "dead-letter", status: 500},
		{name: "no event", headers: []string{"Ce-Type", ""}, mode: "dead-letter", status: 400},
		{name: "an error that is tried again", what: "exception", mode: "dead-letter", status: 500},
		{name: "a direct caller", what: "permanent", status: 422},
		{name: "a direct caller's event that has gone in a circle", headers: hops, status: 422},
		{name: "success", what: "fine", mode: "dead-letter", status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCollector(t, tt.sink...)
			f := start(t, failing, func(s *settings) {
				if !tt.noSink {
					s.DeadLetterSink = c.URL
				}
			})
			target := f.URL + "/"
			f.URL += "/?" + query(events.Subscriber{Filters: tt.filters, Permanent: tt.mode})
			body := tt.body
			if body == "" {
				body = `{"what": "` + tt.what + `"}`
			}
			if got := f.sendEvent(t, body, tt.headers...); got.status != tt.status {
				t.Errorf("answered %d %s, want %d", got.status, got.body, tt.status)
			}
			got := c.events()
			if len(got) != tt.letters {
				t.Fatalf("the sink was sent %d letters, want %d", len(got), tt.letters)
			}
			if tt.letters == 0 {
				return
			}
			fields := got[0].fields(t)
			raw, err := base64.StdEncoding.DecodeString(fields["knativeerrordata"].(string))
			var said events.Error
			if err != nil || json.Unmarshal(raw, &said) != nil || said.Type != tt.kind || said.Message == "" || !said.Permanent {
				t.Errorf("the letter says %q, %v; want a permanent %s", raw, err, tt.kind)
			}
			delete(fields, "knativeerrordata")
			delete(fields, "lambdahops")
			want := map[string]any{"specversion": "1.0", "id": "id-1", "source": "/test", "type": "io.example.test", "subject": "subject-1", "data": body, "datacontenttype": "application/json",
				"knativeerrorcode": tt.code, "knativeerrordest": target + "?" + query(events.Subscriber{Filters: tt.filters, Permanent: tt.mode})}
			if diff := cmp.Diff(want, fields); diff != "" {
				t.Errorf("letter (-want, +got): %s", diff)
			}
		})
	}
}

// TestPermanentFailuresAreCounted, and told in the log.
func TestPermanentFailuresAreCounted(t *testing.T) {
	c, port := newCollector(t, 503, 503, 503), freePort(t)
	f := start(t, failing, func(s *settings) { s.DeadLetterSink, s.MetricsPort = c.URL, port })
	f.URL += "/?" + query(events.Subscriber{Permanent: events.PermanentDeadLetter})
	f.sendEvent(t, `{"what": "permanent"}`)
	f.sendEvent(t, `{"what": "permanent"}`)
	text := strings.Join(scrape(t, port), "\n")
	for _, want := range []string{`lambda_dead_letters_total{result="refused"} 1`, `lambda_dead_letters_total{result="delivered"} 1`, `lambda_invocations_total{outcome="permanent"} 2`} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics have no %s:\n%s", want, text)
		}
	}
}

func TestReasonOfADeadLetterIsBounded(t *testing.T) {
	p := &problem{data: events.Error{Type: "E", Message: strings.Repeat("é", maxReason), Stack: "secret"}}
	raw, _ := base64.StdEncoding.DecodeString(p.encode())
	var said events.Error
	if err := json.Unmarshal(raw, &said); err != nil || len(said.Message) != maxReason || said.Stack != "" {
		t.Errorf("%d bytes, stack %q, %v; want %d and no stack", len(said.Message), said.Stack, err, maxReason)
	}
}
