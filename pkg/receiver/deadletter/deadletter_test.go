package deadletter_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	planeevent "github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

var (
	key   = types.NamespacedName{Namespace: "team", Name: "greeter"}
	queue = events.DeadLetterQueue("team", "greeter")
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// theKeys sign the paths of these tests.
var theKeys = func() *keyring.Keyring {
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		panic(err)
	}
	return k
}()

// pathOf is what the operator makes for an owner.
func pathOf(kind deadletter.Kind, namespace, name string) string {
	return receiverpath.Target{Purpose: receiverpath.DeadLetters, Kind: string(kind), Namespace: namespace, Name: name}.Path(theKeys)
}

// newIngest stores in the store.
func newIngest(store deadletter.Store, observe func(string)) http.Handler {
	return deadletter.NewIngest(deadletter.Ingest{
		Store: store, Keys: keyring.Static(theKeys), Observe: func(_ context.Context, outcome string) { observe(outcome) },
	})
}

// to sends requests for hosts of the cluster to test servers.
type to map[string]string

func (t to) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		at, ok := t[strings.TrimSuffix(address, ":80")]
		if !ok {
			return nil, errors.New("no such host: " + address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, at)
	}}}
}

func newEvent(id string, extensions map[string]any) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType("io.example.order")
	e.SetSource("/shop")
	for k, v := range extensions {
		e.SetExtension(k, v)
	}
	if err := e.SetData("application/json", []byte(`{"n":1}`)); err != nil {
		panic(err)
	}
	return &e
}

