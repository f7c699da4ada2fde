package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/agents"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/api"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/outcome"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

// world is a cluster with a function, its dead letters and the receiver.
type world struct {
	*options
	t        *testing.T
	out      bytes.Buffer
	errOut   bytes.Buffer
	function *v1alpha1.LambdaFunction
	store    *rtesting.Store
	status   int      // that the function answers
	got      []string // what came to the function
	forwards []string
	cluster  *fakelambda.Clientset
	input    string
	outcomes *outcome.Index
}

var queue = events.DeadLetterQueue("team", "greeter")

func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Setenv("LAMBDA_INGRESS", "")
	w := &world{t: t, status: http.StatusOK, outcomes: outcome.NewIndex(clock.RealClock{}), store: rtesting.NewStore(queue, events.AgentDeadLetterQueue("team", "bruno"))}
	called := httptest.NewServer(http.HandlerFunc(w.answer))
	t.Cleanup(called.Close)
	at, err := apis.ParseURL(called.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.function = &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "greeter"}}
	w.function.Status.URL, w.function.Status.Address = at, &duckv1.Addressable{URL: apis.HTTP("greeter.team.svc.cluster.local")}
	w.function.Status.LatestCreatedRevisionName, w.function.Status.LatestReadyRevisionName = "greeter-1", "greeter-1"

	kube := fake.NewClientset(append(objects, pod("knative-lambda", "receiver-x", map[string]string{"app": "knative-lambda-receiver"}))...)
	kube.PrependReactor("create", "tokenreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status.Authenticated = review.Spec.Token == "mine"
		return true, review, nil
	})
	kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		review.Status.Allowed = review.Spec.ResourceAttributes.Namespace == "team"
		return true, review, nil
	})
	letters := &deadletter.Service{Serving: rtesting.Serving{}, Store: w.store, Functions: rtesting.Functions{{Namespace: "team", Name: "greeter"}: w.function}, Agents: rtesting.Agents{}, Sender: deadletter.NewSender(clientTo(called))}
	reviewer := access.NewReviewer(kube)
	people := http.NewServeMux()
	people.Handle("/", api.New(letters, reviewer, func(context.Context, string, string, deadletter.Owner) {}))
	w.cluster = fakelambda.NewSimpleClientset(w.function, supervised, asked())
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	if err := indexer.Add(supervised); err != nil {
		t.Fatal(err)
	}
	(&agents.API{
		Agents: listers.NewLambdaAgentLister(indexer), Client: w.cluster.LambdaV1alpha1(), Clock: clock.RealClock{},
		Audit: func(context.Context, string, string, *v1alpha1.LambdaAgent) {}, Access: reviewer,
	}).Register(people)
	(&outcome.API{
		Index: w.outcomes, Access: reviewer, Audit: func(context.Context, string, string, deadletter.Owner) {}, Reading: func() error { return nil },
	}).Register(people)
	receiver := httptest.NewTLSServer(people)
	t.Cleanup(receiver.Close)
	w.options = &options{
		namespace: "team", kube: kube, lambda: w.cluster, config: &rest.Config{Host: "https://api.invalid", BearerToken: "mine"},
		forward: func(_ context.Context, namespace, pod string, port int) (string, func(), error) {
			w.forwards = append(w.forwards, fmt.Sprintf("%s/%s:%d", namespace, pod, port))
			server := called
			if port == receiverPort {
				server = receiver
			}
			return server.Listener.Addr().String(), func() {}, nil
		},
	}
	return w
}

// clientTo sends every request to one server.
func clientTo(server *httptest.Server) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}}
}

func (w *world) answer(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.got = append(w.got, strings.Join([]string{r.Host, r.Header.Get("Ce-Type"), r.Header.Get("Ce-Id"), r.Header.Get("Content-Type"), r.Header.Get("Knative-Serving-Revision"), string(body)}, "|"))
	out.Header().Set("Content-Type", "application/json")
	if strings.Contains(r.URL.Path, "/calls/") && w.status == http.StatusOK {
		out.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(out, `{"id":"call %s"}`, r.URL.Path)
		return
	}
	out.WriteHeader(w.status)
	fmt.Fprint(out, `{"hello":"you"}`)
}

