package outcome

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cetypes "github.com/cloudevents/sdk-go/v2/types"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

var greeter = calls.Callee{Kind: receiverv1.KindFunction, NamespacedName: types.NamespacedName{Namespace: "team", Name: "greeter"}}

func record(id, eventType string, at time.Time, data string) *calls.Record {
	e := cloudevents.New()
	e.SetID(id + "-" + eventType)
	e.SetSource("/greeter")
	e.SetType(eventType)
	e.SetTime(at)
	e.SetExtension(events.CausationExtension, id)
	if eventType != events.ResponseSuccess {
		e.SetExtension(events.ErrorCodeExtension, "500")
		e.SetExtension(events.ErrorReasonExtension, "broken")
		e.SetExtension(events.AttemptsExtension, "3")
	}
	e.SetDataContentType("text/plain")
	e.DataEncoded = []byte(data)
	return &calls.Record{Callee: greeter, Source: "/caller", Outcome: &e}
}

// in the namespace is the record of a function there.
func in(namespace string, r *calls.Record) *calls.Record {
	r.Callee.Namespace = namespace
	return r
}

// TestIndex_Bounds: an outcome is there once, and until it is too old or too many others
// have come.
func TestIndex_Bounds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := clocktesting.NewFakePassiveClock(now)
	i := NewIndex(c)
	i.maxBytes = 10 * sizeOf(record("more-0", events.ResponseSuccess, now, "done"))
	for range 2 {
		i.Add(record("1", events.ResponseSuccess, now, "done"), now)
	}
	if found := i.Find(greeter, "1"); len(found) != 1 || len(i.byNamespace["team"].entries) != 1 {
		t.Errorf("%d outcomes of %d, want 1", len(found), len(i.byNamespace["team"].entries))
	}
	other := greeter
	other.Kind = receiverv1.KindAgent
	if found := i.Find(other, "1"); len(found) != 0 {
		t.Errorf("an agent has %d outcomes of a function", len(found))
	}
	for n := range 10 {
		i.Add(record("more-"+strconv.Itoa(n), events.ResponseSuccess, now, "done"), now)
	}
	if len(i.Find(greeter, "1")) != 0 || len(i.Find(greeter, "more-9")) != 1 || i.bytes != i.maxBytes || len(i.byCall) != 10 {
		t.Errorf("%d outcomes of %d bytes, the oldest is there: %v", len(i.byCall), i.bytes, i.Find(greeter, "1"))
	}
	c.SetTime(now.Add(calls.MaxAge + time.Second))
	if found := i.Find(greeter, "more-9"); len(found) != 0 {
		t.Errorf("%d outcomes are too old", len(found))
	}
	last := in("other", record("new", events.ResponseSuccess, c.Now(), "done"))
	i.Add(last, c.Now())
	if len(i.byNamespace) != 1 || len(i.byCall) != 1 || i.bytes != sizeOf(last) {
		t.Errorf("%d outcomes of %d bytes in %d namespaces stay, want 1", len(i.byCall), i.bytes, len(i.byNamespace))
	}
}

// TestIndex_Namespaces: the namespace that holds the most displaces its own outcomes.
func TestIndex_Namespaces(t *testing.T) {
	t.Parallel()
	now := time.Now()
	i := NewIndex(clocktesting.NewFakePassiveClock(now))
	i.maxBytes = 10 * sizeOf(record("0", events.ResponseSuccess, now, "done"))
	i.Add(record("1", events.ResponseSuccess, now, "done"), now)
	for n := range 100 {
		i.Add(in("loud", record(strconv.Itoa(n), events.ResponseSuccess, now, "done")), now)
	}
	i.Add(record("2", events.ResponseSuccess, now, "done"), now)
	if len(i.Find(greeter, "1")) != 1 || len(i.Find(greeter, "2")) != 1 {
		t.Error("a namespace has displaced the outcomes of another")
	}
	if loud := i.byNamespace["loud"]; i.bytes > i.maxBytes || len(loud.entries) < 7 || loud.entries[len(loud.entries)-1].ID() != "99" {
		t.Errorf("%d bytes of %d, %d outcomes of the namespace that holds the most", i.bytes, i.maxBytes, len(loud.entries))
	}
}

