//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestFunction is the life of an inline function: created, called, changed
// without one failed request, broken, repaired, deleted with nothing left.
func TestFunction(t *testing.T) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	if err := clients.AwaitDefaults(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	before, err := clients.Inventory(ctx, namespace)
	if err != nil {
		t.Fatal(err)
	}

	start := time.Now()
	f := ready(ctx, t, create(ctx, t, python(namespace, "greeter", greeting("one"))))
	t.Logf("from create to Ready: %v", time.Since(start).Round(100*time.Millisecond))
	checkStatus(t, f)

	answers(ctx, t, f, greetingBody("one"))
	checkEvents(ctx, t, f)

	f = changeUnderLoad(ctx, t, f, "one", "two")
	f = breakIt(ctx, t, f)
	f = changeUnderLoad(ctx, t, f, "two", "three")
	if f.Status.Build.Failure != nil {
		t.Errorf("status.build.failure = %+v after the repair, want none", f.Status.Build.Failure)
	}

	remove(ctx, t, f)
	left, err := clients.AwaitInventory(ctx, namespace, before)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind by the deleted function: %v", left)
	}
}

// checkStatus of a function that has been built.
func checkStatus(t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	for _, c := range []apis.ConditionType{v1alpha1.FunctionConditionSourceResolved, v1alpha1.FunctionConditionBuildSucceeded,
		v1alpha1.FunctionConditionServiceReady, v1alpha1.FunctionConditionEventingReady} {
		if got := f.Status.GetCondition(c); !got.IsTrue() {
			t.Errorf("condition %s = %+v of a Ready function", c, got)
		}
	}
	b := f.Status.Build
	test.Contains(t, "status.build.image", b.Image, "@sha256:")
	want := v1alpha1.BuildLayer
	if f.Spec.Build.Strategy == v1alpha1.BuildKaniko {
		want = v1alpha1.BuildKaniko
		test.Contains(t, "status.build.jobName", b.JobName, f.Name+"-build-")
	} else if b.JobName != "" {
		t.Errorf("status.build.jobName = %q of an image that was made without a pod, want none", b.JobName)
	}
	if b.Strategy != want || b.Attempts != 1 || b.Failure != nil {
		t.Errorf("status.build = %+v, want one attempt of %s without failure", b, want)
	}
	if b.StartTime == nil || b.CompletionTime == nil || b.CompletionTime.Before(b.StartTime) {
		t.Errorf("status.build = %+v, want when it began and ended", b)
	}
	test.Contains(t, "status.source.digest", f.Status.Source.Digest, "sha256:")
	if f.Status.Address == nil || f.Status.Address.URL == nil {
		t.Errorf("status.address = %+v, want the URL inside the cluster", f.Status.Address)
	}
	// What the spec leaves out is in the status, and only there.
	if r := f.Status.Runtime; r == nil || r.Language != "python" || r.Version == "" || r.Handler != "main.handler" || r.Timeout == nil || f.Status.Source.Type != v1alpha1.SourceInline {
		t.Errorf("status.runtime = %+v, status.source.type = %q, want what is in force", r, f.Status.Source.Type)
	}
	if f.Spec.Source.Type != "" || f.Spec.Runtime.Handler != "" || f.Spec.Runtime.Timeout != nil || f.Spec.Scaling.MinReplicas != nil || f.Spec.SecurityContext != nil {
		t.Errorf("spec = %+v, want no default stored in it", f.Spec)
	}
}