func pod(namespace, name string, labels map[string]string, containers ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c})
	}
	return p
}

func (w *world) letter(id string) {
	w.t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetType("io.example.order")
	e.SetSource("/shop")
	e.SetExtension("knativeerrorcode", 500)
	e.SetExtension("lambdaattempts", "6")
	e.SetExtension("lambdadeadtime", "2026-01-02T03:04:05Z")
	if err := e.SetData("application/json", map[string]string{"of": id}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.Publish(w.t.Context(), queue, &e); err != nil {
		w.t.Fatal(err)
	}
}

// run a command; what it prints is in out and errOut.
func (w *world) run(args ...string) error {
	w.out.Reset()
	w.errOut.Reset()
	w.IOStreams = genericiooptions.IOStreams{In: strings.NewReader(w.input), Out: &w.out, ErrOut: &w.errOut}
	cmd := w.command()
	cmd.SetArgs(args)
	return cmd.ExecuteContext(w.t.Context())
}

// says runs a command that succeeds, and checks what it prints.
func (w *world) says(want string, args ...string) {
	w.t.Helper()
	if err := w.run(args...); err != nil {
		w.t.Fatalf("%v: %v", args, err)
	}
	if !strings.Contains(w.out.String()+w.errOut.String(), want) {
		w.t.Errorf("%v printed %q and %q, want %q", args, w.out.String(), w.errOut.String(), want)
	}
}

// fails runs a command that does not.
func (w *world) fails(want string, args ...string) {
	w.t.Helper()
	if err := w.run(args...); err == nil || !strings.Contains(err.Error(), want) {
		w.t.Errorf("%v: %v, want an error that says %q", args, err, want)
	}
}

func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	w.says("Function greeter has no dead letters.", "dlq", "list", "greeter")
	for _, id := range []string{"a", "b", "c"} {
		w.letter(id)
	}
	w.says("ID    TYPE               SOURCE   CODE   ATTEMPTS   SIZE   AGE", "dlq", "list", "greeter")
	w.says("a     io.example.order   /shop    500    6          10     ", "dlq", "list", "greeter")
	w.says(`"id": "b"`, "dlq", "list", "greeter", "-o", "json")
	w.says("- attempts: 6", "dlq", "list", "greeter", "-o", "yaml")
	w.fails("expected json or yaml", "dlq", "list", "greeter", "-o", "xml")
	w.says("Reason:         the answer was 500 Internal Server Error", "dlq", "show", "greeter", "b")
	w.says("\n\n{\"of\":\"b\"}\n", "dlq", "show", "greeter", "b")
	w.says(`"lambdaerrorcode": "500"`, "dlq", "show", "greeter", "b", "-o", "json")
	w.fails("there is no dead letter of that id", "dlq", "show", "greeter", "z")

	w.fails("expected the id of a dead letter, or --all", "dlq", "replay", "greeter")
	w.fails("got both", "dlq", "replay", "greeter", "a", "--all")
	for _, verb := range []string{"show", "replay", "purge"} {
		w.fails("expected an id, got an empty one", "dlq", verb, "greeter", "")
		w.fails("--source: expected the source of an event, got an empty one", "dlq", verb, "greeter", "a", "--source", "")
		w.fails("there is no dead letter of that id and source", "dlq", verb, "greeter", "a", "--source", "/other")
	}
	w.fails("expected an id, got an empty one", "dlq", "purge", "greeter", "", "--yes")
	w.fails("--source: expected an id beside it", "dlq", "purge", "greeter", "--all", "--source", "/shop")
	if n := len(w.store.IDs(queue)); n != 3 {
		t.Fatalf("%d dead letters are left, want all 3", n)
	}
	w.status = http.StatusInternalServerError
	w.fails("not all dead letters were delivered", "dlq", "replay", "greeter", "a")
	if !strings.Contains(w.out.String(), "a\t/shop\tnot delivered: the answer was 500") || !strings.Contains(w.out.String(), "0 delivered, 1 stay in the queue") {
		t.Errorf("printed %q", w.out.String())
	}
	w.status = http.StatusOK
	w.says("a\t/shop\tdelivered (200)\n1 delivered, 0 stay in the queue\n", "dlq", "replay", "greeter", "a")
	w.says("1 removed", "dlq", "purge", "greeter", "b", "--source", "/shop")

	w.input = "n\n"
	w.fails("nothing was removed", "dlq", "purge", "greeter", "--all")
	w.input = ""
	w.fails("nothing was removed", "dlq", "purge", "greeter", "--all")
	w.input = "y\n"
	w.says("1 removed", "dlq", "purge", "greeter", "--all")
	w.says("0 removed", "dlq", "purge", "greeter", "--all", "--yes")
	if w.forwards[0] != "knative-lambda/receiver-x:8443" {
		t.Errorf("forwards = %v", w.forwards)
	}
}