// TestIndex_Arrival: outcomes expire by their arrival, whatever time their events have.
func TestIndex_Arrival(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := clocktesting.NewFakePassiveClock(now)
	i := NewIndex(c)
	for id, at := range map[string][2]time.Time{ // the event's, and that of arrival
		"future":      {now.Add(1000 * time.Hour), now},
		"missing":     {{}, now},
		"old":         {now.Add(-1000 * time.Hour), now},
		"ahead":       {now, now.Add(1000 * time.Hour)},
		"not known":   {now, {}},
		"sent before": {now, now.Add(-calls.MaxAge - time.Second)},
	} {
		i.Add(record(id, events.ResponseSuccess, at[0], "done"), at[1])
		if found := i.Find(greeter, id); (len(found) == 1) != (id != "sent before") {
			t.Errorf("%s: %d outcomes", id, len(found))
		}
	}
	c.SetTime(now.Add(calls.MaxAge + time.Second))
	i.Add(record("new", events.ResponseSuccess, now, "done"), c.Now())
	if len(i.byCall) != 1 {
		t.Errorf("%d outcomes stay after an hour, want the new one", len(i.byCall))
	}
}

// TestIndex_Memory: the index counts at least what its outcomes hold. The test is not
// parallel: others would allocate as well.
func TestIndex_Memory(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	for name, edit := range map[string]func(r *calls.Record, id string){
		"small":      func(*calls.Record, string) {},
		"data":       func(r *calls.Record, _ string) { r.Outcome.DataEncoded = []byte(long) },
		"subject":    func(r *calls.Record, _ string) { r.Outcome.SetSubject(long) },
		"id":         func(r *calls.Record, id string) { r.Outcome.SetExtension(events.CausationExtension, id+long) },
		"source":     func(r *calls.Record, _ string) { r.Source = long; r.Outcome.SetSource("/%41" + long) },
		"one":        func(r *calls.Record, _ string) { r.Outcome.SetExtension("long", long) },
		"extensions": func(r *calls.Record, _ string) { extend(r, 200, "x") },
		"uris":       func(r *calls.Record, _ string) { extend(r, 200, cetypes.ParseURI("http://example.com/%41")) },
	} {
		i := NewIndex(clock.RealClock{})
		before := heap()
		for n := range 200 {
			id := strconv.Itoa(n)
			r := record(id, events.ResponseError, time.Now(), "done")
			edit(r, id)
			m, err := calls.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range m.Headers { // as from a connection
				if text, ok := value.(string); ok {
					m.Headers[name] = strings.Clone(text)
				}
			}
			m.Body = slices.Clone(m.Body)
			if r, err = calls.Decode(m); err != nil {
				t.Fatal(err)
			}
			i.Add(r, time.Time{})
		}
		if held, entries := heap()-before, len(i.byNamespace["team"].entries); held > i.bytes || i.bytes > i.maxBytes {
			t.Errorf("%s: %d outcomes hold %d bytes, of which %d are counted", name, entries, held, i.bytes)
		}
	}
}

func extend(r *calls.Record, n int, value any) {
	for k := range n {
		r.Outcome.SetExtension("e"+strconv.Itoa(k), value)
	}
}

