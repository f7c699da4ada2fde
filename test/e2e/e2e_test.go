//go:build e2e

// Package e2e holds the tests of the whole: a cluster with Knative Serving, the
// operator and a registry. What they need of it is in docs and in Makefile.
package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

var clients *test.Clients

func TestMain(m *testing.M) {
	var err error
	if clients, err = test.NewClients(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// python is a function with one file of Python.
func python(namespace, name, code string) *v1alpha1.LambdaFunction {
	return &v1alpha1.LambdaFunction{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.LambdaFunctionSpec{
			Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: code}},
			Runtime: v1alpha1.FunctionRuntime{Language: "python", Version: "3.11"},
		},
	}
}

// greeting is a handler that answers {"message": "<text>"}.
func greeting(text string) string {
	return fmt.Sprintf("def handler(event, context):\n    return {\"message\": %q}\n", text)
}

// greetingBody is what it answers.
func greetingBody(text string) string {
	return fmt.Sprintf(`{"message": %q}`, text)
}

func create(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) *v1alpha1.LambdaFunction {
	t.Helper()
	created, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(f.Namespace).Create(ctx, f, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// update changes the spec of the function as it is by now.
func update(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, change func(*v1alpha1.LambdaFunctionSpec)) *v1alpha1.LambdaFunction {
	t.Helper()
	var updated *v1alpha1.LambdaFunction
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(f.Namespace).Get(ctx, f.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(&current.Spec)
		updated, err = clients.Lambda.LambdaV1alpha1().LambdaFunctions(f.Namespace).Update(ctx, current, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return updated
}

// ready waits until the newest generation of the function serves.
func ready(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) *v1alpha1.LambdaFunction {
	t.Helper()
	f, err := clients.AwaitFunction(ctx, test.Key(f), "Ready", (*v1alpha1.LambdaFunction).IsReady)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// failed waits until a condition of the newest generation is False, and checks
// that Ready is False with the same reason and message.
func failed(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, kind apis.ConditionType, reason string) *v1alpha1.LambdaFunction {
	t.Helper()
	f, err := clients.AwaitFunction(ctx, test.Key(f), string(kind)+" False", func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.GetCondition(kind).IsFalse()
	})
	if err != nil {
		t.Fatal(err)
	}
	got, top := f.Status.GetCondition(kind), f.Status.GetCondition(v1alpha1.FunctionConditionReady)
	if got.Reason != reason {
		t.Errorf("%s has reason %s, want %s; its message: %s", kind, got.Reason, reason, got.Message)
	}
	if !top.IsFalse() || top.Reason != got.Reason || top.Message != got.Message {
		t.Errorf("Ready = %s %s %q, want what %s says: %s %q", top.Status, top.Reason, top.Message, kind, got.Reason, got.Message)
	}
	return f
}

// answers calls the function until it answers 200 with the JSON body.
func answers(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, want string) {
	t.Helper()
	wanted := test.Answer{Status: http.StatusOK, ContentType: "application/json", Body: want}
	answersWith(ctx, t, f, wanted.String(), func(got test.Answer) bool { return got == wanted })
}

// answersWith calls the function until an answer is right.
func answersWith(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, want string, right func(test.Answer) bool) {
	t.Helper()
	settleAt(ctx, t, f.Status.URL, want, 1, test.Takeover, right)
}

// settleAt waits until as many answers in a row are right.
func settleAt(ctx context.Context, t *testing.T, url *apis.URL, want string, row int, limit time.Duration, right func(test.Answer) bool) {
	t.Helper()
	if url == nil {
		t.Fatalf("%s: no status.url", want)
	}
	if err := clients.Settle(ctx, url, row, limit, right); err != nil {
		t.Errorf("%v, want %s", err, want)
	}
}

// reached waits until the ingress leads to a handler that fails on every request: until
// then an event is answered with 404, which is a letter too where it is not tried again.
func reached(ctx context.Context, t *testing.T, url *apis.URL) {
	t.Helper()
	settleAt(ctx, t, url, "the handler's own error", 1, test.Takeover, func(a test.Answer) bool { return a.Status == http.StatusInternalServerError })
}

// remove deletes the function and waits until it is gone.
func remove(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(f.Namespace).Delete(ctx, f.Name, metav1.DeleteOptions{})
	if err != nil && !apierrs.IsNotFound(err) {
		t.Fatal(err)
	}
	if err := clients.AwaitFunctionGone(ctx, test.Key(f)); err != nil {
		t.Fatal(err)
	}
}
