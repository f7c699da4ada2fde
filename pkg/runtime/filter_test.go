package runtime

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.uber.org/zap"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/eventfilter"
	"knative.dev/eventing/pkg/eventfilter/subscriptionsapi"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// ordered is an event that filters are tried on.
func ordered() *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("io.example.order.created")
	e.SetSource("/shop/eu")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetExtension("region", "eu-west")
	e.SetExtension("amount", 42)
	return &e
}

// TestFilters holds each filter in step with Knative's own library.
func TestFilters(t *testing.T) {
	e := ordered()
	for text, want := range map[string]bool{
		`{"exact": {"type": "io.example.order.created"}}`:                                                   true,
		`{"exact": {"type": "io.example.order"}}`:                                                           false,
		`{"exact": {"amount": "42"}}`:                                                                       true,
		`{"exact": {"missing": "x"}}`:                                                                       false,
		`{"exact": {"subject": "x"}}`:                                                                       false,
		`{"exact": {"time": "2026-01-02T03:04:05Z"}}`:                                                       true,
		`{"exact": {"type": "io.example.order.created", "source": "/other"}}`:                               false,
		`{"prefix": {"type": "io.example."}}`:                                                               true,
		`{"prefix": {"region": "us"}}`:                                                                      false,
		`{"suffix": {"type": ".created"}}`:                                                                  true,
		`{"suffix": {"source": "/us"}}`:                                                                     false,
		`{"all": [{"prefix": {"type": "io."}}, {"exact": {"source": "/shop/eu"}}]}`:                         true,
		`{"all": [{"prefix": {"type": "io."}}, {"exact": {"source": "/shop"}}]}`:                            false,
		`{"any": [{"exact": {"type": "x"}}, {"suffix": {"region": "west"}}]}`:                               true,
		`{"any": [{"exact": {"type": "x"}}, {"suffix": {"region": "east"}}]}`:                               false,
		`{"not": {"exact": {"type": "x"}}}`:                                                                 true,
		`{"not": {"any": [{"not": {"prefix": {"source": "/shop"}}}, {"exact": {"region": "eu-west"}}]}}`:    false,
		`{"cesql": "type LIKE 'io.example.%' AND amount > 41"}`:                                             true,
		`{"cesql": "amount > 42"}`:                                                                          false,
		`{"cesql": "EXISTS subject"}`:                                                                       false,
		`{"cesql": "missing = 'x'"}`:                                                                        false,
		`{"all": [{"cesql": "region IN ('eu-west', 'eu-east')"}, {"not": {"cesql": "source LIKE '%us'"}}]}`: true,
		`{"any": [{"all": [{"exact": {"type": "x"}}]}, {"all": [{"exact": {"region": "eu-west"}}, {"cesql": "TRUE"}]}]}`: true,
	} {
		filters, err := ParseFilters("[[" + text + "]]")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := filters.pass(e, Attributes(e)); got != want {
			t.Errorf("%s passes: %t, want %t", text, got, want)
		}
		var spec eventingv1.SubscriptionsAPIFilter
		if err := json.Unmarshal([]byte(text), &spec); err != nil {
			t.Fatal(err)
		}
		theirs := subscriptionsapi.CreateSubscriptionsAPIFilters(zap.NewNop(), []eventingv1.SubscriptionsAPIFilter{spec})
		if got := theirs.Filter(t.Context(), *e) != eventfilter.FailFilter; got != want {
			t.Errorf("%s passes Knative's library: %t, want %t", text, got, want)
		}
	}
}

func TestListsOfFilters(t *testing.T) {
	const yes, no = `{"prefix": {"type": "io."}}`, `{"prefix": {"type": "com."}}`
	for text, want := range map[string]bool{
		`[]`: true, `[[]]`: true,
		`[[` + yes + `]]`: true, `[[` + no + `]]`: false,
		`[[` + yes + `,` + no + `]]`: false, `[[` + yes + `,` + yes + `]]`: true,
		`[[` + no + `],[` + yes + `]]`: true, `[[` + no + `],[` + no + `,` + yes + `]]`: false, `[[` + no + `],[]]`: true,
	} {
		filters, err := ParseFilters(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := filters.pass(ordered(), Attributes(ordered())); got != want {
			t.Errorf("%s passes: %t, want %t", text, got, want)
		}
	}
}

func TestMalformedFilters(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                         "expected a JSON array of arrays of filters",
		`[{"exact": {"type": "x"}}]`: "expected a JSON array of arrays of filters",
		`[[{}]]`:                     "[0][0]: expected one of exact, prefix, suffix, all, any, not, cesql",
		`[[],[{"exact": {"a": "b"}}, {"any": [{"not": {"all": [{}]}}]}]]`: "[1][1].any[0].not.all[0]: expected one of exact",
		`[[{"regex": {"a": "b"}}]]`:                                       `unknown field "regex"`,
		`[[{"exact": {"a": "b"}, "prefix": {"a": "b"}}]]`:                 "expected one of exact, prefix, suffix, all, any, not, cesql, got 2",
		`[[{"cesql": "type ="}]]`:                                         `[0][0].cesql: expected a CloudEvents SQL expression: it is incomplete`,
		`[[{"cesql": "` + strings.Repeat("(", 32) + `"}]]`:                `[0][0].cesql: a parenthesis is not closed`,
		strings.Repeat("[", 65) + strings.Repeat("]", 65):                 "expected brackets that are nested at most 64 deep",
		`[[{"exact": {"a": "` + strings.Repeat("b", 256<<10) + `"}}]]`:    "expected at most 262144 bytes, got 262168",
	} {
		_, err := ParseFilters(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestFilteredEvents(t *testing.T) {
	port := freePort(t)
	f := start(t, echo, func(s *settings) { s.MetricsPort = port })
	f.URL += "/?" + query(events.Subscriber{Filters: `[[{"exact": {"type": "io.example.other"}}], [{"exact": {"type": "io.example.test"}}, {"prefix": {"subject": "subject-"}}]]`})
	for _, tt := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"passes the second list", nil, 200},
		{"passes the first list", []string{"Ce-Type", "io.example.other", "Ce-Subject", "x"}, 200},
		{"passes none", []string{"Ce-Subject", "x"}, 204},
	} {
		if got := f.sendEvent(t, `{}`, tt.headers...); got.status != tt.want {
			t.Errorf("%s: answered %d %s, want %d", tt.name, got.status, got.body, tt.want)
		}
	}
	if got := f.sendJSON(t, `{}`); got.status != http.StatusOK {
		t.Errorf("a plain request, which filters are not for, is answered with %d", got.status)
	}
	if got := f.sendEvent(t, `{}`, "Ce-Subject", "x", "Ce-Specversion", "9"); got.status != http.StatusBadRequest {
		t.Errorf("a malformed event that would not pass is answered with %d", got.status)
	}
	if text := strings.Join(scrape(t, port), "\n"); !strings.Contains(text, `lambda_invocations_total{outcome="filtered"} 1`) || !strings.Contains(text, `lambda_invocations_total{outcome="success"} 3`) {
		t.Errorf("the metrics are\n%s", text)
	}
}
