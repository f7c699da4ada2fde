package runtime

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// collector is a sink that records what it gets.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	status []int // of the next answers; then 202
	got    []*answer
	hold   chan struct{} // nil, or answers wait until it is closed
}

func newCollector(t *testing.T, status ...int) *collector {
	c := &collector{status: status}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		c.got = append(c.got, &answer{header: r.Header, body: body})
		answer, hold := http.StatusAccepted, c.hold
		if len(c.status) > 0 {
			answer, c.status = c.status[0], c.status[1:]
		}
		c.mu.Unlock()
		if hold != nil {
			<-hold
		}
		w.WriteHeader(answer)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) events() []*answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func TestRepliesGoToTheirSink(t *testing.T) {
	c := newCollector(t)
	f := start(t, "def handler(event, context):\n    return event\n", func(s *settings) { s.ReplySink = c.URL })
	if got := f.sendEvent(t, `{"a": 1}`); got.status != http.StatusAccepted || len(got.body) > 0 || got.header.Get("Ce-Type") != "" {
		t.Errorf("the sender is answered with %d %v %s, want 202 and nothing", got.status, got.header, got.body)
	}
	events := c.events()
	if len(events) != 1 {
		t.Fatalf("the sink got %d events, want 1", len(events))
	}
	if h := events[0].header; h.Get("Ce-Type") != "io.knative.lambda.response.success" || h.Get("Ce-Causationid") != "id-1" || h.Get("Content-Type") != "application/json" || string(events[0].body) != `{"a": 1}` {
		t.Errorf("the sink got %v %s", h, events[0].body)
	}
	if got := f.sendEvent(t, `{"specversion": "1.0", "type": "own"}`); got.status != http.StatusAccepted || c.events()[1].header.Get("Ce-Type") != "own" {
		t.Errorf("an event that the handler returned is answered with %d", got.status)
	}
	if got := f.sendEvent(t, ``); got.status != http.StatusNoContent || len(c.events()) != 2 {
		t.Errorf("nothing is answered with %d, and the sink has %d events", got.status, len(c.events()))
	}
	if got := f.sendJSON(t, `{"a": 1}`); string(got.body) != `{"a": 1}` {
		t.Errorf("a plain request is answered with %d %s", got.status, got.body)
	}
}

// TestSinksContinueTraces: by the header too, as RabbitMQ's broker drops the extension.
func TestSinksContinueTraces(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c := newCollector(t)
	f := start(t, echo, func(s *settings) { s.ReplySink = c.URL })
	f.sendEvent(t, `{}`, "Ce-Traceparent", traceparent, "Ce-Tracestate", "vendor=1")
	f.sendEvent(t, `{}`)
	events := c.events()
	for _, name := range []string{"Traceparent", "Ce-Traceparent"} {
		if got := events[0].header.Get(name); got != traceparent {
			t.Errorf("the sink got %s %q, want %q", name, got, traceparent)
		}
	}
	if got := events[0].header.Get("Tracestate"); got != "vendor=1" {
		t.Errorf("the sink got tracestate %q", got)
	}
	if got := events[1].header.Get("Traceparent"); got != "" {
		t.Errorf("of an event without a trace the sink got %q", got)
	}
}

func TestRepliesThatTheSinkDoesNotTake(t *testing.T) {
	hiccup := newCollector(t, 503, 429)
	f := start(t, echo, func(s *settings) { s.ReplySink = hiccup.URL })
	if got := f.sendEvent(t, `{}`); got.status != http.StatusAccepted || len(hiccup.events()) != 3 {
		t.Errorf("after two refusals the sender is answered with %d, the sink was asked %d times", got.status, len(hiccup.events()))
	}
	for name, url := range map[string]string{"refuses": newCollector(t, 400, 400, 400).URL, "sends elsewhere": newCollector(t, 302, 302, 302).URL, "is not there": "http://127.0.0.1:1"} {
		f := start(t, echo, func(s *settings) { s.ReplySink = url })
		got := f.sendEvent(t, `{}`)
		if got.status != http.StatusBadGateway || got.header.Get("Ce-Type") != "io.knative.lambda.response.error" || got.value(t)["type"] != "ReplyUndelivered" || got.value(t)["permanent"] != false {
			t.Errorf("a sink that %s: answered %d %s, want 502 so that the broker sends it again", name, got.status, got.body)
		}
	}
}

