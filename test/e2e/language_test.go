//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// inline is a function of one file in a language.
func inline(namespace, name, language, code string) *v1alpha1.LambdaFunction {
	f := python(namespace, name, code)
	f.Spec.Runtime = v1alpha1.FunctionRuntime{Language: language}
	return f
}

// programs answer {"message": <words>} in each language, and raise a permanent
// error for {"fail": true}.
var programs = map[string]string{
	"nodejs": `
const {PermanentError} = require('lambda-runtime');
exports.handler = async (event) => {
  if (event && event.fail) throw new PermanentError('never');
  return {message: %q};
};
`,
	"go": `package function

import (
	"context"
	"errors"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
)

func Handler(_ context.Context, in struct{ Fail bool }) (any, error) {
	if in.Fail {
		return nil, lambda.Permanent(errors.New("never"))
	}
	return map[string]string{"message": %q}, nil
}
`,
	"provided": `#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
work=$(mktemp -d)
while curl -sS -D "$work/headers" -o "$work/event" "$api/next"; do
  id=$(sed -n 's/\r$//; s/^lambda-runtime-aws-request-id: //Ip' "$work/headers")
  if grep -q fail "$work/event"; then
    curl -sS -o "$work/taken" -d '{"errorType": "PermanentError", "errorMessage": "never"}' "$api/$id/error"
  else
    curl -sS -o "$work/taken" -d '{"message": "%s"}' "$api/$id/response"
  fi
done
`,
}

// TestLanguages: an inline function of each language comes to life, answers plain
// requests and events, and tells its errors.
func TestLanguages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	for language, code := range programs {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			words := language + " in " + namespace
			start := time.Now()
			f := ready(ctx, t, create(ctx, t, inline(namespace, language, language, fmt.Sprintf(code, words))))
			t.Logf("from create to Ready: %v", time.Since(start).Round(100*time.Millisecond))
			answersWith(ctx, t, f, words, saysMessage(words))
			checkAnswersOf(ctx, t, f, words)
			remove(ctx, t, f)
		})
	}
}

// saysMessage tells an answer {"message": <words>}, however it is spaced.
func saysMessage(words string) func(test.Answer) bool {
	return func(got test.Answer) bool {
		var message struct{ Message string }
		return got.Status == http.StatusOK && json.Unmarshal([]byte(got.Body), &message) == nil && message.Message == words
	}
}

// checkAnswersOf checks the answers to an event and to one that fails for good.
func checkAnswersOf(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, words string) {
	t.Helper()
	for _, tt := range []struct {
		data   string
		status int
		kind   string
		want   string
	}{
		{`{}`, http.StatusOK, events.ResponseSuccess, words},
		{`{"fail": true}`, http.StatusUnprocessableEntity, events.ResponseError, "never"},
	} {
		e := event.New()
		e.SetID("cause")
		e.SetType("io.example.test")
		e.SetSource("/e2e")
		if err := e.SetData("application/json", json.RawMessage(tt.data)); err != nil {
			t.Fatal(err)
		}
		status, answer, err := clients.Send(ctx, f.Status.URL, e, false)
		if err != nil || answer == nil {
			t.Fatalf("%s is answered with %d, %v, %v", tt.data, status, answer, err)
		}
		if status != tt.status || answer.Type() != tt.kind || answer.Extensions()[events.CausationExtension] != "cause" || !strings.Contains(string(answer.Data()), tt.want) {
			t.Errorf("%s is answered with %d and\n%v\nwant %d, %s with %q", tt.data, status, answer, tt.status, tt.kind, tt.want)
		}
	}
}

// TestSourcesThatDoNotCompile: the compiler's or loader's words are in the
// condition, with file and line.
func TestSourcesThatDoNotCompile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		f := failed(ctx, t, create(ctx, t, inline(namespace, "typo", "go", "package function\n\nfunc Handler() int { return undefinedName }\n")), v1alpha1.FunctionConditionBuildSucceeded, build.ReasonBuildStepFailed)
		test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, "handler.go:3:29: undefined: undefinedName")
	})
	t.Run("go without its handler", func(t *testing.T) {
		t.Parallel()
		f := failed(ctx, t, create(ctx, t, inline(namespace, "lost", "go", "package function\n\nfunc Hello() {}\n")), v1alpha1.FunctionConditionBuildSucceeded, build.ReasonSourceInvalid)
		test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, `handler "Handler" not found: package function has Hello`)
	})
	t.Run("nodejs", func(t *testing.T) {
		t.Parallel()
		f, err := clients.AwaitFunction(ctx, test.Key(create(ctx, t, inline(namespace, "syntax", "nodejs", "exports.handler = () => {\n  oops oops\n};\n"))), "ServiceReady False", func(f *v1alpha1.LambdaFunction) bool {
			return f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady).IsFalse()
		})
		if err != nil {
			t.Fatal(err)
		}
		test.Contains(t, "the condition", f.Status.GetCondition(v1alpha1.FunctionConditionReady).Message, `cannot load "index": SyntaxError: `, "(index.js, line 2)")
	})
}

// TestLanguageByConfiguration runs the worked example: a language that is added by
// nothing but a key of config-runtimes.
func TestLanguageByConfiguration(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	added := sample(t, "language-shell/config-runtimes.yaml")
	configMaps := clients.Kube.CoreV1().ConfigMaps(added.GetNamespace())
	config, err := configMaps.Get(ctx, added.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"data": added.Object["data"]})
	if err != nil {
		t.Fatal(err)
	}
	// The base image of programs for AWS Lambda is there on every cluster that the
	// tests run on; the sample names one of a public registry.
	text := strings.ReplaceAll(string(patch), `docker.io/library/buildpack-deps:bookworm-curl`, baseImage(t, config.Data["provided"]))
	if _, err := configMaps.Patch(ctx, config.Name, types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := configMaps.Patch(context.Background(), config.Name, types.MergePatchType, []byte(`{"data":{"shell":null}}`), metav1.PatchOptions{}); err != nil {
			t.Errorf("the language is left behind: %v", err)
		}
	})
	manifest := sample(t, "language-shell/hello-shell.yaml")
	manifest.SetNamespace(clients.Namespace(ctx, t))
	err = test.Retry(5*time.Second, func() error { // until the webhook has the new configuration
		_, err := clients.Apply(ctx, manifest)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f := ready(ctx, t, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: manifest.GetNamespace(), Name: manifest.GetName()}})
	answers(ctx, t, f, `{"message": "Hello from Lambda!"}`)
	remove(ctx, t, f)
}

// baseImage is what the first version of a language is made from.
func baseImage(t *testing.T, language string) string {
	t.Helper()
	_, image, found := strings.Cut(language, "baseImage: \"")
	if !found {
		t.Fatalf("config-runtimes has no base image in %q", language)
	}
	return image[:strings.IndexByte(image, '"')]
}