func TestAnnotate(t *testing.T) {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	said := encode(`{"type":"ValueError","message":"no\nway","permanent":true}`)
	cut := `{"type":"ValueError","message":"a long \ud83d\ude00`
	for _, tt := range []struct {
		name string
		in   map[string]any
		want map[string]any
	}{
		{"what the function answered", map[string]any{"knativeerrorcode": 422, "knativeerrordata": said, "knativeerrordest": "http://f"},
			map[string]any{"lambdaerrorcode": "422", "lambdaerrorreason": "ValueError: no way", "lambdaorigin": "http://f"}},
		{"a status alone", map[string]any{"knativeerrorcode": "503"},
			map[string]any{"lambdaerrorcode": "503", "lambdaerrorreason": "the answer was 503 Service Unavailable"}},
		{"no answer", map[string]any{"knativeerrorcode": -1},
			map[string]any{"lambdaerrorcode": "-1", "lambdaerrorreason": "there was no answer"}},
		{"no answer, by the dispatcher", map[string]any{"knativeerrorcode": 500, "lambdaerrorcode": "-1", "lambdaattempts": "6", "lambdadeadtime": "2026-01-01T00:00:00Z"},
			map[string]any{"lambdaerrorcode": "-1", "lambdaerrorreason": "there was no answer", "lambdaattempts": "6", "lambdadeadtime": "2026-01-01T00:00:00Z"}},
		{"a deleted target, by the dispatcher", map[string]any{"knativeerrorcode": 500, "knativeerrordata": encode("agent data/shop was deleted"), "lambdaerrorcode": "-1"},
			map[string]any{"lambdaerrorcode": "-1", "lambdaerrorreason": "agent data/shop was deleted"}},
		{"plain text", map[string]any{"knativeerrorcode": 500, "knativeerrordata": "plain words"},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "plain words"}},
		{"an answer that was cut", map[string]any{"knativeerrorcode": 500, "knativeerrordata": encode(cut)},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "ValueError: a long 😀"}},
		{"an answer that was cut in a character", map[string]any{"knativeerrorcode": 500, "knativeerrordata": encode(cut[:len(cut)-1])},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "ValueError: a long"}},
		{"an answer that was cut in the stack", map[string]any{"knativeerrorcode": 500, "knativeerrordata": encode(`{"type":"E","message":"m","permanent":false,"stack":"at\`)},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "E: m"}},
		{"another answer in JSON", map[string]any{"knativeerrorcode": 500, "knativeerrordata": encode(`{"detail":"x"}`)},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": `{"detail":"x"}`}},
		{"nothing known", nil, map[string]any{}},
		{"what is known stays", map[string]any{"knativeerrorcode": 500, "lambdaerrorreason": "first", "lambdaattempts": "3"},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "first", "lambdaattempts": "3"}},
		{"a long reason", map[string]any{"knativeerrorcode": 500, "knativeerrordata": strings.Repeat("é", 5000)},
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": strings.Repeat("é", 1023) + "…"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEvent("1", tt.in)
			deadletter.Annotate(e, now)
			if tt.want["lambdadeadtime"] == nil {
				tt.want["lambdadeadtime"] = "2026-01-02T03:04:05Z"
			}
			got := map[string]any{}
			for k, v := range e.Extensions() {
				if strings.HasPrefix(k, "lambda") {
					got[k] = v
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("extensions (-want, +got): %s", diff)
			}
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAgain(t *testing.T) {
	e := newEvent("1", map[string]any{"knativeerrorcode": 500, "knativeerrordest": "http://f", "partitionkey": "p", "lambdaretry": "2"})
	deadletter.Annotate(e, now)
	again := (&deadletter.Letter{Event: *e}).Again()
	if diff := cmp.Diff(map[string]any{"partitionkey": "p", "lambdaretry": "3"}, again.Extensions()); diff != "" {
		t.Errorf("extensions (-want, +got): %s", diff)
	}
	if again.ID() != "1" || again.Type() != "io.example.order" || string(again.Data()) != `{"n":1}` {
		t.Errorf("again = %v, want the event as it was", again)
	}
}

func post(t *testing.T, handler http.Handler, method, path string, header map[string]string, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestIngest(t *testing.T) {
	binary := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "/s", "Ce-Knativeerrorcode": "500", "Content-Type": "application/json"}
	path := pathOf("function", "team", "greeter")
	for _, tt := range []struct {
		name, method, path string
		header             map[string]string
		body               string
		err                error
		status             int
		want               string
	}{
		{"taken", http.MethodPost, path, binary, "{}", nil, http.StatusAccepted, ""},
		{"structured", http.MethodPost, path, map[string]string{"Content-Type": "application/cloudevents+json"}, `{"specversion":"1.0","id":"1","type":"t","source":"/s"}`, nil, http.StatusAccepted, ""},
		{"data that is not the JSON it says", http.MethodPost, path, binary, "{", nil, http.StatusAccepted, ""},
		{"no code", http.MethodPost, deadletter.Path + "team/greeter", binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"an agent's, without a code", http.MethodPost, deadletter.Path + "team/agents/greeter", binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"no such owner, without a code", http.MethodPost, deadletter.Path + "team/missing", binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"another function's code", http.MethodPost, deadletter.Path + "team/greeter/" + theKeys.Sign("dead-letters", "function", "team", "other"), binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"an agent's code of that name", http.MethodPost, deadletter.Path + "team/greeter/" + theKeys.Sign("dead-letters", "agent", "team", "greeter"), binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"the code of approvals", http.MethodPost, deadletter.Path + "team/agents/greeter/" + theKeys.Sign("approvals", "agent", "team", "greeter"), binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"control characters", http.MethodPost, path, map[string]string{"Content-Type": "application/cloudevents+json"}, `{"specversion":"1.0","id":"1","type":"t\u001b[2K","source":"/s"}`, nil, http.StatusBadRequest, "attribute type has control characters"},
		{"control characters in an extension", http.MethodPost, path, map[string]string{"Content-Type": "application/cloudevents+json"}, `{"specversion":"1.0","id":"1","type":"t","source":"/s","note":"a\nb"}`, nil, http.StatusBadRequest, "attribute note has control characters"},
		{"control characters in the reason", http.MethodPost, path, map[string]string{"Content-Type": "application/cloudevents+json"}, `{"specversion":"1.0","id":"1","type":"t","source":"/s","lambdaerrorreason":"a\u001b[2Jb"}`, nil, http.StatusAccepted, ""},
		{"no queue", http.MethodPost, pathOf("function", "team", "other"), binary, "{}", nil, http.StatusServiceUnavailable, "no such dead letter queue"},
		{"attributes too long", http.MethodPost, path, binary, "{}", &planeevent.AttributeError{Attribute: "note", Reason: "too long"}, http.StatusBadRequest, "attribute note: too long"},
		{"full", http.MethodPost, path, binary, "{}", deadletter.ErrFull, http.StatusServiceUnavailable, "full"},
		{"no RabbitMQ", http.MethodPost, path, binary, "{}", deadletter.ErrUnavailable, http.StatusServiceUnavailable, "cannot be reached"},
		{"no event", http.MethodPost, path, map[string]string{"Content-Type": "application/json"}, "{}", nil, http.StatusUnsupportedMediaType, "expected one CloudEvent"},
		{"an event without an id", http.MethodPost, path, map[string]string{"Ce-Specversion": "1.0", "Ce-Type": "t", "Ce-Source": "/s"}, "", nil, http.StatusBadRequest, "not a valid CloudEvent"},
		{"a batch", http.MethodPost, path, map[string]string{"Content-Type": "application/cloudevents-batch+json"}, "[]", nil, http.StatusUnsupportedMediaType, "expected one"},
		{"too long", http.MethodPost, path, binary, strings.Repeat("x", 16<<20+1), nil, http.StatusRequestEntityTooLarge, "longer than 16777216 bytes"},
		{"no function", http.MethodPost, deadletter.Path + "team", binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"a path that is more", http.MethodPost, path + "/more", binary, "{}", nil, http.StatusForbidden, "not one that the operator has made"},
		{"read", http.MethodGet, path, nil, "", nil, http.StatusMethodNotAllowed, "POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := rtesting.NewStore(queue)
			store.Err = tt.err
			observed := ""
			ingest := newIngest(store, func(outcome string) { observed = outcome })
			w := post(t, ingest, tt.method, tt.path, tt.header, tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("answer = %d %s, want %d that says %q", w.Code, w.Body, tt.status, tt.want)
			}
			if stored := len(store.IDs(queue)) == 1; stored != (tt.status == http.StatusAccepted) {
				t.Errorf("stored is %v with answer %d: an event is either kept or refused", stored, w.Code)
			}
			if (observed == "stored") != (tt.status == http.StatusAccepted) {
				t.Errorf("outcome = %q", observed)
			}
		})
	}
}
