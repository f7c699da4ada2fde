package command

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"
	fakeserving "knative.dev/serving/pkg/client/clientset/versioned/fake"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

const source = "/ci/main"

// world is a cluster with one namespace that lets commands in, and the receiver.
type world struct {
	*Handler
	t       *testing.T
	kube    *fake.Clientset
	lambda  *fakelambda.Clientset
	serving *fakeserving.Clientset
	config  config.Events
	store   *rtesting.Store
	sent    []event.Event
	sinkErr error
	may     bool
}

func newWorld(t *testing.T, optIn map[string]string, objects ...runtime.Object) *world {
	w := &world{t: t, may: true, store: rtesting.NewStore(events.DeadLetterQueue("team", "f"))}
	w.kube = fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: OptIn}, Data: optIn})
	w.kube.PrependReactor("create", "tokenreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		review.Status.Authenticated = review.Spec.Token == "good" && review.Spec.Audiences[0] == Audience
		review.Status.User.Username = "robot"
		return true, review, nil
	})
	w.kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		review.Status.Allowed = w.may && review.Spec.User == "system:serviceaccount:team:lambda-commands"
		return true, review, nil
	})
	w.lambda = fakelambda.NewSimpleClientset(objects...)
	w.lambda.PrependReactor("patch", "lambdafunctions", w.apply)
	w.serving = fakeserving.NewSimpleClientset()
	w.Handler = NewHandler(Handler{
		Kube: w.kube, Access: access.NewReviewer(w.kube), Letters: &deadletter.Service{Serving: rtesting.Serving{}, Store: w.store, Functions: rtesting.Functions{}},
		Clients: func(namespace string) (lambdaclientset.Interface, servingclientset.Interface, error) {
			if namespace != "team" {
				t.Errorf("clients of namespace %s", namespace)
			}
			return w.lambda, w.serving, nil
		},
		Config: func() *config.Events { return &w.config },
		Deliver: func(_ context.Context, _ string, e *event.Event) error {
			if w.sinkErr == nil {
				w.sent = append(w.sent, *e)
			}
			return w.sinkErr
		},
		Observe: func(context.Context, string, string) {},
	})
	return w
}

// apply is server-side apply, as far as these tests need it: fake clients have none.
func (w *world) apply(a clientgotesting.Action) (bool, runtime.Object, error) {
	patch := a.(clientgotesting.PatchAction)
	if patch.GetPatchType() != types.ApplyPatchType {
		return false, nil, nil
	}
	f := &v1alpha1.LambdaFunction{}
	if err := json.Unmarshal(patch.GetPatch(), f); err != nil {
		return true, nil, apierrs.NewBadRequest(err.Error())
	}
	f.Generation = 1
	old, err := w.lambda.Tracker().Get(v1alpha1.SchemeGroupVersion.WithResource("lambdafunctions"), f.Namespace, f.Name)
	if err == nil {
		f.Generation = old.(*v1alpha1.LambdaFunction).Generation + 1
		return true, f, w.lambda.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("lambdafunctions"), f, f.Namespace)
	}
	return true, f, w.lambda.Tracker().Add(f)
}

func (w *world) function() *v1alpha1.LambdaFunction {
	w.t.Helper()
	f, err := w.lambda.LambdaV1alpha1().LambdaFunctions("team").Get(context.Background(), "f", metav1.GetOptions{})
	if apierrs.IsNotFound(err) {
		return nil
	} else if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func newCommand(kind, id string, data string) event.Event {
	e := event.New()
	e.SetID(id)
	e.SetType(kind)
	e.SetSource(source)
	e.SetSubject("team/f")
	if data != "" {
		e.SetDataContentType("application/json")
		e.DataEncoded = []byte(data)
	}
	return e
}

func (w *world) send(e event.Event, header ...string) (int, *event.Event) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", http.NoBody)
	if err := cehttp.WriteRequest(binding.WithForceBinary(context.Background()), binding.ToMessage(&e), r); err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	answer, err := binding.ToEvent(context.Background(), cehttp.NewMessageFromHttpResponse(recorder.Result()))
	if err != nil {
		w.t.Fatalf("answer %d %s: %v", recorder.Code, recorder.Body, err)
	}
	return recorder.Code, answer
}