// TestWhoseDeadLetters: objects are named as kubectl names them.
func TestWhoseDeadLetters(t *testing.T) {
	o := &options{namespace: "team"}
	for arg, want := range map[string]string{
		"greeter": "function greeter", "function/greeter": "function greeter", "lf/greeter": "function greeter", "lambdafunctions.lambda.knative.io/greeter": "function greeter",
		"agent/bruno": "agent bruno", "Agents/bruno": "agent bruno", "la/bruno": "agent bruno", "lambdaagent/bruno": "agent bruno",
		"pod/bruno": "", "agent/": "", "/bruno": "", "agent/bruno/x": "", "": "",
	} {
		got, err := o.owner(arg)
		if (want == "") != (err != nil) || err == nil && string(got.kind)+" "+got.name != want {
			t.Errorf("owner(%q) = %+v, %v, want %q", arg, got, err, want)
		}
	}
}

func TestDeadLettersOfAgents(t *testing.T) {
	w := newWorld(t)
	w.says("Agent bruno has no dead letters.", "dlq", "list", "agent/bruno")
	w.fails("expected the name of a function, or function/NAME or agent/NAME", "dlq", "purge", "pod/bruno", "--all", "--yes")
}

func TestDeadLettersThatOneMayNotSee(t *testing.T) {
	w := newWorld(t)
	w.namespace = "other"
	w.fails("may not get lambdafunctions/deadletters of other/greeter", "dlq", "list", "greeter")
	w.config.BearerToken = "forged"
	w.fails("not authenticated", "dlq", "list", "greeter")
	w.config.Impersonate.UserName = "ann"
	w.fails("--as", "dlq", "list", "greeter")
	w.operator = "elsewhere"
	w.fails("the operator's receiver cannot be reached", "dlq", "list", "greeter", "--operator-namespace", "elsewhere")
}

func TestInvoke(t *testing.T) {
	host := func(w *world) string { return w.function.Status.URL.Host }
	last := func(w *world) string { return w.got[len(w.got)-1] }
	w := newWorld(t)
	w.says("200 OK, application/json", "invoke", "greeter", "--data", `{"a":1}`)
	if got, want := last(w), host(w)+`|||application/json||{"a":1}`; got != want || w.out.String() != "{\"hello\":\"you\"}\n" {
		t.Errorf("the function got %q, want %q; printed %q", got, want, w.out.String())
	}
	w.input = "text"
	w.says("200 OK", "invoke", "greeter", "-d", "-", "--content-type", "text/plain", "--type", "io.example.order", "--id", "7")
	if got, want := last(w), host(w)+"|io.example.order|7|text/plain||text"; got != want {
		t.Errorf("the function got %q, want %q", got, want)
	}
	w.status = http.StatusInternalServerError
	w.fails("the function answered 500", "invoke", "greeter")
	if !strings.Contains(w.out.String(), "hello") {
		t.Errorf("printed %q, want the body of the error, too", w.out.String())
	}
	w.fails("not found", "invoke", "nobody")
	w.fails("expected the name of one function", "invoke")
}