func TestFailuresGoToTheResponseSink(t *testing.T) {
	c := newCollector(t, 500)
	f := start(t, failing, func(s *settings) { s.ResponseSink = c.URL })
	for what, status := range map[string]int{"exception": 500, "permanent": 422, "fine": 200} {
		if got := f.sendEvent(t, `{"what": "`+what+`"}`, "Ce-Id", what); got.status != status {
			t.Errorf("%s is answered with %d, want %d", what, got.status, status)
		}
	}
	f.sendJSON(t, `{"what": "exception"}`) // no event: nothing for the sink
	f.sendEvent(t, `{bad`, "Ce-Id", "bad")
	eventually(t, "the events of three failures", func() bool { return len(c.events()) == 4 }) // one of them twice
	causes := map[string]string{}
	for _, e := range c.events() {
		if e.header.Get("Ce-Type") != "io.knative.lambda.response.error" {
			t.Errorf("the sink got a %s", e.header.Get("Ce-Type"))
		}
		causes[e.header.Get("Ce-Causationid")] = e.value(t)["type"].(string)
	}
	if len(causes) != 3 || causes["exception"] != "ValueError" || causes["permanent"] != "PermanentError" || causes["bad"] != "InvalidRequest" {
		t.Errorf("the sink got events of %v", causes)
	}
}

// TestResponseSinkDelaysNobody: answers do not wait for it, and what does not fit
// is counted as lost.
func TestResponseSinkDelaysNobody(t *testing.T) {
	c := newCollector(t)
	c.hold = make(chan struct{})
	release := sync.OnceFunc(func() { close(c.hold) })
	t.Cleanup(release) // or the collector would wait for its answers for ever
	port := freePort(t)
	f := start(t, "def handler(event, context):\n    raise ValueError\n", func(s *settings) { s.ResponseSink, s.MetricsPort = c.URL, port })
	const extra = 5
	for sent := range outboxLength + outboxSenders + extra {
		if got := f.sendEvent(t, `{}`); got.status != 500 {
			t.Fatalf("answered %d", got.status)
		}
		if sent < outboxSenders { // let the senders fill their hands first
			eventually(t, "a sender to take the event", func() bool { return len(c.events()) == sent+1 })
		}
	}
	release()
	f.server.Close() // sends all that waits
	if got := len(c.events()); got != outboxLength+outboxSenders {
		t.Errorf("the sink got %d events, want %d", got, outboxLength+outboxSenders)
	}
	text := strings.Join(scrape(t, port), "\n")
	for _, want := range []string{`lambda_response_events_total{result="lost"} 5`, `lambda_response_events_total{result="delivered"} 1004`} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no metric %s in\n%s", want, text)
		}
	}
	if got := f.sendEvent(t, `{}`); got.status != 500 { // one that comes too late is answered all the same
		t.Errorf("after Close answered %d", got.status)
	}
}

func TestCloseGivesUpASinkThatHangs(t *testing.T) {
	c := newCollector(t)
	c.hold = make(chan struct{})
	defer close(c.hold)
	telemetry, err := StartTelemetry(t.Context(), &Config{}, lookup())
	if err != nil {
		t.Fatal(err)
	}
	o := newOutbox(newSink(c.URL), telemetry)
	lost := event.New()
	o.add(&lost)
	began := time.Now()
	o.close(50 * time.Millisecond)
	if took := time.Since(began); took > patience/2 {
		t.Errorf("close took %v", took)
	}
}

func TestSinkAddresses(t *testing.T) {
	for _, text := range []string{"broker", "ftp://broker/", "http://", "http://a b"} {
		for _, key := range []string{"LAMBDA_REPLY_SINK", "LAMBDA_RESPONSE_SINK", "LAMBDA_CALLS_URL"} {
			if _, err := ConfigFromEnv(lookup(key + "=" + text)); err == nil || !strings.Contains(err.Error(), key+": expected a URL such as ") {
				t.Errorf("%s=%s: error %v", key, text, err)
			}
		}
	}
}