// ok sends a command that is carried out.
func (w *world) ok(e event.Event) *events.CommandResult {
	w.t.Helper()
	status, answer := w.send(e)
	if status != http.StatusOK || answer.Type() != events.ResponseSuccess || answer.Extensions()[events.CausationExtension] != e.ID() {
		w.t.Fatalf("%s was answered %d %s", e.Type(), status, answer)
	}
	r := &events.CommandResult{}
	if err := answer.DataAs(r); err != nil || r.Namespace != "team" || r.Name != "f" {
		w.t.Fatalf("result = %+v, %v", r, err)
	}
	return r
}

// refused sends a command that is not.
func (w *world) refused(e event.Event, status int, kind string) string {
	w.t.Helper()
	got, answer := w.send(e)
	var problem events.Error
	if err := answer.DataAs(&problem); err != nil || got != status || problem.Type != kind || answer.Type() != events.ResponseError || problem.Permanent != (status < 500) {
		w.t.Errorf("%s was answered %d %+v (%v), want %d %s", e.Type(), got, problem, err, status, kind)
	}
	return problem.Message
}

var letIn = map[string]string{"sources": "/ci/*, /other"}

const spec = `{"spec":{"source":{"inline":{"code":"x"}},"runtime":{"language":"python"}}}`

// existing function, from code or from an image.
func existing(change ...func(*v1alpha1.LambdaFunction)) *v1alpha1.LambdaFunction {
	f := &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "f", UID: "u", Generation: 1}}
	f.Spec.Source.Inline = &v1alpha1.InlineSource{Code: "x"}
	for _, c := range change {
		c(f)
	}
	return f
}

func fromImage(f *v1alpha1.LambdaFunction) {
	f.Spec.Source = v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{ImageReference: v1alpha1.ImageReference{Repository: "r/i", Tag: "1"}}}
}

func TestDeployOnce(t *testing.T) {
	w := newWorld(t, letIn)
	first := newCommand(events.CommandFunctionDeploy, "1", spec)
	if r := w.ok(first); r.Generation != 1 || !strings.Contains(r.Message, "created") {
		t.Errorf("result = %+v", r)
	}
	w.ok(newCommand(events.CommandFunctionDeploy, "2", strings.Replace(spec, `"x"`, `"y"`, 1)))
	writes := len(w.lambda.Actions())
	if r := w.ok(first); r.Generation != 1 || w.function().Spec.Source.Inline.Code != "y" {
		t.Errorf("the first command again = %+v, and the code is %q; want the first answer and no second effect", r, w.function().Spec.Source.Inline.Code)
	}
	if again := len(w.lambda.Actions()) - writes; again > 1 { // the look that this test takes
		t.Errorf("the first command again asked the API server %d times", again)
	}

	// The record is lost, as when the receiver died before it was written: the
	// function itself knows.
	patch := []byte(`{"metadata":{"annotations":{"` + lambda.CommandsAnnotationKey + `":null}}}`)
	if _, err := w.kube.CoreV1().ConfigMaps("team").Patch(t.Context(), OptIn, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := w.ok(first); !strings.Contains(r.Message, "before") || w.function().Spec.Source.Inline.Code != "y" {
		t.Errorf("the first command again = %+v, and the code is %q; want no second effect", r, w.function().Spec.Source.Inline.Code)
	}

	// Deleted by command: no command of before makes it again.
	w.ok(newCommand(events.CommandFunctionDelete, "3", ""))
	w.ok(first)
	if w.function() != nil {
		t.Error("a command of before has made the function again")
	}
	w.ok(newCommand(events.CommandFunctionDelete, "4", "")) // there is none: as it should be
}

func TestWhoIsLetIn(t *testing.T) {
	deploy := newCommand(events.CommandFunctionDeploy, "1", spec)
	w := newWorld(t, letIn)
	other := deploy.Clone()
	other.SetSubject("elsewhere/f")
	if m := w.refused(other, http.StatusForbidden, "NotOptedIn"); !strings.Contains(m, "ConfigMap lambda-commands") {
		t.Error(m)
	}
	stranger := deploy.Clone()
	stranger.SetSource("/ci")
	w.refused(stranger, http.StatusForbidden, "SourceNotAllowed")
	newWorld(t, map[string]string{"source": "/ci/main"}).refused(deploy, http.StatusForbidden, "NotOptedIn")

	w = newWorld(t, map[string]string{"sources": "*", "identities": "robot"})
	w.refused(deploy, http.StatusUnauthorized, "Unauthenticated")
	if status, _ := w.send(deploy, "Authorization", "Bearer forged"); status != http.StatusUnauthorized {
		t.Errorf("with a forged token: %d", status)
	}
	if status, answer := w.send(deploy, "Authorization", "Bearer good"); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, answer)
	}
	w = newWorld(t, map[string]string{"sources": "*", "identities": "somebody"})
	if status, _ := w.send(deploy, "Authorization", "Bearer good"); status != http.StatusForbidden {
		t.Errorf("with somebody else's token: %d", status)
	}
}

