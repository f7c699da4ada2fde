package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
)

func keyOf(name string) attribute.Key { return attribute.Key(name) }

// post an event in the binary mode, with these headers besides.
func post(ctx context.Context, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
	for _, pair := range [][2]string{{"Ce-Specversion", "1.0"}, {"Ce-Id", "1"}, {"Ce-Source", "/s"}, {"Ce-Type", "t"}, {"Content-Type", "application/json"}} {
		r.Header.Set(pair[0], pair[1])
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	return r
}

// builder of a request.
type builder func(ctx context.Context) *http.Request

func sends(path, body string, headers ...string) builder {
	return func(ctx context.Context) *http.Request { return post(ctx, path, body, headers...) }
}

func sendsStructured(body string) builder {
	return func(ctx context.Context) *http.Request { return structured(ctx, body) }
}

func sendsPlain(method, path string, body io.Reader) builder {
	return func(ctx context.Context) *http.Request {
		return httptest.NewRequestWithContext(ctx, method, path, body)
	}
}

func structured(ctx context.Context, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/team/default", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/cloudevents+json")
	return r
}

func TestStatus(t *testing.T) {
	t.Parallel()
	const path = "/team/default"
	for name, tc := range map[string]struct {
		request    builder
		errs       []error
		hang       bool
		authorizer Authorizer
		status     int
		reason     string // of the metric
		message    string // a part of it
		retry      string
	}{
		"accepted": {request: sends(path, "{}"), status: 202},
		"slash":    {request: sends(path+"/", "{}"), status: 202},
		"structured": {request: func(ctx context.Context) *http.Request {
			return structured(ctx, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}}`)
		}, status: 202},
		"version 0.3": {request: sends(path, "{}", "Ce-Specversion", "0.3"), status: 202},
		"no event": {
			request: sendsPlain(http.MethodPost, path, strings.NewReader("{}")),
			status:  400, reason: "invalid", message: "expected one CloudEvent",
		},
		"no id": {request: sends(path, "{}", "Ce-Id", ""), status: 400, reason: "invalid", message: "id: MUST"},
		"no JSON": {
			request: func(ctx context.Context) *http.Request { return structured(ctx, "{") },
			status:  400, reason: "invalid", message: "not a valid CloudEvent",
		},
		"a batch": {
			request: sends(path, "[]", "Ce-Specversion", "", "Content-Type", "application/cloudevents-batch+json"),
			status:  400, reason: "invalid", message: "expected one CloudEvent",
		},
		"control characters": {
			request: sendsStructured(`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"a\u0007"}`),
			status:  400, reason: "invalid", message: "attribute subject",
		},
		"TTL used up": {
			request: sends(path, "{}", "Ce-Knativebrokerttl", "0"),
			status:  400, reason: "ttl", message: "attribute knativebrokerttl is used up",
		},
		"TTL below zero": {
			request: sends(path, "{}", "Ce-Knativebrokerttl", "-3"),
			status:  400, reason: "ttl", message: "attribute knativebrokerttl is used up",
		},
		"TTL is text": {
			request: sends(path, "{}", "Ce-Knativebrokerttl", "x"),
			status:  400, reason: "ttl", message: "attribute knativebrokerttl is no integer",
		},
		"through too many Brokers": {
			request: sends(path, "{}", "Lambda-Hops", "10"),
			status:  400, reason: "ttl", message: "the event has come through 10 Brokers, the most that are allowed",
		},
		"hops are text": {
			request: sends(path, "{}", "Lambda-Hops", "x"),
			status:  400, reason: "ttl", message: "header Lambda-Hops is no number",
		},
		"hops below zero": {
			request: sends(path, "{}", "Lambda-Hops", "-2147483648"),
			status:  400, reason: "ttl", message: "header Lambda-Hops is no number",
		},
		"long attributes": {
			request: sendsStructured(`{"specversion":"1.0","id":"1","source":"/s","type":"t","big":"` + strings.Repeat("x", 200<<10) + `"}`),
			status:  400, reason: "attributes", message: "attribute big: the attributes have",
		},
		"long name": {
			request: sends(path, "{}", "Ce-"+strings.Repeat("n", 129), "x"),
			status:  400, reason: "attributes", message: "nnn…: the name has 129 bytes",
		},
		"header of the plane": {
			request: sendsStructured(`{"specversion":"0.3","id":"1","source":"/s","type":"t","lambda-attempts":5}`),
			status:  400, reason: "attributes", message: "attribute lambda-attempts",
		},
		"header of the plane in HTTP": {
			request: sends(path, "{}", "Ce-Lambda-Attempts", "5"),
			status:  400, reason: "attributes", message: "attribute lambda-attempts",
		},
		"attributes in the query": {request: sends(path+"?ce-type=a.b&token=x", "{}"), status: 202},
		"another attribute in the query": {
			request: sends(path+"?ce-id=2", "{}"),
			status:  400, reason: "attributes", message: "attribute id: a query sets source, type and subject only",
		},
		"control characters in the query": {
			request: sends(path+"?ce-subject=a%07", "{}"),
			status:  400, reason: "invalid", message: "attribute subject",
		},
		"long attributes in the query": {
			request: sends(path+"?ce-subject="+strings.Repeat("x", 200<<10), "{}"),
			status:  400, reason: "attributes", message: "attribute subject: the attributes have",
		},
		"no such Broker": {
			request: sends("/team/other", "{}"),
			status:  404, reason: "not_found", message: `no Broker "other"`,
		},
		"no such namespace": {
			request: sends("/empty/default", "{}"),
			status:  404, reason: "not_found", message: `namespace "empty"`,
		},
		"root":     {request: sends("/", "{}"), status: 404, reason: "not_found", message: "send events to"},
		"too few":  {request: sends("/team", "{}"), status: 404, reason: "not_found", message: "send events to"},
		"too many": {request: sends(path+"/x", "{}"), status: 404, reason: "not_found", message: "send events to"},
		"GET":      {request: sendsPlain(http.MethodGet, path, nil), status: 405, reason: "method", message: "GET"},
		"PUT": {request: func(ctx context.Context) *http.Request {
			r := post(ctx, path, "{}")
			r.Method = http.MethodPut
			return r
		}, status: 405, reason: "method", message: "PUT"},
		"too large, announced": {
			request: sends(path, strings.Repeat("x", 1<<20+1)),
			status:  413, reason: "too_large", message: "1048576 bytes",
		},
		"too large, chunked": {request: func(ctx context.Context) *http.Request {
			r := post(ctx, path, strings.Repeat("x", 1<<20+1))
			r.ContentLength = -1
			return r
		}, status: 413, reason: "too_large", message: "1048576 bytes"},
		"too large, structured": {request: func(ctx context.Context) *http.Request {
			r := structured(ctx, `{"specversion":"1.0","data":"`+strings.Repeat("x", 1<<20))
			r.ContentLength = -1
			return r
		}, status: 413, reason: "too_large", message: "1048576 bytes"},
		"as large as allowed": {request: sends(path, strings.Repeat("x", 1<<20)), status: 202},
		"aborted": {request: func(ctx context.Context) *http.Request {
			r := post(ctx, path, "")
			r.ContentLength = 5
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), failing{}))
			return r
		}, status: 400, reason: "invalid"},
		"unauthorized": {
			request:    sends(path, "{}"),
			authorizer: forbidding{}, status: 403, reason: "unauthorized", message: "not you",
		},
		"blocked": {
			request: sends(path, "{}"),
			errs:    []error{fmt.Errorf("x: %w", queue.ErrBlocked)}, status: 503, reason: "blocked", message: "memory or disk", retry: "15",
		},
		"nacked": {
			request: sends(path, "{}"),
			errs:    []error{queue.ErrFull}, status: 503, reason: "full", message: "queue of a Trigger is full", retry: "5",
		},
		"unavailable": {
			request: sends(path, "{}"),
			errs:    []error{queue.ErrUnavailable}, status: 503, reason: "unavailable", message: "did not confirm", retry: "5",
		},
		"no confirm": {
			request: sends(path, "{}"),
			hang:    true, status: 503, reason: "unavailable", message: "did not confirm", retry: "5",
		},
		"another error": {
			request: sends(path, "{}"),
			errs:    []error{errors.New("odd")}, status: 503, reason: "unavailable", message: "could not be stored", retry: "5",
		},
		"unrouted": {request: sends(path, "{}"), errs: []error{queue.ErrUnrouted}, status: 202},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.publisher.errs, h.publisher.hang, h.handler.Authorizer = tc.errs, tc.hang, tc.authorizer
			w := h.do(tc.request(t.Context()))
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.message) || tc.message == "" && tc.status == 202 && w.Body.Len() > 0 {
				t.Errorf("status %d, %q; want %d and %q", w.Code, w.Body, tc.status, tc.message)
			}
			if w.Body.Len() > 1000 {
				t.Errorf("the answer has %d bytes", w.Body.Len())
			}
			if got := w.Header().Get("Retry-After"); got != tc.retry {
				t.Errorf("Retry-After = %q, want %q", got, tc.retry)
			}
			if got := w.Header().Get("Allow"); got != "POST, OPTIONS" {
				t.Errorf("Allow = %q", got)
			}
			want := int64(1)
			if tc.status == 202 {
				want = 0
			}
			if got := h.sum("lambda.broker.refused", "", ""); got != want {
				t.Errorf("%d refusals were counted, want %d", got, want)
			}
			if got := h.sum("lambda.broker.refused", "reason", tc.reason); got != want {
				t.Errorf("%d refusals with reason %s, want %d", got, tc.reason, want)
			}
			if stored := len(h.publisher.messages) > 0; stored != (tc.status == 202 || len(tc.errs) > 0) {
				t.Errorf("published: %t", stored)
			}
		})
	}
}