// TestInvokeThroughTheAPIServer: to a pod of the function where one is up, else to
// the activator, which starts one.
func TestInvokeThroughTheAPIServer(t *testing.T) {
	activator := pod("knative-serving", "activator-x", map[string]string{"app": "activator"})
	w := newWorld(t, activator)
	w.says("asking Knative's activator", "invoke", "greeter", "--port-forward", "--event")
	if got := w.got[0]; w.forwards[0] != "knative-serving/activator-x:8012" || !strings.Contains(got, "|greeter-1|") || !strings.Contains(got, events.InvokeSync) {
		t.Errorf("forwarded %v, and it got %q", w.forwards, got)
	}
	w = newWorld(t, activator, pod("team", "greeter-1-x", map[string]string{serving.RevisionLabelKey: "greeter-1"}))
	w.says("200 OK", "invoke", "greeter", "--port-forward")
	if w.forwards[0] != "team/greeter-1-x:8012" {
		t.Errorf("forwarded %v", w.forwards)
	}
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.says("Revision greeter-1 has no pod just now", "logs", "greeter")
	revision := map[string]string{serving.RevisionLabelKey: "greeter-1"}
	w = newWorld(t, pod("team", "one", revision), pod("team", "other", map[string]string{serving.RevisionLabelKey: "greeter-0"}))
	w.says("fake logs\n", "logs", "greeter")
	if strings.Contains(w.out.String(), "[") {
		t.Errorf("one pod is told by name: %q", w.out.String())
	}
	w = newWorld(t, pod("team", "one", revision), pod("team", "two", revision))
	w.says("[two/user-container] fake logs\n", "logs", "greeter")
}

func TestBuildLogs(t *testing.T) {
	w := newWorld(t)
	w.fails("has no build", "build", "logs", "greeter")
	build := func(b v1alpha1.BuildStatus, objects ...runtime.Object) *world {
		w := newWorld(t, objects...)
		w.function.Status.Build = &b
		w.lambda = fakelambda.NewSimpleClientset(w.function)
		return w
	}
	build(v1alpha1.BuildStatus{Image: "r/i@sha"}).says("No pod has built r/i@sha", "build", "logs", "greeter")
	job := pod("team", "job-x", map[string]string{batchv1.JobNameLabel: "job"}, "kaniko")
	job.Spec.InitContainers = []corev1.Container{{Name: "builder"}}
	w = build(v1alpha1.BuildStatus{JobName: "job"}, job)
	w.says("[job-x/builder] fake logs\n[job-x/kaniko] fake logs\n", "build", "logs", "greeter")
	now := metav1.Now()
	failed := v1alpha1.BuildStatus{JobName: "job", CompletionTime: &now, Failure: &v1alpha1.BuildFailure{Step: "build", Reason: "BuildStepFailed", Message: "pip failed", Log: "no such package"}}
	build(failed).says("no such package\n", "build", "logs", "greeter")
	build(v1alpha1.BuildStatus{JobName: "job", CompletionTime: &now, Image: "r/i@sha"}).says("is done, and its pod is gone", "build", "logs", "greeter")
}

// TestUnreachable_NamesTheRights that a user lacks, and the page.
func TestUnreachable_NamesTheRights(t *testing.T) {
	t.Parallel()
	forbidden := apierrs.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	o := &options{operator: "knative-lambda"}
	for err, want := range map[error]bool{forbidden: true, errors.New("refused"): false} {
		if got := o.unreachable(err).Error(); strings.Contains(got, "create of pods/portforward in namespace knative-lambda (docs/dead-letters.md") != want {
			t.Errorf("unreachable(%v) = %s", err, got)
		}
	}
}
