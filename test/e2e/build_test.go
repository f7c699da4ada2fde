//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestOwnDockerfile applies the shipped manifest, and has it point to a file that
// is not there.
func TestOwnDockerfile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	manifest := sample(t, "own-dockerfile.yaml")
	manifest.SetNamespace(namespace)
	if _, err := clients.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	f := ready(ctx, t, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: manifest.GetName()}})
	answers(ctx, t, f, greetingBody("a Dockerfile of my own"))

	f = update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Build.Dockerfile = "docker/Dockerfile" })
	f = failed(ctx, t, f, v1alpha1.FunctionConditionBuildSucceeded, build.ReasonSourceInvalid)
	test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, "spec.build.dockerfile", "docker/Dockerfile", "main.py")
}

// TestDockerfileWithoutRuntime: any program that listens will do, as root only where
// the function says so.
func TestDockerfileWithoutRuntime(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := python(clients.Namespace(ctx, t), "own-server", "")
	f.Spec.Source.Inline = &v1alpha1.InlineSource{Files: map[string]string{
		"docker/Dockerfile": "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nARG PORT\nRUN echo $PORT > /port\nCMD [\"python3\", \"-m\", \"http.server\", \"8080\"]\n",
	}}
	f.Spec.Build.Dockerfile, f.Spec.Build.Args = "docker/Dockerfile", []v1alpha1.BuildArg{{Name: "PORT", Value: "8080"}}
	f, err := clients.AwaitFunction(ctx, test.Key(create(ctx, t, f)), "refused as root", func(f *v1alpha1.LambdaFunction) bool {
		c := f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady)
		return c.IsFalse() && strings.Contains(c.Message, "runAsNonRoot")
	})
	if err != nil {
		t.Fatal(err)
	}
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: ptr.Bool(false)}
	}))
	answersWith(ctx, t, f, "the 501 of Python's own server", func(a test.Answer) bool { return a.Status == http.StatusNotImplemented })
	// With the language's own recipe it is a function again.
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Source.Inline.Files = map[string]string{"main.py": greeting("of the language")}
		s.Build.Dockerfile, s.Build.Args = "", nil
	}))
	answers(ctx, t, f, greetingBody("of the language"))
}

// TestKueue: with a queue's name the Job is suspended until Kueue, which this test
// plays, admits it.
func TestKueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "queued", greeting("admitted in "+namespace))
	f.Labels = map[string]string{lambda.KueueQueueLabelKey: "team"}
	f.Spec.Build.Strategy = v1alpha1.BuildKaniko
	f, err := clients.AwaitFunction(ctx, test.Key(create(ctx, t, f)), "the queue", func(f *v1alpha1.LambdaFunction) bool {
		c := f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded)
		return c != nil && c.Reason == v1alpha1.ReasonQueued && strings.Contains(c.Message, "Kueue")
	})
	if err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionBuildSucceeded).Message, `"team"`, f.Status.Build.JobName)
	patch := []byte(`{"spec":{"suspend":false}}`)
	if _, err := clients.Kube.BatchV1().Jobs(namespace).Patch(ctx, f.Status.Build.JobName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	answers(ctx, t, ready(ctx, t, f), greetingBody("admitted in "+namespace))
}