// TestAttributesByQuery: they route the event, and policies of senders see them.
func TestAttributesByQuery(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var authorized string
	h.handler.Authorizer = authorizerFunc(func(e *cloudevents.Event) { authorized = e.Type() })
	if w := h.do(post(t.Context(), "/team/default?"+event.Query("/from", "a.b", "c"), "{}")); w.Code != http.StatusAccepted {
		t.Fatalf("status %d, %s", w.Code, w.Body)
	}
	e, p := h.stored()
	if e.Source() != "/from" || e.Type() != "a.b" || e.Subject() != "c" || e.ID() != "1" {
		t.Errorf("stored %v", e)
	}
	if want := routing.Keys("uid-1", "a.b", "/from"); !slices.Equal(p.keys, want) {
		t.Errorf("routed by %v, want %v", p.keys, want)
	}
	if authorized != "a.b" {
		t.Errorf("authorized as %q", authorized)
	}
}

type authorizerFunc func(*cloudevents.Event)

func (f authorizerFunc) Authorize(_ context.Context, _ *http.Request, _ Broker, e *cloudevents.Event) error {
	f(e)
	return nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type forbidding struct{}

func (forbidding) Authorize(context.Context, *http.Request, Broker, *cloudevents.Event) error {
	return refusef(http.StatusForbidden, "unauthorized", "not you")
}

// TestSenderLeft: the time that a sender does not wait for is not waited for here.
func TestSenderLeft(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.handler.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	h.publisher.hang, h.publisher.begun = true, cancel
	if w := h.do(post(ctx, "/team/default", "{}")); w.Code != http.StatusServiceUnavailable || h.sum("lambda.broker.refused", "reason", "aborted") != 1 {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	w := newHarness(t).do(httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/team/default", nil))
	for name, want := range map[string]string{"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"} {
		if got := w.Header().Get(name); got != want || w.Code != http.StatusOK {
			t.Errorf("status %d, %s = %q, want %q", w.Code, name, got, want)
		}
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var accepted []string
	h.handler.Accepted = func(_ context.Context, b Broker, e *cloudevents.Event) {
		accepted = append(accepted, b.Namespace+"/"+b.Name+" "+e.ID())
	}
	id := strings.Repeat("i", 300)
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote)
	if w := h.do(post(ctx, "/team/default", `{"a":1}`, "Ce-Id", id, "Ce-Ext", "x", "Ce-Knativearrivaltime", "forged")); w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body)
	}
	e, p := h.stored()
	if e.ID() != id || string(e.Data()) != `{"a":1}` || e.DataContentType() != "application/json" || e.Extensions()["ext"] != "x" {
		t.Errorf("event = %s", e)
	}
	if got := fmt.Sprint(e.Extensions()["knativearrivaltime"], " ", e.Extensions()["knativebrokerttl"]); got != "2026-01-02T03:04:05.678Z 255" {
		t.Errorf("arrival and TTL = %s", got)
	}
	if want := routing.Keys("uid-1", "t", "/s"); !slices.Equal(p.keys, want) {
		t.Errorf("keys = %s, want %s", p.keys, want)
	}
	transit := event.TransitOf(p.message)
	if got := trace.SpanContextFromContext(transit.ExtractTrace(t.Context())); got.TraceID() != remote.TraceID() || got.SpanID() == remote.SpanID() {
		t.Errorf("trace context = %+v", got)
	}
	if !transit.Arrival.Equal(now) || transit.Attempts != 0 {
		t.Errorf("transit = %+v", transit)
	}
	if !slices.Equal(accepted, []string{"team/default " + id}) {
		t.Errorf("accepted = %s", accepted)
	}
	spans := h.spans.Ended()
	if len(spans) != 1 || spans[0].Name() != "broker:default.team" || !slices.Contains(spans[0].Attributes(), attribute.String("messaging.system", "knative")) {
		t.Errorf("spans = %v", spans)
	}
	h.assertDuration(attribute.NewSet(attribute.String("kn.broker.name", "default"), attribute.String("kn.broker.namespace", "team"), attribute.String("http.response.status_code", "202")))
}

func (h *harness) assertDuration(want attribute.Set) {
	h.Helper()
	for _, m := range h.metrics() {
		if d, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "kn.eventing.dispatch.duration" {
			if len(d.DataPoints) != 1 || !d.DataPoints[0].Attributes.Equals(&want) || d.DataPoints[0].Count != 1 {
				h.Errorf("duration = %+v", d.DataPoints)
			}
			return
		}
	}
	h.Error("no duration was recorded")
}
