//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test/packages"
)

// TestDependencies: a manifest is installed in the build's pod, from the registry
// that a build argument names.
func TestDependencies(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	words := "of a package in " + namespace
	server := packages.Start(t, hostIP(t), words)
	for _, tt := range []struct {
		language, code, manifest, registry string
		args                               []v1alpha1.BuildArg
	}{
		{"python", "import lambda_words\n\ndef handler(event, context):\n    return {\"message\": lambda_words.words()}\n",
			packages.Python + "==" + packages.Version + "\n", server.PyPI,
			[]v1alpha1.BuildArg{{Name: "PIP_INDEX_URL", Value: server.PyPI}, {Name: "PIP_TRUSTED_HOST", Value: server.Host}}},
		{"nodejs", "const {words} = require('" + packages.Node + "');\nexports.handler = () => ({message: words()});\n",
			`{"dependencies": {"` + packages.Node + `": "^1.0.0"}}`, server.NPM,
			[]v1alpha1.BuildArg{{Name: "npm_config_registry", Value: server.NPM}}},
		{"go", "package function\n\nimport \"" + packages.Go + "\"\n\nfunc Handler() any { return map[string]string{\"message\": words.Words()} }\n",
			"module function\n\ngo 1.25\n\nrequire " + packages.Go + " v" + packages.Version + "\n", server.GoProxy,
			[]v1alpha1.BuildArg{{Name: "GOPROXY", Value: server.GoProxy}, {Name: "GONOSUMDB", Value: packages.Go}}},
	} {
		t.Run(tt.language, func(t *testing.T) {
			t.Parallel()
			f := inline(namespace, tt.language, tt.language, tt.code)
			f.Spec.Source.Inline.Dependencies, f.Spec.Build.Args = tt.manifest, tt.args
			start := time.Now()
			f = ready(ctx, t, create(ctx, t, f))
			t.Logf("from create to Ready: %v", time.Since(start).Round(100*time.Millisecond))
			answersWith(ctx, t, f, words, saysMessage(words))
			if !server.Asked(tt.registry) {
				t.Errorf("nobody has taken the package from %s", tt.registry)
			}
		})
	}
}