func TestWhatIsNoCommand(t *testing.T) {
	w := newWorld(t, letIn)
	w.refused(newCommand("io.example.any", "1", ""), http.StatusBadRequest, "UnknownType")
	w.refused(newCommand(events.LifecycleFunctionReady, "1", ""), http.StatusBadRequest, "UnknownType")
	w.refused(newCommand(events.CommandFunctionDeploy, "1", "{"), http.StatusBadRequest, "InvalidData")
	w.refused(newCommand(events.CommandFunctionDeploy, "1", `{}`), http.StatusBadRequest, "InvalidData")
	w.refused(newCommand(events.CommandFunctionDelete, "1", `{"name":"other"}`), http.StatusBadRequest, "InvalidData")
	w.refused(newCommand(events.CommandDeadLetterReplay, "1", `{}`), http.StatusBadRequest, "InvalidData")
	w.refused(newCommand(events.CommandDeadLetterPurge, "1", `{"id":"1","all":true}`), http.StatusBadRequest, "InvalidData")
	xml := newCommand(events.CommandFunctionDelete, "1", "<a/>")
	xml.SetDataContentType("application/xml")
	w.refused(xml, http.StatusBadRequest, "InvalidData")
	nameless := newCommand(events.CommandFunctionDelete, "1", "")
	nameless.SetSubject("Team/f")
	w.refused(nameless, http.StatusBadRequest, "InvalidData")

	for _, tt := range []struct {
		name, method, contentType, body string
		status                          int
	}{
		{"plain", http.MethodPost, "application/json", "{}", http.StatusUnsupportedMediaType},
		{"batch", http.MethodPost, "application/cloudevents-batch+json", "[]", http.StatusUnsupportedMediaType},
		{"broken", http.MethodPost, "application/cloudevents+json", "{", http.StatusBadRequest},
		{"too long", http.MethodPost, "application/cloudevents+json", strings.Repeat(" ", maxCommand+1), http.StatusRequestEntityTooLarge},
		{"read", http.MethodGet, "", "", http.StatusMethodNotAllowed},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, "/", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", tt.contentType)
		recorder := httptest.NewRecorder()
		if w.ServeHTTP(recorder, r); recorder.Code != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, recorder.Code, recorder.Body, tt.status)
		}
	}
	if len(w.lambda.Actions()) > 0 {
		t.Errorf("something was done: %v", w.lambda.Actions())
	}
}

func TestAliasAndResponseSink(t *testing.T) {
	w := newWorld(t, letIn, existing())
	w.config = config.Events{CommandAliases: map[string]string{"network.notifi.lambda.": events.Prefix + "command."}, ResponseSink: "http://sink"}
	start := newCommand("network.notifi.lambda.build.start", "1", "")
	w.sinkErr = errors.New("down")
	w.refused(start, http.StatusServiceUnavailable, "ResponseSinkUnavailable") // and comes again
	if got := w.function().Annotations[lambda.RebuildAnnotationKey]; got != "1" {
		t.Errorf("rebuild annotation = %q, want the command's id", got)
	}
	w.sinkErr = nil
	w.ok(start)
	w.refused(newCommand("network.notifi.lambda.build.stop", "2", ""), http.StatusBadRequest, "UnknownType")
	if len(w.sent) != 2 || w.sent[0].Type() != events.ResponseSuccess || w.sent[1].Type() != events.ResponseError {
		t.Errorf("the sink got %v, want a success and an error", w.sent)
	}
}

