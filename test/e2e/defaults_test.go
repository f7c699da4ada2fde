//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// kubectlApply a manifest as users do.
func kubectlApply(ctx context.Context, t *testing.T, namespace, manifest string, options ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, "kubectl", append([]string{"apply", "-n", namespace, "-f", file}, options...)...).CombinedOutput()
	return string(out), err
}

// TestKindAndLanguageChange: a manifest in which only the language, the kind of source,
// or the image's tag has changed is applied like any other, client-side and server-side.
func TestKindAndLanguageChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	for name, options := range map[string][]string{"client-side": nil, "server-side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			of := func(spec string) string {
				return "apiVersion: lambda.knative.io/v1alpha1\nkind: LambdaFunction\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
			}
			key := types.NamespacedName{Namespace: namespace, Name: name}
			for _, step := range []struct {
				spec, kind, handler string
			}{
				{`{source: {inline: {code: "def handler(event, context): return 1"}}, runtime: {language: python}}`, "inline", "main.handler"},
				{`{source: {inline: {code: "exports.handler = async () => 1"}}, runtime: {language: nodejs}}`, "inline", "index.handler"},
				{`{source: {image: {repository: r.invalid/own}}}`, "image", ""},
				{`{source: {image: {repository: r.invalid/own, digest: "sha256:` + strings.Repeat("0", 64) + `"}}}`, "image", ""},
				{`{source: {s3: {bucket: functions, key: f.py, endpoint: "https://s3.invalid", credentialsSecret: a}}, runtime: {language: python}}`, "", "main.handler"},
				{`{source: {s3: {bucket: functions, key: f.py, endpoint: "https://s3.invalid", credentialsSecret: b}}, runtime: {language: python}}`, "", "main.handler"},
				{`{source: {inline: {code: "def handler(event, context): return 2"}}, runtime: {language: python, version: "3.11"}}`, "inline", "main.handler"},
			} {
				if out, err := kubectlApply(ctx, t, namespace, of(step.spec), options...); err != nil {
					t.Fatalf("%s is refused: %s", step.spec, out)
				}
				f, err := clients.AwaitFunction(ctx, key, "what follows from the spec", func(f *v1alpha1.LambdaFunction) bool {
					r, s := f.Status.Runtime, f.Status.Source
					return f.Status.ObservedGeneration == f.Generation && r != nil && r.Handler == step.handler && (step.kind == "" || s != nil && string(s.Type) == step.kind)
				})
				if err != nil {
					t.Fatal(err)
				}
				if f.Spec.Source.Type != "" || f.Spec.Runtime.Handler != "" {
					t.Errorf("%s is stored as %+v", step.spec, f.Spec)
				}
			}
		})
	}
}

// TestVersionNotOffered: the manifest is admitted with a warning, and the condition says
// which versions the cluster offers.
func TestVersionNotOffered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	out, err := kubectlApply(ctx, t, namespace, `
apiVersion: lambda.knative.io/v1alpha1
kind: LambdaFunction
metadata: {name: old}
spec: {source: {inline: {code: "def handler(event, context): return 1"}}, runtime: {language: python, version: "2.7"}}
`)
	if err != nil {
		t.Fatalf("refused: %s", out)
	}
	test.Contains(t, "the output of kubectl", out, "Warning:", "spec.runtime.version", "2.7", "3.11")
	f, err := clients.AwaitFunction(ctx, types.NamespacedName{Namespace: namespace, Name: "old"}, "SourceResolved False", func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved).IsFalse()
	})
	if err != nil {
		t.Fatal(err)
	}
	c := f.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved)
	if c.Reason != v1alpha1.ReasonVersionNotOffered {
		t.Errorf("reason = %s, want %s", c.Reason, v1alpha1.ReasonVersionNotOffered)
	}
	test.Contains(t, "message", c.Message, "2.7", "3.11")
}