func heap() int {
	var m goruntime.MemStats
	goruntime.GC()
	goruntime.GC()
	goruntime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestIndex_Follow reads what was there before and what comes, and ignores what is none.
func TestIndex_Follow(t *testing.T) {
	t.Parallel()
	engine := memory.New()
	defer engine.Close(context.Background())
	put := func(id string) {
		t.Helper()
		m, err := calls.Encode(record(id, events.ResponseSuccess, time.Now(), "done"))
		if err == nil {
			err = engine.Put(t.Context(), calls.Outcomes, m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := engine.Declare(t.Context(), calls.Declaration()); err != nil {
		t.Fatal(err)
	}
	put("before")
	broken, err := calls.Encode(record("broken", events.ResponseSuccess, time.Now(), ""))
	if err != nil {
		t.Fatal(err)
	}
	delete(broken.Headers, "type")
	if err := engine.Put(t.Context(), calls.Outcomes, broken); err != nil {
		t.Fatal(err)
	}
	i := NewIndex(clock.RealClock{})
	if _, err := i.Follow(t.Context(), engine); err != nil {
		t.Fatal(err)
	}
	put("after")
	deadline := time.Now().Add(10 * time.Second)
	for len(i.Find(greeter, "before")) == 0 || len(i.Find(greeter, "after")) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("outcomes are missing")
		}
		time.Sleep(time.Millisecond)
	}
	if found := i.Find(greeter, "broken"); len(found) != 0 {
		t.Errorf("a message that is no event is an outcome: %v", found)
	}
}

// reviewer knows the token of ann, who may get dead letters of greeter.
func reviewer() *access.Reviewer {
	kube := fake.NewClientset()
	kube.PrependReactor("create", "tokenreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: review.Spec.Token}}
		return true, review, nil
	})
	kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r := review.Spec.ResourceAttributes
		review.Status.Allowed = review.Spec.User == "ann" && r.Resource == "lambdafunctions" && r.Subresource == "deadletters" && r.Verb == "get" && r.Name == "greeter"
		return true, review, nil
	})
	return access.NewReviewer(kube)
}

// TestAPI: who may read dead letters may read outcomes, by the id of the call.
func TestAPI(t *testing.T) {
	t.Parallel()
	i := NewIndex(clock.RealClock{})
	i.Add(record("1", events.ResponseError, time.Now(), "{}"), time.Now())
	var audits []string
	var reading error
	a := &API{Index: i, Access: reviewer(), Reading: func() error { return reading }, Audit: func(_ context.Context, user, action string, o deadletter.Owner) {
		audits = append(audits, user+" "+action+" "+string(o.Kind)+" "+o.String())
	}}
	mux := http.NewServeMux()
	a.Register(mux)
	get := func(path, user string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+user)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	path := receiverv1.OutcomesPath(receiverv1.KindFunction, "team", "greeter")
	for _, tt := range []struct {
		path, user string
		reading    error
		want       int
	}{
		{path + "?id=1", "bob", nil, http.StatusForbidden},
		{receiverv1.OutcomesPath(receiverv1.KindAgent, "team", "greeter") + "?id=1", "ann", nil, http.StatusForbidden},
		{path, "ann", nil, http.StatusBadRequest},
		{path + "?id=", "ann", nil, http.StatusBadRequest},
		{path + "?id=2", "ann", nil, http.StatusNotFound},
		{path + "?id=2", "ann", errors.New("away"), http.StatusServiceUnavailable},
		{path + "?id=1", "ann", errors.New("away"), http.StatusOK},
	} {
		reading = tt.reading
		w := get(tt.path, tt.user)
		if w.Code != tt.want {
			t.Errorf("%s by %s: %d %s, want %d", tt.path, tt.user, w.Code, w.Body, tt.want)
		}
		if tt.want == http.StatusNotFound && !strings.Contains(w.Body.String(), "ended more than 1h ago, or was displaced by newer ones") {
			t.Errorf("%s: %s", tt.path, w.Body)
		}
	}
	var list receiverv1.OutcomeList
	if err := json.Unmarshal(get(path+"?id=1", "ann").Body.Bytes(), &list); err != nil || len(list.Items) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	o := list.Items[0]
	if o.ID != "1" || o.Source != "/caller" || o.Type != events.ResponseError || o.ErrorCode != 500 || o.ErrorReason != "broken" || o.Attempts != 3 || o.Time == "" {
		t.Errorf("the outcome is %+v", o)
	}
	if len(audits) != 2 || audits[0] != "ann shown function team/greeter" {
		t.Errorf("audits %v", audits)
	}
}