func TestBuildCommands(t *testing.T) {
	built := func(b v1alpha1.BuildStatus) func(*v1alpha1.LambdaFunction) {
		return func(f *v1alpha1.LambdaFunction) {
			f.Status.ObservedGeneration, f.Status.Build = 1, &b
		}
	}
	failure := &v1alpha1.BuildFailure{Reason: "BuildStepFailed"}
	for _, tt := range []struct {
		name     string
		kind     string
		function *v1alpha1.LambdaFunction
		status   int
		reason   string
		key      string
		want     string
	}{
		{"start", events.CommandBuildStart, existing(), 200, "", lambda.RebuildAnnotationKey, "1"},
		{"start of an image", events.CommandBuildStart, existing(fromImage), 409, "NothingToBuild", "", ""},
		{"start of nothing", events.CommandBuildStart, nil, 404, "NotFound", "", ""},
		{"retry", events.CommandBuildRetry, existing(built(v1alpha1.BuildStatus{Reference: "r/f:tag", Failure: failure})), 200, "", lambda.RebuildAnnotationKey, "1"},
		{"retry of what is built", events.CommandBuildRetry, existing(built(v1alpha1.BuildStatus{Image: "r/f@sha"})), 409, "NothingFailed", "", ""},
		{"cancel", events.CommandBuildCancel, existing(built(v1alpha1.BuildStatus{Reference: "host:5000/r/f:tag"})), 200, "", lambda.CancelBuildAnnotationKey, "tag"},
		{"cancel of what is built", events.CommandBuildCancel, existing(built(v1alpha1.BuildStatus{Reference: "r/f:tag", Image: "r/f@sha"})), 409, "NothingToCancel", "", ""},
		{"cancel of what has failed", events.CommandBuildCancel, existing(built(v1alpha1.BuildStatus{Reference: "r/f:tag", Failure: failure})), 409, "NothingToCancel", "", ""},
		{"cancel too early", events.CommandBuildCancel, existing(), 503, "NotObserved", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, letIn)
			if tt.function != nil {
				w = newWorld(t, letIn, tt.function)
			}
			if tt.status != 200 {
				w.refused(newCommand(tt.kind, "1", ""), tt.status, tt.reason)
				return
			}
			w.ok(newCommand(tt.kind, "1", ""))
			if got := w.function().Annotations[tt.key]; got != tt.want {
				t.Errorf("annotation %s = %q, want %q", tt.key, got, tt.want)
			}
		})
	}
}

func TestServiceCommands(t *testing.T) {
	w := newWorld(t, letIn)
	w.refused(newCommand(events.CommandServiceUpdate, "1", `{"image":"r/i:2"}`), 404, "NotFound")
	w.refused(newCommand(events.CommandServiceCreate, "2", `{"image":"r/i:1","spec":{"build":{}}}`), 400, "InvalidData")
	w.refused(newCommand(events.CommandServiceCreate, "3", `{"image":"r/i:1","spec":{"scalling":{}}}`), 422, "Invalid")
	create := newCommand(events.CommandServiceCreate, "4", `{"image":"host:5000/r/i:1","port":9000,"spec":{"scaling":{"minReplicas":1}}}`)
	w.ok(create)
	f := w.function()
	if i := f.Spec.Source.Image; i.Repository != "host:5000/r/i" || i.Tag != "1" || i.Port != 9000 || *f.Spec.Scaling.MinReplicas != 1 {
		t.Errorf("spec = %+v", f.Spec)
	}
	w.ok(create)
	w.refused(newCommand(events.CommandServiceCreate, "5", `{"image":"r/i:1"}`), 409, "AlreadyExists")
	w.ok(newCommand(events.CommandServiceUpdate, "6", `{"image":"r/i@sha256:abc","spec":{"scaling":{"minReplicas":2}}}`))
	f = w.function()
	if i := f.Spec.Source.Image; i.Repository != "r/i" || i.Tag != "" || i.Digest != "sha256:abc" || i.Port != 9000 || *f.Spec.Scaling.MinReplicas != 2 {
		t.Errorf("image = %+v, scaling %+v", f.Spec.Source.Image, f.Spec.Scaling)
	}
	w.refused(newCommand(events.CommandServiceUpdate, "7", `{}`), 400, "InvalidData")
	w.refused(newCommand(events.CommandServiceUpdate, "8", `{"spec":{"source":{}}}`), 400, "InvalidData")
	w.ok(newCommand(events.CommandServiceDelete, "9", ""))
	if w.function() != nil {
		t.Error("it is still there")
	}
	w = newWorld(t, letIn, existing())
	w.refused(newCommand(events.CommandServiceDelete, "1", ""), 409, "NotAnImage")
	w.refused(newCommand(events.CommandServiceUpdate, "2", `{"image":"r/i:2"}`), 409, "NotAnImage")
}

