//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// eachStrategy tests what has to be the same however an image is made.
func eachStrategy(t *testing.T, do func(*testing.T, v1alpha1.BuildStrategy)) {
	t.Parallel()
	for _, strategy := range []v1alpha1.BuildStrategy{v1alpha1.BuildAuto, v1alpha1.BuildKaniko} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			do(t, strategy)
		})
	}
}

// TestHandlerWithoutFile: the build tells before it builds.
func TestHandlerWithoutFile(t *testing.T) { eachStrategy(t, handlerWithoutFile) }

func handlerWithoutFile(t *testing.T, strategy v1alpha1.BuildStrategy) {
	ctx := t.Context()
	f := python(clients.Namespace(ctx, t), "lost", greeting("nobody"))
	f.Spec.Runtime.Handler, f.Spec.Build.Strategy = "app.handler", strategy
	f = failed(ctx, t, create(ctx, t, f), v1alpha1.FunctionConditionBuildSucceeded, build.ReasonSourceInvalid)
	test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, `"app.handler"`, "app.py", "main.py", "spec.runtime.handler")
	if b := f.Status.Build; b.Failure.Step != build.StepSource || b.Attempts != 1 {
		t.Errorf("status.build = %+v, want one attempt that failed in step source", b)
	}
}

// TestContainerThatCannotStart: what the language says when it loads the handler
// is in the condition, and correcting it is enough.
func TestContainerThatCannotStart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	for _, tt := range []struct {
		name, code, handler string
		want                []string
	}{
		{"no-such-handler", greeting("found"), "main.nobody", []string{`"main.nobody" not found`, "defines handler", "spec.runtime.handler"}},
		{"import-error", "import numpy_of_mine\n" + greeting("found"), "main.handler", []string{"numpy_of_mine", "main.py, line 1", "dependencies"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := python(namespace, tt.name, tt.code)
			f.Spec.Runtime.Handler = tt.handler
			f, err := clients.AwaitFunction(ctx, test.Key(create(ctx, t, f)), "ServiceReady False, for the handler", func(f *v1alpha1.LambdaFunction) bool {
				// Knative Serving may say for a moment that the Route has no Configuration.
				c := f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady)
				return c.IsFalse() && strings.Contains(c.Message, tt.want[0])
			})
			if err != nil {
				t.Fatal(err)
			}
			test.Contains(t, "ServiceReady", f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady).Message, tt.want...)
			test.Contains(t, "Ready", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, tt.want...)

			f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
				s.Source.Inline.Code, s.Runtime.Handler = greeting("found"), "main.handler"
			}))
			answers(ctx, t, f, greetingBody("found"))
		})
	}
}

// TestBuildTimeout: it ends, and says how to get more time.
func TestBuildTimeout(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "slow", greeting("late in "+namespace))
	f.Spec.Build.Timeout, f.Spec.Build.Strategy = v1alpha1.NewDuration(time.Second), v1alpha1.BuildKaniko
	f = failed(ctx, t, create(ctx, t, f), v1alpha1.FunctionConditionBuildSucceeded, build.ReasonTimeout)
	test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, "longer than its timeout", "spec.build.timeout")
	// As it says: with more time it is built.
	ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Build.Timeout = v1alpha1.NewDuration(5 * time.Minute) }))
}

// TestForbiddenBuild: a namespace that lets no build pod in is told at once, and the
// build goes on as soon as it does.
func TestForbiddenBuild(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	enforce := func(level string) {
		patch := `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"` + level + `"}}}`
		if _, err := clients.Kube.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	enforce("restricted")
	f := python(namespace, "rooted", greeting("let in to "+namespace))
	f.Spec.Build.Strategy = v1alpha1.BuildKaniko
	f = failed(ctx, t, create(ctx, t, f), v1alpha1.FunctionConditionBuildSucceeded, v1alpha1.ReasonBuildRejected)
	test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, "gets no pod", "violates PodSecurity", "restricted")
	enforce("baseline")
	ready(ctx, t, f)
}

