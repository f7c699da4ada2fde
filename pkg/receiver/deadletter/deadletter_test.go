package deadletter_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

var (
	key   = types.NamespacedName{Namespace: "team", Name: "greeter"}
	queue = events.DeadLetterQueue("team", "greeter")
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

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
	said := base64.StdEncoding.EncodeToString([]byte(`{"type":"ValueError","message":"no\nway","permanent":true}`))
	for _, tt := range []struct {
		name    string
		in      map[string]any
		retries int
		want    map[string]any
	}{
		{"the function's words", map[string]any{"knativeerrorcode": 422, "knativeerrordata": said, "knativeerrordest": "http://f"}, 5,
			map[string]any{"lambdaerrorcode": "422", "lambdaerrorreason": "ValueError: no way", "lambdaattempts": "1", "lambdaorigin": "http://f"}},
		{"an answer that is tried again", map[string]any{"knativeerrorcode": "503"}, 5,
			map[string]any{"lambdaerrorcode": "503", "lambdaerrorreason": "the answer was 503 Service Unavailable", "lambdaattempts": "6"}},
		{"no answer", map[string]any{"knativeerrorcode": -1}, 0,
			map[string]any{"lambdaerrorcode": "-1", "lambdaerrorreason": "there was no answer", "lambdaattempts": "1"}},
		{"retries that are not known", map[string]any{"knativeerrorcode": 500, "knativeerrordata": "plain words"}, -1,
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "plain words"}},
		{"nothing that Knative said", nil, 5, map[string]any{}},
		{"what it says already stays", map[string]any{"knativeerrorcode": 500, "lambdaerrorreason": "first", "lambdaattempts": "3"}, 5,
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": "first", "lambdaattempts": "3"}},
		{"a long reason", map[string]any{"knativeerrorcode": 500, "knativeerrordata": strings.Repeat("é", 5000)}, -1,
			map[string]any{"lambdaerrorcode": "500", "lambdaerrorreason": strings.Repeat("é", 1023) + "…"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEvent("1", tt.in)
			deadletter.Annotate(e, tt.retries, now)
			tt.want["lambdadeadtime"] = "2026-01-02T03:04:05Z"
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
	deadletter.Annotate(e, 5, now)
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
	path := deadletter.Path + "team/greeter"
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
		{"for nobody's agent", http.MethodPost, deadletter.Path + "team/agents/greeter/more", binary, "{}", nil, http.StatusNotFound, "<namespace>/agents/<agent>"},
		{"no queue", http.MethodPost, deadletter.Path + "team/other", binary, "{}", nil, http.StatusServiceUnavailable, "no such dead letter queue"},
		{"full", http.MethodPost, path, binary, "{}", deadletter.ErrFull, http.StatusServiceUnavailable, "full"},
		{"no RabbitMQ", http.MethodPost, path, binary, "{}", deadletter.ErrUnavailable, http.StatusServiceUnavailable, "cannot be reached"},
		{"no event", http.MethodPost, path, map[string]string{"Content-Type": "application/json"}, "{}", nil, http.StatusBadRequest, "expected one CloudEvent"},
		{"an event without an id", http.MethodPost, path, map[string]string{"Ce-Specversion": "1.0", "Ce-Type": "t", "Ce-Source": "/s"}, "", nil, http.StatusBadRequest, "not a valid CloudEvent"},
		{"a batch", http.MethodPost, path, map[string]string{"Content-Type": "application/cloudevents-batch+json"}, "[]", nil, http.StatusBadRequest, "expected one"},
		{"too long", http.MethodPost, path, binary, strings.Repeat("x", 16<<20+1), nil, http.StatusRequestEntityTooLarge, "16 MiB"},
		{"no function", http.MethodPost, deadletter.Path + "team", binary, "{}", nil, http.StatusNotFound, "<namespace>/<function>"},
		{"a path that is more", http.MethodPost, path + "/more", binary, "{}", nil, http.StatusNotFound, "<namespace>/<function>"},
		{"read", http.MethodGet, path, nil, "", nil, http.StatusMethodNotAllowed, "POST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := rtesting.NewStore(queue)
			store.Err = tt.err
			observed := ""
			ingest := deadletter.NewIngest(store, rtesting.Functions{key: {}}, rtesting.Agents{key: {}}, never, func(_ context.Context, outcome string) { observed = outcome })
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

// never is what RabbitMQ puts into queues by itself.
func never(context.Context, string, string, string) bool { return false }

// TestIngestOfABoundLetter: what RabbitMQ has put into the queue is not put there
// again, and what it has not is.
func TestIngestOfABoundLetter(t *testing.T) {
	header := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Type": "t", "Ce-Source": "/s", "Content-Type": "application/json"}
	for _, tt := range []struct {
		name, query, outcome string
		bound                bool
		status, stored       int
	}{
		{"in the queue", "?binding=one", "bound", true, http.StatusOK, 0},
		{"not in the queue", "?binding=one", "stored", false, http.StatusAccepted, 1},
		{"not through a binding", "", "stored", true, http.StatusAccepted, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store, observed, asked := rtesting.NewStore(queue), "", ""
			bound := func(_ context.Context, namespace, binding, queue string) bool {
				asked = namespace + " " + binding + " " + queue
				return tt.bound
			}
			ingest := deadletter.NewIngest(store, rtesting.Functions{key: {}}, rtesting.Agents{key: {}}, bound, func(_ context.Context, outcome string) { observed = outcome })
			w := post(t, ingest, http.MethodPost, deadletter.Path+"team/greeter"+tt.query, header, "{}")
			if w.Code != tt.status || observed != tt.outcome || len(store.IDs(queue)) != tt.stored {
				t.Errorf("answer = %d, outcome %q, %d stored; want %d, %q, %d", w.Code, observed, len(store.IDs(queue)), tt.status, tt.outcome, tt.stored)
			}
			if want := "team one " + queue; tt.query != "" && asked != want {
				t.Errorf("asked for %q, want %q", asked, want)
			}
		})
	}
}

// recipient is a function, and the broker that gets its replies.
type recipient struct {
	*httptest.Server
	mu      sync.Mutex
	got     []string
	replies []string
	answer  func(id string) int
	broker  int
}

func newRecipient(t *testing.T, answer func(id string) int) *recipient {
	r := &recipient{answer: answer, broker: http.StatusAccepted}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if req.URL.Path == "/broker" {
			r.replies = append(r.replies, req.Header.Get("Ce-Id"))
			w.WriteHeader(r.broker)
			return
		}
		id := req.Header.Get("Ce-Id")
		r.got = append(r.got, id+" "+req.Header.Get("Ce-Lambdaretry"))
		status := r.answer(id)
		if status == http.StatusOK {
			for k, v := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "reply-" + id, "Ce-Type": "t", "Ce-Source": "/f"} {
				w.Header().Set(k, v)
			}
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "some words")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recipient) function() *v1alpha1.LambdaFunction {
	at := func(path string) *apis.URL {
		u, err := apis.ParseURL(r.URL + path)
		if err != nil {
			panic(err)
		}
		return u
	}
	return &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Status: v1alpha1.LambdaFunctionStatus{
			Address: &duckv1.Addressable{URL: at("/")},
			Brokers: []v1alpha1.BrokerStatus{{Name: "default", URL: at("/broker")}},
		},
	}
}

func service(t *testing.T, f *v1alpha1.LambdaFunction, n int) (*deadletter.Service, *rtesting.Store) {
	store := rtesting.NewStore(queue)
	for i := range n {
		if err := store.Publish(t.Context(), queue, newEvent(fmt.Sprint(i), map[string]any{"knativeerrorcode": 500, "lambdadeadtime": fmt.Sprintf("2026-01-0%dT00:00:00Z", 9-i)})); err != nil {
			t.Fatal(err)
		}
	}
	return &deadletter.Service{Store: store, Functions: rtesting.Functions{key: f}, Sender: deadletter.Sender{Client: http.DefaultClient}}, store
}

func TestReplay(t *testing.T) {
	r := newRecipient(t, func(id string) int {
		return map[string]int{"1": http.StatusInternalServerError, "2": http.StatusNoContent}[id] + map[bool]int{true: http.StatusOK}[id == "0" || id == "3"]
	})
	s, store := service(t, r.function(), 4)
	if err := store.Put(queue, &deadletter.Letter{Event: func() event.Event { e := event.New(); e.SetID("stray"); return e }(), Malformed: io.EOF}); err != nil {
		t.Fatal(err)
	}
	results := map[string]string{}
	if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{}, func(one deadletter.Result) {
		results[one.ID] = fmt.Sprint(one.Status, " ", one.Error)
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"0": "200 ", "1": "500 the answer was 500 Internal Server Error: some words", "2": "204 ", "3": "200 ",
		"stray": "0 it is not a CloudEvent and cannot be sent again; purge it"}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want, +got): %s", diff)
	}
	if diff := cmp.Diff([]string{"1", "stray"}, store.IDs(queue)); diff != "" {
		t.Errorf("what stays (-want, +got): %s", diff)
	}
	if len(r.got) != 4 || len(r.replies) != 2 {
		t.Errorf("the function got %v, the broker %v", r.got, r.replies)
	}
}

