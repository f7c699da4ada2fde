package deadletter_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

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
		if strings.HasPrefix(req.Host, "default-broker-ingress.") {
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
	return &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Status: v1alpha1.LambdaFunctionStatus{
			Address: &duckv1.Addressable{URL: apis.HTTP("greeter.team.svc.cluster.local")},
			Brokers: []v1alpha1.BrokerStatus{{Name: "default", URL: apis.HTTP("default-broker-ingress.team.svc.cluster.local")}},
		},
	}
}

// client reaches the function and its broker.
func (r *recipient) client() *http.Client {
	at := r.Listener.Addr().String()
	return to{"greeter.team.svc.cluster.local": at, "default-broker-ingress.team.svc.cluster.local": at}.client()
}

func service(t *testing.T, f *v1alpha1.LambdaFunction, n int, client *http.Client) (*deadletter.Service, *rtesting.Store) {
	store := rtesting.NewStore(queue)
	for i := range n {
		if err := store.Publish(t.Context(), queue, newEvent(fmt.Sprint(i), map[string]any{"knativeerrorcode": 500, "lambdaattempts": "3", "lambdadeadtime": fmt.Sprintf("2026-01-0%dT00:00:00Z", 9-i)})); err != nil {
			t.Fatal(err)
		}
	}
	return &deadletter.Service{Serving: rtesting.Serving{}, Store: store, Functions: rtesting.Functions{key: f}, Sender: deadletter.NewSender(client)}, store
}

func TestReplay(t *testing.T) {
	r := newRecipient(t, func(id string) int {
		return map[string]int{"1": http.StatusInternalServerError, "2": http.StatusNoContent}[id] + map[bool]int{true: http.StatusOK}[id == "0" || id == "3"]
	})
	s, store := service(t, r.function(), 4, r.client())
	if err := store.Put(queue, &deadletter.Letter{Event: func() event.Event { e := event.New(); e.SetID("stray"); return e }(), Malformed: io.EOF}); err != nil {
		t.Fatal(err)
	}
	results := map[string]string{}
	if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(one receiverv1.ReplayResult) {
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

// TestReplay_Outcome: an outcome that its destination did not take, or a reply that the
// Broker did not store, goes to the Broker and not to the function whose call it is of.
func TestReplay_Outcome(t *testing.T) {
	r := newRecipient(t, func(string) int { return http.StatusOK })
	s, store := service(t, r.function(), 0, r.client())
	for id, subject := range map[string]string{"outcome": "team/greeter", "another": "team/other", "reply": ""} {
		e := newEvent(id, map[string]any{"knativeerrorcode": 500})
		e.SetType("io.knative.lambda.response.error")
		e.SetSource("io.knative.lambda/function/team/greeter")
		e.SetSubject(subject)
		if id == "reply" {
			e.SetType("io.example.done")
			e.SetExtension("lambdaorigin", "http://default-broker-ingress.team.svc.cluster.local")
		}
		if err := store.Publish(t.Context(), queue, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(r receiverv1.ReplayResult) {
		if r.Error != "" {
			t.Errorf("%s: %s", r.ID, r.Error)
		}
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.replies)
	if len(r.got) != 1 || !strings.HasPrefix(r.got[0], "another") || !slices.Equal(r.replies, []string{"outcome", "reply", "reply-another"}) {
		t.Errorf("the function got %v, its Broker %v", r.got, r.replies)
	}
}

// TestReplayWhoseReplyIsNotTaken: a letter is done only when its reply is.
func TestReplayWhoseReplyIsNotTaken(t *testing.T) {
	r := newRecipient(t, func(string) int { return http.StatusOK })
	r.broker = http.StatusServiceUnavailable
	s, store := service(t, r.function(), 1, r.client())
	var result receiverv1.ReplayResult
	if err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "0"}, func(one receiverv1.ReplayResult) { result = one }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(result.Error, "did not accept the reply") || len(store.IDs(queue)) != 1 {
		t.Errorf("result = %+v, letters %v; want it to stay", result, store.IDs(queue))
	}
}

// TestReplay_MalformedReply: a function answers what the CloudEvents SDK panics on. The
// dead letter stays, and the receiver goes on.
func TestReplay_MalformedReply(t *testing.T) {
	t.Parallel()
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/cloudevents+json")
		_, _ = io.WriteString(w, `{"specversion":"1.0","id":"1","type":"x","source":"/s","data_base64":5}`)
	}))
	t.Cleanup(function.Close)
	s, store := service(t, (&recipient{}).function(), 1, to{"greeter.team.svc.cluster.local": function.Listener.Addr().String()}.client())
	var result receiverv1.ReplayResult
	err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "0"}, func(one receiverv1.ReplayResult) { result = one })
	if err != nil || !strings.Contains(result.Error, "the reply is not a valid CloudEvent") || len(store.IDs(queue)) != 1 {
		t.Errorf("Replay() = %v, result = %+v, dead letters %v; want it to stay", err, result, store.IDs(queue))
	}
}

