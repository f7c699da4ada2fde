package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"

	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

var errInner = errors.New("inner")

// TestStatusOf: the outermost status counts, and what an error wraps is still found.
func TestStatusOf(t *testing.T) {
	t.Parallel()
	missing := httpapi.Errorf(http.StatusNotFound, "NotFound", "no such queue")
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"a status", missing, http.StatusNotFound},
		{"a status that is wrapped", fmt.Errorf("%w: q", missing), http.StatusNotFound},
		{"another status around it", httpapi.Errorf(http.StatusServiceUnavailable, "", "%w", missing), http.StatusServiceUnavailable},
		{"not found by the API server", apierrs.NewNotFound(lambda.LambdaAgentResource, "a"), http.StatusNotFound},
		{"a conflict of the API server", apierrs.NewConflict(lambda.LambdaAgentResource, "a", errInner), http.StatusConflict},
		{"any other error", errInner, http.StatusTeapot},
	} {
		if got := httpapi.StatusOf(tt.err, http.StatusTeapot); got != tt.want {
			t.Errorf("StatusOf(%s) = %d, want %d", tt.name, got, tt.want)
		}
	}
	if err := httpapi.Errorf(http.StatusBadRequest, "", "outer: %w", errInner); !errors.Is(err, errInner) || err.Error() != "outer: inner" {
		t.Errorf("Errorf() = %v; want it to wrap the inner error", err)
	}
}

// TestHandle: an error is answered with its status and a Problem, and success is left to
// the handler.
func TestHandle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		retry  string
	}{
		{httpapi.Errorf(http.StatusForbidden, "Forbidden", "not you"), http.StatusForbidden, ""},
		{httpapi.Errorf(http.StatusServiceUnavailable, "Unavailable", "away"), http.StatusServiceUnavailable, "1"},
		{errInner, http.StatusInternalServerError, ""},
		{nil, http.StatusOK, ""},
	} {
		w := httptest.NewRecorder()
		httpapi.Handle(func(w http.ResponseWriter, _ *http.Request) error {
			if tt.err == nil {
				httpapi.WriteJSON(w, http.StatusOK, receiverv1.Purged{Purged: 2})
			}
			return tt.err
		})(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		var got struct {
			receiverv1.Problem
			receiverv1.Purged
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.status || w.Header().Get("Retry-After") != tt.retry || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%v: answer = %d %v, want %d and Retry-After %q", tt.err, w.Code, w.Header(), tt.status, tt.retry)
		}
		if tt.err != nil && got.Error != tt.err.Error() || tt.err == nil && got.Purged.Purged != 2 {
			t.Errorf("%v: body = %+v", tt.err, got)
		}
	}
}

// TestEventReader: what is refused has a status and holds no memory.
func TestEventReader(t *testing.T) {
	t.Parallel()
	limits := httpserver.Limits{Bytes: 1 << 20, BytesPerKey: 1 << 20, Places: 1, PlacesPerNamespace: 1, Wait: time.Millisecond}
	reader := httpapi.NewEventReader(limits, 100)
	const body = `{"specversion":"1.0","id":"1","type":"t","source":"/s","note":"%s"}`
	post := func(note string, prepare func(*event.Event)) (*event.Event, func(), error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(fmt.Sprintf(body, note)))
		r.Header.Set("Content-Type", "application/cloudevents+json")
		return reader.Read(httptest.NewRecorder(), r, "team", prepare)
	}
	for _, tt := range []struct {
		name, note string
		prepare    func(*event.Event)
		want       int // 0 for an event
	}{
		{"an event", "n", nil, 0},
		{"too long", strings.Repeat("x", 100), nil, http.StatusRequestEntityTooLarge},
		{"control characters", `a\u001bb`, nil, http.StatusBadRequest},
		{"control characters that are removed", `a\u001bb`, func(e *event.Event) { e.SetExtension("note", "ab") }, 0},
	} {
		e, release, err := post(tt.note, tt.prepare)
		if httpapi.StatusOf(err, 0) != tt.want || (e == nil) != (tt.want != 0) {
			t.Errorf("%s: Read() = %v, %v; want status %d", tt.name, e, err, tt.want)
		}
		if release != nil {
			release()
		}
		if n := reader.Used(); n != 0 {
			t.Errorf("%s: %d bytes are held", tt.name, n)
		}
	}
	leave, err := reader.Enter(t.Context(), "team")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Enter(t.Context(), "team"); httpapi.StatusOf(err, 0) != http.StatusServiceUnavailable {
		t.Errorf("Enter() without a place = %v; want status 503", err)
	}
	leave()
}

// TestRefuseEvent: what may pass by itself is 503.
func TestRefuseEvent(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	status := httpapi.RefuseEvent(w, errInner)
	if status != http.StatusServiceUnavailable || w.Code != status || w.Header().Get("Retry-After") != "1" || w.Body.String() != "inner\n" {
		t.Errorf("RefuseEvent() = %d, answer %d %v %q", status, w.Code, w.Header(), w.Body)
	}
	if got := httpapi.Outcome(http.StatusTooManyRequests); got != "too_many_requests" {
		t.Errorf("Outcome() = %s", got)
	}
}

// TestEventKey: source and id together, whatever characters they have.
func TestEventKey(t *testing.T) {
	t.Parallel()
	of := func(source, id string) string {
		e := event.New()
		e.SetSource(source)
		e.SetID(id)
		return httpapi.EventKey(&e)
	}
	first, again := of("/a", "1"), of("/a", "1")
	if first != again || first == of("/a", "2") || of("/a", "1") == of("/b", "1") || of("/a", "b1") == of("/ab", "1") {
		t.Error("EventKey() does not identify events by source and id")
	}
}
