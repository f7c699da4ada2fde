package agents

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var theKeys = func() *keyring.Keyring {
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		panic(err)
	}
	return k
}()

// at is the path that the operator makes for an agent of namespace team.
func at(purpose keyring.Purpose, agent string) string {
	return receiverpath.Target{Purpose: purpose, Kind: receiverpath.Agent, Namespace: "team", Name: agent}.Path(theKeys)
}

// world is a cluster with an agent, and the receiver.
type world struct {
	t       *testing.T
	cluster *fakelambda.Clientset
	stored  cache.Indexer // of requests
	events  http.Handler
	people  http.Handler
	audits  []string
	seen    []string
}

func index(t *testing.T, objects ...any) cache.Indexer {
	t.Helper()
	i := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, o := range objects {
		if err := i.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func newWorld(t *testing.T, change ...func(*v1alpha1.LambdaAgent)) *world {
	agent := &v1alpha1.LambdaAgent{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "uid"},
		Spec: v1alpha1.LambdaAgentSpec{
			OperationMode: v1alpha1.ModeSupervised,
			Approval:      &v1alpha1.ApprovalSpec{Providers: []v1alpha1.ApprovalProvider{"slack", "custom"}, Timeout: v1alpha1.NewDuration(time.Minute), TimeoutAction: "deny"},
			Eventing:      &v1alpha1.AgentEventing{Enabled: true, EventSource: "/team/bruno"},
			Permissions: &v1alpha1.PermissionsSpec{EventControls: &v1alpha1.EventControls{AllowEventDisable: true,
				ControlEventTypes: []string{"io.example.alarm"}, AllowedControlSources: []string{"/guard", "/guards/*"}}},
		},
	}
	for _, c := range change {
		c(agent)
	}
	w := &world{t: t, cluster: fakelambda.NewSimpleClientset(agent), stored: index(t)}
	h := NewHandler(Handler{
		Keys:   keyring.Static(theKeys),
		Agents: listers.NewLambdaAgentLister(index(t, agent.DeepCopy())), Requests: listers.NewApprovalRequestLister(w.stored),
		Client: w.cluster.LambdaV1alpha1(), Clock: clocktesting.NewFakePassiveClock(now), Config: config.DefaultEvents,
		Audit: func(_ context.Context, who, action string, a *v1alpha1.LambdaAgent) {
			w.audits = append(w.audits, who+" "+action+" "+a.Name)
		},
		Observe: func(_ context.Context, what, outcome string) { w.seen = append(w.seen, what+" "+outcome) },
	})
	mux := http.NewServeMux()
	h.Register(mux)
	w.events = mux
	kube := fake.NewClientset()
	kube.PrependReactor("create", "tokenreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: review.Spec.Token != "forged", User: authenticationv1.UserInfo{Username: review.Spec.Token}}
		return true, review, nil
	})
	kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r := review.Spec.ResourceAttributes
		review.Status.Allowed = r.Resource == "lambdaagents" && r.Subresource == "approvals" && r.Namespace == "team" && r.Name == "bruno" &&
			(r.Verb == "get" || review.Spec.User != "reader")
		return true, review, nil
	})
	people := http.NewServeMux()
	(&API{Agents: h.Agents, Client: h.Client, Clock: h.Clock, Access: access.NewReviewer(kube), Audit: h.Audit}).Register(people)
	w.people = people
	return w
}

func newEvent(id, eventType, source, data string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType(eventType)
	e.SetSource(source)
	if err := e.SetData(event.ApplicationJSON, []byte(data)); err != nil {
		panic(err)
	}
	return e
}

// post an event; the answer's event is nil where it is none.
func (w *world) post(path string, e event.Event) (int, *event.Event, string) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
	if err := cehttp.WriteRequest(binding.WithForceBinary(w.t.Context()), binding.ToMessage(&e), r); err != nil {
		w.t.Fatal(err)
	}
	recorded := httptest.NewRecorder()
	w.events.ServeHTTP(recorded, r)
	response := recorded.Result()
	defer response.Body.Close()
	if message := cehttp.NewMessageFromHttpResponse(response); message.ReadEncoding() != binding.EncodingUnknown {
		answer, err := binding.ToEvent(w.t.Context(), message)
		if err != nil {
			w.t.Fatal(err)
		}
		return response.StatusCode, answer, ""
	}
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, nil, string(body)
}

func (w *world) record() string {
	w.t.Helper()
	a, err := w.cluster.LambdaV1alpha1().LambdaAgents("team").Get(w.t.Context(), "bruno", metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Annotations[lambda.WithdrawnAnnotationKey]
}

// pending is the request of an id, in the receiver's cache too.
func (w *world) pending(id string) *v1alpha1.ApprovalRequest {
	w.t.Helper()
	all, err := w.cluster.LambdaV1alpha1().ApprovalRequests("team").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range all.Items {
		if all.Items[i].Spec.ID == id {
			if err := w.stored.Add(&all.Items[i]); err != nil {
				w.t.Fatal(err)
			}
			return &all.Items[i]
		}
	}
	w.t.Fatalf("there is no request %s", id)
	return nil
}

func (w *world) get(path string) (int, string) {
	recorded := httptest.NewRecorder()
	w.events.ServeHTTP(recorded, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return recorded.Code, recorded.Body.String()
}

// call the API as a user.
func (w *world) call(method, user, query, body string) (int, string) {
	r := httptest.NewRequest(method, receiverv1.ApprovalsPath("team", "bruno")+query, strings.NewReader(body))
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+user)
	}
	recorded := httptest.NewRecorder()
	w.people.ServeHTTP(recorded, r)
	return recorded.Code, recorded.Body.String()
}

func (w *world) decide(user, id, body string) (int, string) {
	return w.call(http.MethodPost, user, "?id="+id, body)
}

// newRequest posts an event in the structured mode.
func newRequest(t *testing.T, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/cloudevents+json")
	return r
}

func (w *world) serve(r *http.Request) (int, string) {
	recorded := httptest.NewRecorder()
	w.events.ServeHTTP(recorded, r)
	return recorded.Code, recorded.Body.String()
}