func TestRollback(t *testing.T) {
	w := newWorld(t, letIn, existing(func(f *v1alpha1.LambdaFunction) {
		f.Status.Traffic = []servingv1.TrafficTarget{{RevisionName: "f-3", Percent: ptr.Int64(100)}}
	}))
	w.refused(newCommand(events.CommandFunctionRollback, "0", ""), 409, "NoEarlierRevision")
	for i, ready := range []corev1.ConditionStatus{"True", "False", "True", "True"} {
		r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "f-" + string(rune('1'+i)), Labels: map[string]string{serving.ServiceLabelKey: "f"}, CreationTimestamp: metav1.Unix(int64(i), 0)}}
		r.Status.Conditions = apisConditions(ready)
		if err := w.serving.Tracker().Add(r); err != nil {
			t.Fatal(err)
		}
	}
	rollback := newCommand(events.CommandFunctionRollback, "1", "")
	w.ok(rollback)
	if got := w.function().Spec.Traffic; len(got) != 1 || got[0].RevisionName != "f-1" || *got[0].Percent != 100 {
		t.Errorf("traffic = %+v, want all to f-1: f-2 is not ready", got)
	}
	w.ok(newCommand(events.CommandFunctionRollback, "2", `{"revision":"f-4"}`))
	w.ok(rollback)
	if got := w.function().Spec.Traffic[0].RevisionName; got != "f-4" {
		t.Errorf("after the first command again traffic goes to %s, want f-4", got)
	}
}

func TestDeadLetterCommands(t *testing.T) {
	w := newWorld(t, letIn)
	for _, id := range []string{"a", "b"} {
		e := newCommand("t", id, "{}")
		if err := w.store.Publish(t.Context(), events.DeadLetterQueue("team", "f"), &e); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.ok(newCommand(events.CommandDeadLetterList, "1", "")); len(r.Letters) != 2 {
		t.Errorf("letters = %+v", r.Letters)
	}
	purge := newCommand(events.CommandDeadLetterPurge, "2", `{"id":"a"}`)
	if r := w.ok(purge); r.Purged != 1 {
		t.Errorf("result = %+v", r)
	}
	if r := w.ok(purge); r.Purged != 1 {
		t.Errorf("the same again = %+v, want the same answer", r)
	}
	w.refused(newCommand(events.CommandDeadLetterPurge, "3", `{"id":"a"}`), 404, "NotFound")
	w.refused(newCommand(events.CommandDeadLetterList, "4", `{"limit":5000}`), 400, "InvalidData")
	w.refused(newCommand(events.CommandDeadLetterReplay, "5", `{"all":true}`), 404, "NotFound") // the function
	other := newCommand("t", "b", "{}")
	other.SetSource("/other")
	if err := w.store.Publish(t.Context(), events.DeadLetterQueue("team", "f"), &other); err != nil {
		t.Fatal(err)
	}
	w.refused(newCommand(events.CommandDeadLetterPurge, "7", `{"id":"b"}`), 422, "Ambiguous")
	w.refused(newCommand(events.CommandDeadLetterPurge, "8", `{"all":true,"source":"/other"}`), 400, "InvalidData")
	if r := w.ok(newCommand(events.CommandDeadLetterPurge, "9", `{"id":"b","source":"/other"}`)); r.Purged != 1 {
		t.Errorf("result = %+v, want the one of /other purged", r)
	}
	w.may = false
	w.refused(newCommand(events.CommandDeadLetterList, "6", ""), 403, "Forbidden")
}

func apisConditions(status corev1.ConditionStatus) (c []apis.Condition) {
	return []apis.Condition{{Type: apis.ConditionReady, Status: status}}
}