// panicking is a transport that panics.
type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("broken") }

// TestReplay_WhenItPanics_Stays: a fault of the receiver is the result of one dead
// letter.
func TestReplay_WhenItPanics_Stays(t *testing.T) {
	t.Parallel()
	s, store := service(t, (&recipient{}).function(), 2, &http.Client{Transport: panicking{}})
	var results []receiverv1.ReplayResult
	err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(one receiverv1.ReplayResult) { results = append(results, one) })
	if err != nil || len(results) != 2 || !strings.Contains(results[0].Error, "inside the receiver") || len(store.IDs(queue)) != 2 {
		t.Errorf("Replay() = %v, results = %+v, dead letters %v; want both to stay", err, results, store.IDs(queue))
	}
}

func TestReplayToAFunctionThatIsNotThere(t *testing.T) {
	s, _ := service(t, &v1alpha1.LambdaFunction{}, 1, http.DefaultClient)
	err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(receiverv1.ReplayResult) { t.Error("something was sent") })
	if err == nil || !strings.Contains(err.Error(), "no address yet") {
		t.Errorf("Replay() = %v, want that it has no address", err)
	}
	if err := s.Replay(t.Context(), deadletter.Function(types.NamespacedName{Namespace: "team", Name: "gone"}), deadletter.Selection{All: true}, nil); err == nil {
		t.Error("Replay() = nil for a function that does not exist")
	}
}

func TestListShowPurge(t *testing.T) {
	s, store := service(t, &v1alpha1.LambdaFunction{}, 3, http.DefaultClient)
	listed, err := s.List(t.Context(), deadletter.Function(key), 2)
	if err != nil || len(listed) != 2 || listed[0].ID != "2" || listed[0].Source != "/shop" || listed[0].Attempts != 3 {
		t.Errorf("List() = %+v, %v; want the two oldest, with 3 attempts", listed, err)
	}
	found, err := s.Show(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "1"})
	if err != nil || len(found) != 1 || string(found[0].Event.Data()) != `{"n":1}` {
		t.Errorf("Show() = %+v, %v; want the letter with its data", found, err)
	}
	if n, err := s.Purge(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "1"}); n != 1 || err != nil {
		t.Errorf("Purge() of one = %d, %v", n, err)
	}
	if n, err := s.Purge(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}); n != 2 || err != nil || len(store.IDs(queue)) > 0 {
		t.Errorf("Purge() = %d, %v; want the other two", n, err)
	}
}

// TestSelection_Ambiguous: an id that several sources have names none of their events.
func TestSelection_Ambiguous(t *testing.T) {
	t.Parallel()
	r := newRecipient(t, func(string) int { return http.StatusNoContent })
	s, store := service(t, r.function(), 2, r.client())
	other := newEvent("1", nil)
	other.SetSource("/other")
	if err := store.Publish(t.Context(), queue, other); err != nil {
		t.Fatal(err)
	}
	replay := func(which deadletter.Selection) (n int, err error) {
		err = s.Replay(t.Context(), deadletter.Function(key), which, func(one receiverv1.ReplayResult) {
			if one.Error == "" {
				n++
			}
		})
		return n, err
	}
	purge := func(which deadletter.Selection) (int, error) {
		return s.Purge(t.Context(), deadletter.Function(key), which)
	}
	for name, do := range map[string]func(deadletter.Selection) (int, error){"Replay": replay, "Purge": purge} {
		n, err := do(deadletter.Selection{ID: "1"})
		if n != 0 || httpapi.StatusOf(err, 0) != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), `--source`) || !strings.Contains(err.Error(), `"/other", "/shop"`) {
			t.Errorf("%s() = %d, %v; want an error that names both sources and --source", name, n, err)
		}
	}
	if found, err := s.Show(t.Context(), deadletter.Function(key), deadletter.Selection{ID: "1"}); len(found) != 2 || err != nil {
		t.Errorf("Show() = %d dead letters, %v; want both", len(found), err)
	}
	if n, err := replay(deadletter.Selection{ID: "1", Source: "/other"}); n != 1 || err != nil {
		t.Errorf("Replay() with the source = %d, %v; want 1", n, err)
	}
	if n, err := purge(deadletter.Selection{ID: "1"}); n != 1 || err != nil {
		t.Errorf("Purge() of the only source = %d, %v; want 1", n, err)
	}
	if diff := cmp.Diff([]string{"0"}, store.IDs(queue)); diff != "" {
		t.Errorf("what remains (-want, +got): %s", diff)
	}
}