// TestUnreachableRegistry: the infrastructure is at fault, so it is tried again,
// and the condition names the registry meanwhile.
func TestUnreachableRegistry(t *testing.T) { eachStrategy(t, unreachableRegistry) }

func unreachableRegistry(t *testing.T, strategy v1alpha1.BuildStrategy) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "stranded", greeting("nowhere"))
	f.Spec.Build.Strategy = strategy
	f.Spec.Build.Registry = "nowhere." + namespace + ".svc.cluster.local"
	f, err := clients.AwaitFunction(ctx, test.Key(create(ctx, t, f)), "the failure of the first attempt", func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.Build != nil && f.Status.Build.Failure != nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := f.Status.Build.Failure
	if b.Reason != build.ReasonRegistryUnreachable || b.Step != build.StepPush || !b.Retryable {
		t.Errorf("status.build.failure = %+v, want a retryable %s in step push", b, build.ReasonRegistryUnreachable)
	}
	c := f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded)
	if !c.IsUnknown() || c.Reason != v1alpha1.ReasonRetrying {
		t.Errorf("BuildSucceeded = %s %s, want Unknown %s", c.Status, c.Reason, v1alpha1.ReasonRetrying)
	}
	test.Contains(t, "the condition", c.Message, "Attempt 1 of ", "cannot be reached", f.Spec.Build.Registry)
}

// TestRegistryThatRefuses: only a person can help, so it is not tried again.
func TestRegistryThatRefuses(t *testing.T) { eachStrategy(t, registryThatRefuses) }

func registryThatRefuses(t *testing.T, strategy v1alpha1.BuildStrategy) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	base := ready(ctx, t, create(ctx, t, python(namespace, "base", greeting("a base for others"))))
	host := runRefusingRegistry(ctx, t, namespace, base.Status.Build.Image)

	f := python(namespace, "refused", greeting("refused"))
	f.Spec.Build.Registry, f.Spec.Build.Strategy = host, strategy
	f = failed(ctx, t, create(ctx, t, f), v1alpha1.FunctionConditionBuildSucceeded, build.ReasonPushDenied)
	test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, "refused the push", "spec.build.pushSecretRef", host)
	if b := f.Status.Build; b.Failure.Step != build.StepPush || b.Failure.Retryable {
		t.Errorf("status.build = %+v, failure %+v; want a failure in step push that is not tried again", b, b.Failure)
	}
	// An attempt before the registry's Service had an endpoint may have been another.
	event, err := clients.AwaitEvent(ctx, f, build.ReasonPushDenied)
	if err != nil {
		t.Fatal(err)
	}
	if event.Count > 1 {
		t.Errorf("the registry has refused %d pushes, want one", event.Count)
	}
}

// TestErrorsOfTheHandler: a plain request and an event are answered with what the
// handler raised; the broker would repeat the one and not the other.
func TestErrorsOfTheHandler(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := ready(ctx, t, create(ctx, t, python(clients.Namespace(ctx, t), "moody", `
class NoUse(Exception):
    permanent = True

def handler(event, context):
    if event["permanent"]:
        raise NoUse("it will never work")
    raise ValueError("not today")
`)))
	answersWith(ctx, t, f, "the error of an event without the key", func(a test.Answer) bool { return a.Status == http.StatusInternalServerError })
	for _, tt := range []struct {
		permanent bool
		status    int
		want      events.Error
	}{
		{false, http.StatusInternalServerError, events.Error{Type: "ValueError", Message: "not today"}},
		{true, http.StatusUnprocessableEntity, events.Error{Type: "NoUse", Message: "it will never work", Permanent: true}},
	} {
		answer, err := clients.Call(ctx, f.Status.URL, fmt.Sprintf(`{"permanent": %t}`, tt.permanent))
		if err != nil {
			t.Fatal(err)
		}
		var got events.Error
		if err := json.Unmarshal([]byte(answer.Body), &got); err != nil || got != tt.want || answer.Status != tt.status {
			t.Errorf("answer = %v (%v), want %d and %+v", answer, err, tt.status, tt.want)
		}
	}
}
