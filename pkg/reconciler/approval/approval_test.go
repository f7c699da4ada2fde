package approval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a cluster with a supervised agent that asked for something.
type world struct {
	*decider
	asker    *asker
	t        *testing.T
	agent    *v1alpha1.LambdaAgent
	request  *v1alpha1.ApprovalRequest
	cluster  *fakelambda.Clientset
	stored   cache.Indexer
	recorder *record.FakeRecorder
	clock    *clocktesting.FakeClock
	// answer of the endpoint, and what came to it and to Slack.
	status int
	answer string
	mu     sync.Mutex
	asked  []string
	// enqueued by calls that ended.
	enqueued chan types.NamespacedName
	// told to the broker, which fails with an error.
	told      []event.Event
	brokerErr error
	again     []time.Duration
}

func newWorld(t *testing.T, change ...func(*v1alpha1.ApprovalSpec)) *world {
	w := &world{t: t, status: http.StatusAccepted, recorder: record.NewFakeRecorder(16), clock: clocktesting.NewFakeClock(now), enqueued: make(chan types.NamespacedName, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, strings.Join([]string{r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Ce-Type"), r.Header.Get("Ce-Id"), r.Header.Get("Ce-Source"), string(body)}, "|"))
		out.WriteHeader(w.status)
		fmt.Fprint(out, w.answer)
	}))
	t.Cleanup(server.Close)
	secret := corev1.LocalObjectReference{Name: "keys"}
	spec := &v1alpha1.ApprovalSpec{
		Providers: []v1alpha1.ApprovalProvider{"slack", "custom"}, Timeout: v1alpha1.NewDuration(time.Minute), TimeoutAction: "deny",
		Slack:  &v1alpha1.SlackApproval{Channel: "#ops", WebhookSecretRef: corev1.SecretKeySelector{LocalObjectReference: secret, Key: "slack"}},
		Custom: &v1alpha1.CustomApproval{Endpoint: server.URL + "/decide", SecretRef: &corev1.SecretKeySelector{LocalObjectReference: secret, Key: "token"}},
	}
	for _, c := range change {
		c(spec)
	}
	broker, _ := apis.ParseURL("http://broker.test")
	w.agent = &v1alpha1.LambdaAgent{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "uid"},
		Spec:       v1alpha1.LambdaAgentSpec{OperationMode: v1alpha1.ModeSupervised, Approval: spec, Eventing: &v1alpha1.AgentEventing{Enabled: true, EventSource: "/team/bruno"}},
		Status:     v1alpha1.LambdaAgentStatus{Broker: &v1alpha1.BrokerStatus{Name: "bruno", URL: broker}},
	}
	w.request = approval.New(w.agent, "1", &events.ApprovalRequest{Action: "reboot"}, []byte(`{"action":"reboot","description":"it hangs"}`), 0, now)
	w.request.UID = "request"
	w.cluster = fakelambda.NewSimpleClientset(w.agent, w.request)
	agents := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	w.stored = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := agents.Add(w.agent); err != nil {
		t.Fatal(err)
	}
	keys := &corev1.Secret{Data: map[string][]byte{"slack": []byte(server.URL + "/hook\n"), "token": []byte("t0ken")}}
	w.decider = &decider{
		requests: listers.NewApprovalRequestLister(w.stored), agents: listers.NewLambdaAgentLister(agents), client: w.cluster.LambdaV1alpha1(),
		recorder: w.recorder, clock: w.clock,
		after: func(_ types.NamespacedName, d time.Duration) { w.again = append(w.again, d) },
	}
	w.asker = &asker{
		secret: func(_ context.Context, namespace, name string) (*corev1.Secret, error) {
			if namespace != "team" || name != "keys" {
				return nil, apierrs.NewNotFound(corev1.Resource("secrets"), name)
			}
			return keys, nil
		},
		client: egress.Client(egress.Policy{Allowed: egress.Prefixes("127.0.0.0/8")}.Check, time.Minute),
	}
	post := func(_ context.Context, url string, e *event.Event) error {
		if url != "http://broker.test" {
			t.Errorf("told %s", url)
		}
		if w.brokerErr == nil {
			w.told = append(w.told, *e)
		}
		return w.brokerErr
	}
	w.calls = newCalls(w.asker, post, w.clock, func(k types.NamespacedName) { w.enqueued <- k }, w.IsLeaderFor)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.calls.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := w.Promote(reconciler.UniversalBucket(), nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// run passes over the request as the API server has it, until no call is on its way.
func (w *world) run() error {
	w.t.Helper()
	for {
		w.again = nil
		if r := w.now(); r != nil {
			if err := w.stored.Add(r); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := w.Reconcile(w.t.Context(), "team/"+w.request.Name); err != nil {
			return err
		}
		if !w.calling() && len(w.enqueued) == 0 {
			return nil
		}
		w.await()
	}
}

// calling reports whether a call for the request has not ended.
func (w *world) calling() bool {
	r := w.now()
	if r == nil || r.Status.ToldTime != nil {
		return false
	}
	pending := func(id call) bool {
		_, ok := w.calls.Peek(id)
		return w.calls.Wanted(id) && !ok
	}
	if r.Status.Decision != "" {
		return pending(deliveryCall(r, w.agent.Status.Broker.URL))
	}
	return slices.ContainsFunc(r.Spec.Providers, func(p v1alpha1.ApprovalProvider) bool {
		return !asked(r, p) && pending(askCall(r, w.agent, p))
	})
}

// await the end of a call.
func (w *world) await() {
	w.t.Helper()
	select {
	case <-w.enqueued:
	case <-time.After(time.Minute):
		w.t.Fatal("no call has ended")
	}
}

// retry lets time pass until a call that failed has been made again with another outcome.
func (w *world) retry() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(w.enqueued) == 0; {
		w.clock.Step(firstRetry / 2)
		select {
		case k := <-w.enqueued:
			w.enqueued <- k
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			w.t.Fatal("the call is not made again")
		}
	}
	w.await()
}

// now is the request as it is; nil when it is gone.
func (w *world) now() *v1alpha1.ApprovalRequest {
	r, err := w.cluster.LambdaV1alpha1().ApprovalRequests("team").Get(w.t.Context(), w.request.Name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return r
}

func (w *world) must() {
	w.t.Helper()
	if err := w.run(); err != nil {
		w.t.Fatal(err)
	}
}

// TestGranted: a provider that was asked once decides later; the outcome is delivered
// until the broker has accepted it, and the request is kept for a while.
func TestGranted(t *testing.T) {
	w := newWorld(t)
	w.must()
	w.must() // asks no provider twice
	if len(w.asked) != 2 {
		t.Fatalf("asked %q", w.asked)
	}
	if want := `/decide|Bearer t0ken|io.knative.lambda.approval.requested|1|/team/bruno|{"action":"reboot","description":"it hangs"}`; !slices.Contains(w.asked, want) {
		t.Errorf("asked %q, want %s", w.asked, want)
	}
	r := w.now()
	if err := approval.Cast(r, approval.Vote{Decision: "granted", By: "ann", Reason: "go"}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := w.write(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.brokerErr = errors.New("refused")
	w.must()
	if w.now().Status.ToldTime != nil {
		t.Error("an outcome that the broker refused counts as delivered")
	}
	w.brokerErr = nil
	w.retry()
	w.must()
	if len(w.told) != 1 || w.told[0].Type() != "io.knative.lambda.approval.granted" || w.now().Status.ToldTime == nil {
		t.Fatalf("told %v", w.told)
	}
	w.clock.SetTime(w.now().Status.ToldTime.Time)
	w.must()
	if len(w.told) != 1 || !slices.Equal(w.again, []time.Duration{Retention}) {
		t.Errorf("told %d times, again after %v", len(w.told), w.again)
	}
	w.clock.Step(Retention)
	w.must()
	if w.now() != nil {
		t.Error("it is still there")
	}
	for _, want := range []string{`Normal ApprovalRequested Asked for approval of "reboot", request "1"`, `Normal ApprovalGranted "reboot", request "1", was granted by ann`} {
		if got := <-w.recorder.Events; got != want {
			t.Errorf("Kubernetes event %q, want %q", got, want)
		}
	}
}

// TestRetry: a provider that fails is asked again, until it has taken the question.
func TestRetry(t *testing.T) {
	w := newWorld(t, func(s *v1alpha1.ApprovalSpec) { s.Providers = []v1alpha1.ApprovalProvider{"custom"} })
	w.status = http.StatusInternalServerError
	w.must()
	if n := w.now().Status.Notices; len(n) != 1 || n[0].Time != nil || !strings.Contains(n[0].Error, "500") {
		t.Fatalf("notices = %+v, want an error", n)
	}
	w.mu.Lock()
	w.status = http.StatusAccepted
	w.mu.Unlock()
	w.retry()
	w.must()
	if n := w.now().Status.Notices; len(n) != 1 || n[0].Time == nil || n[0].Error != "" {
		t.Errorf("notices = %+v, want one without an error", n)
	}
}

// TestTimeout: a request without a decision is decided as the spec says.
func TestTimeout(t *testing.T) {
	for action, want := range map[string]v1alpha1.ApprovalDecision{"deny": "denied", "approve": "granted"} {
		w := newWorld(t, func(s *v1alpha1.ApprovalSpec) { s.TimeoutAction = action })
		w.clock.SetTime(now.Add(time.Minute))
		w.must()
		if s := w.now().Status; s.Decision != want || s.DecidedBy != "timeout" || len(w.asked) != 0 {
			t.Errorf("%s: %+v, asked %q", action, s, w.asked)
		}
		w.must()
		if len(w.told) != 1 || !strings.HasSuffix(w.told[0].Type(), string(want)) {
			t.Errorf("%s: told %v", action, w.told)
		}
	}
}

// TestCustomDecides: an endpoint may answer with a decision.
func TestCustomDecides(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int
		all          bool
		decision     v1alpha1.ApprovalDecision
		err          string
	}{
		{"granted", `{"decision":"granted","reason":"fine"}`, 200, false, "granted", ""},
		{"denied", `{"decision":"denied"}`, 200, true, "denied", ""},
		{"one consent of two", `{"decision":"granted"}`, 200, true, "", ""},
		{"later", "", 200, false, "", ""},
		{"later, too", `{"decision":"granted"}`, 202, false, "", ""},
		{"another word", `{"decision":"yes"}`, 200, false, "", "expected granted or denied"},
		{"no JSON", `granted`, 200, false, "", "expected {"},
		{"an error", "", 500, false, "", "the answer was 500"},
		{"a redirect", "", 302, false, "", "the answer was 302"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(s *v1alpha1.ApprovalSpec) { s.RequireAll = tt.all })
			w.request.Status.Notices = []v1alpha1.ApprovalNotice{{Provider: "slack", Time: &metav1.Time{Time: now}}}
			if _, err := w.write(t.Context(), w.request); err != nil {
				t.Fatal(err)
			}
			w.status, w.answer = tt.status, tt.answer
			w.must()
			s := w.now().Status
			if s.Decision != tt.decision || (s.Notices[1].Error != "") != (tt.err != "") {
				t.Errorf("decision %q, notices %+v", s.Decision, s.Notices)
			}
			if tt.err != "" && !strings.Contains(s.Notices[1].Error, tt.err) {
				t.Errorf("the notice says %q, want %q", s.Notices[1].Error, tt.err)
			}
			if tt.all && tt.decision == "" && len(s.Consents) != 1 {
				t.Errorf("consents = %v", s.Consents)
			}
		})
	}
}

// TestTrouble: each provider is asked although another one fails, nothing secret is
// said, and the same error is written once.
func TestTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"no Secret":           {func(w *world) { w.agent.Spec.Approval.Slack.WebhookSecretRef.Name = "none" }, `secrets "none" not found`},
		"no key":              {func(w *world) { w.agent.Spec.Approval.Slack.WebhookSecretRef.Key = "none" }, `the Secret team/keys has no key "none"`},
		"a private address":   {func(w *world) { w.asker.client = egress.Client((&networks{}).permit, time.Minute) }, "not on the public Internet: to permit it, an administrator has to add its network to config-events, approval-allowed-networks"},
		"no settings by now":  {func(w *world) { w.agent.Spec.Approval = &v1alpha1.ApprovalSpec{} }, "spec.approval.slack: missing by now"},
		"not supervised more": {func(w *world) { w.agent.Spec.Approval = nil }, "spec.approval.slack: missing by now"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.spoil(w)
			w.must()
			s := w.now().Status
			slack := slices.IndexFunc(s.Notices, func(n v1alpha1.ApprovalNotice) bool { return n.Provider == "slack" })
			if len(s.Notices) != 2 || !strings.Contains(s.Notices[slack].Error, tt.want) || strings.Contains(s.Notices[slack].Error, "/hook") {
				t.Errorf("notices = %+v, want one that says %q", s.Notices, tt.want)
			}
			before := len(w.cluster.Actions())
			w.must()
			for _, a := range w.cluster.Actions()[before:] {
				if a.GetVerb() == "update" {
					t.Errorf("the same error is written again: %v", a)
				}
			}
		})
	}
}