// TestReplayWhoseReplyIsNotTaken: a letter is done only when its reply is.
func TestReplayWhoseReplyIsNotTaken(t *testing.T) {
	r := newRecipient(t, func(string) int { return http.StatusOK })
	r.broker = http.StatusServiceUnavailable
	s, store := service(t, r.function(), 1)
	var result deadletter.Result
	if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "0"}, func(one deadletter.Result) { result = one }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(result.Error, "reply was not taken") || len(store.IDs(queue)) != 1 {
		t.Errorf("result = %+v, letters %v; want it to stay", result, store.IDs(queue))
	}
}

func TestReplayToAFunctionThatIsNotThere(t *testing.T) {
	s, _ := service(t, &v1alpha1.LambdaFunction{}, 1)
	err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{}, func(deadletter.Result) { t.Error("something was sent") })
	if err == nil || !strings.Contains(err.Error(), "no address yet") {
		t.Errorf("Replay() = %v, want that it has no address", err)
	}
	if err := s.Replay(t.Context(), deadletter.Function(types.NamespacedName{Namespace: "team", Name: "gone"}), deadletter.Selection{}, nil); err == nil {
		t.Error("Replay() = nil for a function that does not exist")
	}
}

func TestListShowPurge(t *testing.T) {
	f := &v1alpha1.LambdaFunction{}
	f.Spec.Eventing = &v1alpha1.FunctionEventing{DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(2)}}
	s, store := service(t, f, 3)
	listed, err := s.List(t.Context(), deadletter.Function(key), 2)
	if err != nil || len(listed) != 2 || listed[0].ID != "2" || listed[0].Attempts != 3 {
		t.Errorf("List() = %+v, %v; want the two oldest, with 3 attempts", listed, err)
	}
	found, err := s.Show(t.Context(), deadletter.Function(key), "1")
	if err != nil || len(found) != 1 || string(found[0].Event.Data()) != `{"n":1}` {
		t.Errorf("Show() = %+v, %v; want the letter with its data", found, err)
	}
	if n, err := s.Purge(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "1"}); n != 1 || err != nil {
		t.Errorf("Purge() of one = %d, %v", n, err)
	}
	if n, err := s.Purge(t.Context(), deadletter.Function(key), deadletter.Selection{}); n != 2 || err != nil || len(store.IDs(queue)) > 0 {
		t.Errorf("Purge() = %d, %v; want the other two", n, err)
	}
}