// checkEvents sends a CloudEvent in both modes and checks the event that answers.
func checkEvents(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	for mode, structured := range map[string]bool{"binary": false, "structured": true} {
		e := event.New()
		e.SetID("e2e-" + mode)
		e.SetSource("/e2e")
		e.SetType("io.example.greeting.asked")
		e.SetSubject("someone")
		if err := e.SetData("application/json", map[string]string{"name": "you"}); err != nil {
			t.Fatal(err)
		}
		status, got, err := clients.Send(ctx, f.Status.URL, e, structured)
		if err != nil || got == nil || status != http.StatusOK {
			t.Errorf("%s: status %d, event %v, error %v; want 200 and an event", mode, status, got, err)
			continue
		}
		var data map[string]string
		if err := json.Unmarshal(got.Data(), &data); err != nil {
			t.Errorf("%s: data %s: %v", mode, got.Data(), err)
		}
		want := map[string]any{"type": events.ResponseSuccess, "source": events.Source("function", f.Namespace, f.Name),
			"subject": "someone", "cause": "e2e-" + mode, "data": map[string]string{"message": "one"}}
		if diff := cmp.Diff(want, map[string]any{"type": got.Type(), "source": got.Source(), "subject": got.Subject(),
			"cause": got.Extensions()[events.CausationExtension], "data": data}); diff != "" {
			t.Errorf("%s: the answering event differs (-want, +got): %s", mode, diff)
		}
	}
}

// changeUnderLoad edits the code while requests come in: a new revision takes
// over and none of them fails.
func changeUnderLoad(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, from, to string) *v1alpha1.LambdaFunction {
	t.Helper()
	revision := f.Status.LatestReadyRevisionName
	load := clients.StartLoad(ctx, f.Status.URL)
	err := load.Await(ctx, greetingBody(from))
	if err == nil {
		f = update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = greeting(to) })
		f, err = clients.AwaitFunction(ctx, test.Key(f), "Ready", (*v1alpha1.LambdaFunction).IsReady)
	}
	if err == nil {
		err = load.Await(ctx, greetingBody(to))
	}
	requests, failed, failures := load.Stop()
	if err != nil {
		t.Fatal(err, failures)
	}
	t.Logf("%d requests during the change, %d failed", requests, failed)
	if failed > 0 {
		t.Errorf("%d of %d requests failed while the code changed, want none; the first: %q", failed, requests, failures)
	}
	if f.Status.LatestReadyRevisionName == revision {
		t.Errorf("latestReadyRevisionName = %s still, want a new revision", revision)
	}
	return f
}

// broken does not compile.
const broken = "def handler(event, context)\n    return 1\n"

// breakIt puts a syntax error into the code, which nothing compiles before it runs:
// the new revision does not come up and says why, and what ran before runs on.
func breakIt(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) *v1alpha1.LambdaFunction {
	t.Helper()
	f = update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = broken })
	f, err := clients.AwaitFunction(ctx, test.Key(f), "ServiceReady False", func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady).IsFalse()
	})
	if err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "Ready", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, "SyntaxError", "main.py", "line 1")
	answers(ctx, t, f, greetingBody("two"))
	return f
}

// TestKaniko: a build in a pod compiles, so that a syntax error fails it with the
// compiler's words, as the user's fault.
func TestKaniko(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "baked", greeting("one in "+namespace))
	f.Spec.Build.Strategy = v1alpha1.BuildKaniko
	start := time.Now()
	f = ready(ctx, t, create(ctx, t, f))
	t.Logf("from create to Ready with a build in a pod: %v", time.Since(start).Round(100*time.Millisecond))
	checkStatus(t, f)

	f = update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = broken })
	f = failed(ctx, t, f, v1alpha1.FunctionConditionBuildSucceeded, build.ReasonBuildStepFailed)
	test.Contains(t, "BuildSucceeded", f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded).Message, "SyntaxError", "main.py", "line 1")
	b := f.Status.Build
	if b.Failure == nil || b.Failure.Step != build.StepBuild || b.Failure.Retryable || b.Attempts != 1 {
		t.Errorf("status.build = %+v, failure %+v; want step build, one attempt, not retryable", b, b.Failure)
	} else {
		test.Contains(t, "status.build.failure.log", b.Failure.Log, "SyntaxError")
	}
	event, err := clients.AwaitEvent(ctx, f, build.ReasonBuildStepFailed)
	if err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "the Kubernetes event", event.Message, "SyntaxError", "main.py")
	answers(ctx, t, f, greetingBody("one in "+namespace))

	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = greeting("two in " + namespace) }))
	answers(ctx, t, f, greetingBody("two in "+namespace))
}