// TestFirstDecisionStands: who decided meanwhile is not overruled by the time.
func TestFirstDecisionStands(t *testing.T) {
	w := newWorld(t)
	w.cluster.PrependReactor("update", "approvalrequests", func(clientgotesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrs.NewConflict(lambda.ApprovalRequestResource, w.request.Name, errors.New("changed"))
	})
	w.clock.SetTime(now.Add(time.Hour))
	if err := w.run(); err != nil || len(w.told) != 0 || w.now().Status.Decision != "" {
		t.Errorf("Reconcile() = %v, told %v", err, w.told)
	}
}

// TestSlackText: what an agent says stays text.
func TestSlackText(t *testing.T) {
	r := newWorld(t).request
	text := slackText(r)
	for _, want := range []string{"Agent *team/bruno* asks for approval of *reboot*\nit hangs\n", "denied at 2026-01-02T03:05:05Z", "`kubectl lambda approvals grant bruno 1 -n team`", "approvals deny bruno 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the message does not say %q: %s", want, text)
		}
	}
	r.Spec.ID = "1`; rm -rf ~ #"
	r.Spec.Action = "<!channel> *reboot*\n`x`"
	data, err := json.Marshal(events.ApprovalRequest{Action: "x", Description: "```<@U1>"})
	if err != nil {
		t.Fatal(err)
	}
	r.Spec.Data = string(data)
	text = slackText(r)
	for _, bad := range []string{"<", "rm -rf", "*reboot*", "`x`"} {
		if strings.Contains(text, bad) {
			t.Errorf("the message says %q: %s", bad, text)
		}
	}
	if !strings.Contains(text, "grant bruno "+r.Name+" -n team") {
		t.Errorf("the command does not name the request: %s", text)
	}
}
