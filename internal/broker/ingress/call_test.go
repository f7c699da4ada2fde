package ingress

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// callees of Broker team/default by their names.
type callees map[string]bool

func (c callees) Has(b Broker, to calls.Callee) bool { return b.Name == "default" && c[to.String()] }

func calling(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	h.handler.Callees = callees{"function/team/greeter": true, "agent/team/bruno": true}
	return h
}

func call(t *testing.T, path, body string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// TestCall_MakesEvent: any body is an event for the callee, with its bytes and its content
// type.
func TestCall_MakesEvent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path, body  string
		headers     []string
		subject     string
		contentType string
	}{
		"function":         {"/team/default/calls/function/greeter", `{"a": 1}`, []string{"Content-Type", "application/json"}, "team/greeter", "application/json"},
		"agent":            {"/team/default/calls/agent/bruno", "\x00\xff", []string{"Content-Type", "image/png"}, "team/agents/bruno", "image/png"},
		"parameters":       {"/team/default/calls/function/greeter", "a=b", []string{"Content-Type", "text/plain; charset=latin1"}, "team/greeter", "text/plain; charset=latin1"},
		"no content type":  {"/team/default/calls/function/greeter", "text", nil, "team/greeter", "application/octet-stream"},
		"no body":          {"/team/default/calls/function/greeter", "", nil, "team/greeter", ""},
		"a trailing slash": {"/team/default/calls/function/greeter/", "", nil, "team/greeter", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := calling(t)
			w := h.do(call(t, tc.path, tc.body, tc.headers...))
			var answer receiverv1.Call
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusAccepted {
				t.Fatalf("answer %d %q, %v; want 202", w.Code, w.Body, err)
			}
			e, _ := h.stored()
			if answer.ID == "" || answer.ID != e.ID() || w.Header().Get(CallIDHeader) != e.ID() {
				t.Errorf("id %q, header %q; the event has %q", answer.ID, w.Header().Get(CallIDHeader), e.ID())
			}
			if e.Type() != events.InvokeAsync || e.Subject() != tc.subject || e.Source() != "io.knative.lambda/ingress/team/default" || !e.Time().Equal(now) {
				t.Errorf("the event is %v", e)
			}
			if string(e.Data()) != tc.body || e.DataContentType() != tc.contentType {
				t.Errorf("data %q of type %q, want %q of %q", e.Data(), e.DataContentType(), tc.body, tc.contentType)
			}
		})
	}
}

// TestCall_KeepsEvent: a request that is an event keeps its id and extensions. Its source is
// the ingress, and it has no TTL of its own.
func TestCall_KeepsEvent(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*http.Request{
		"binary": post(t.Context(), "/team/default/calls/agent/bruno", "{}", "Ce-Tenant", "x", "Ce-Subject", "other", "Ce-Knativebrokerttl", "1"),
		"structured": call(t, "/team/default/calls/agent/bruno", `{"specversion":"1.0","id":"1","source":"/s","type":"t","tenant":"x","data":{}}`,
			"Content-Type", "application/cloudevents+json"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := calling(t)
			if w := h.do(r); w.Code != http.StatusAccepted || strings.TrimSpace(w.Body.String()) != `{"id":"1"}` {
				t.Fatalf("answer %d %q", w.Code, w.Body)
			}
			e, _ := h.stored()
			if e.ID() != "1" || e.Source() != events.Source("ingress", "team", "default") || e.Extensions()["knativebrokerttl"] == int32(1) || e.Extensions()["tenant"] != "x" || e.Type() != events.InvokeAsync || e.Subject() != "team/agents/bruno" {
				t.Errorf("the event is %v", e)
			}
		})
	}
}

// TestCall_WithoutABinding: a call that no Trigger is bound for would be lost, and is refused.
func TestCall_WithoutABinding(t *testing.T) {
	t.Parallel()
	h := calling(t)
	h.publisher.errs = []error{queue.ErrUnrouted, queue.ErrUnrouted}
	w := h.do(call(t, "/team/default/calls/function/greeter", "{}"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "is not bound yet") {
		t.Errorf("answer %d %v %q; want 503 with Retry-After", w.Code, w.Header(), w.Body)
	}
}

// TestCall_Refused: nothing is stored, and the answer says why.
func TestCall_Refused(t *testing.T) {
	t.Parallel()
	const greeter = "/team/default/calls/function/greeter"
	for name, tc := range map[string]struct {
		request *http.Request
		status  int
		message string
	}{
		"unknown function":  {call(t, "/team/default/calls/function/other", "{}"), 404, `delivers no calls to function "other"`},
		"of the other kind": {call(t, "/team/default/calls/agent/greeter", "{}"), 404, `delivers no calls to agent "greeter"`},
		"unknown Broker":    {call(t, "/team/other/calls/function/greeter", "{}"), 404, `has no Broker "other"`},
		"no name":           {call(t, "/team/default/calls/function", "{}"), 404, "/calls/function/<name>"},
		"another path":      {call(t, "/team/default/others/function/greeter", "{}"), 404, "is no Broker"},
		"too long":          {call(t, greeter, strings.Repeat("x", 1<<20+1)), 413, "longer than"},
		"no media type":     {call(t, greeter, "{}", "Content-Type", "no media type"), 400, "Content-Type"},
		"an invalid event":  {post(t.Context(), greeter, "{}", "Ce-Id", ""), 400, "not a valid CloudEvent"},
		"a long id":         {post(t.Context(), greeter, "{}", "Ce-Id", strings.Repeat("x", 1025)), 400, "attribute id has 1025 bytes"},
		"a batch":           {call(t, greeter, "[]", "Content-Type", "application/cloudevents-batch+json"), 400, "one CloudEvent"},
		"too many hops":     {call(t, greeter, "{}", "Lambda-Hops", "10"), 400, "10 Brokers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := calling(t)
			w := h.do(tc.request)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.message) || len(h.publisher.messages) > 0 {
				t.Errorf("answer %d %q, %d messages; want %d with %q", w.Code, w.Body, len(h.publisher.messages), tc.status, tc.message)
			}
		})
	}
}

// TestCall_Preference: respond-async is confirmed to who asks for it.
func TestCall_Preference(t *testing.T) {
	t.Parallel()
	for prefer, want := range map[string]string{
		"": "", "reply": "", "respond-async": "respond-async", "wait=10, Respond-Async; x=y": "respond-async",
	} {
		w := calling(t).do(call(t, "/team/default/calls/function/greeter", "{}", "Prefer", prefer))
		if got := w.Header().Get("Preference-Applied"); got != want || w.Code != http.StatusAccepted {
			t.Errorf("Prefer: %s: %d, Preference-Applied: %q, want %q", prefer, w.Code, got, want)
		}
	}
}
