package admission

import (
	"context"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/webhook"
	"sigs.k8s.io/yaml"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ kind, manifest, want string }{
		"a function":         {"LambdaFunction", `{spec: {env: [{name: a, value: x}]}}`, ""},
		"another kind":       {"Other", `{spec: 1}`, ""},
		"y":                  {"LambdaFunction", `{spec: {env: [{name: a, value: x}, {name: b, value: y}]}}`, "spec.env[1].value: expected a string, got the boolean true; put the value in quotes: YAML reads true, yes, on and y without quotes as a boolean"},
		"a tag":              {"LambdaAgent", `{spec: {image: {repository: r, tag: 0.10}}}`, "spec.image.tag: expected a string, got the number 0.1; put the value in quotes: YAML reads 0.10 without quotes as the number 0.1"},
		"a timeout":          {"LambdaFunction", `{spec: {runtime: {timeout: 30}}}`, "spec.runtime.timeout: expected a duration such as 30s, got the number 30; add a unit, such as 30s"},
		"a quoted number":    {"LambdaFunction", `{spec: {scaling: {minReplicas: "3"}}}`, `spec.scaling.minReplicas: expected a whole number of at most 2147483647, got the string "3"; remove the quotes`},
		"a fraction":         {"LambdaFunction", `{spec: {scaling: {minReplicas: 1.5}}}`, "spec.scaling.minReplicas: expected a whole number of at most 2147483647, got the number 1.5"},
		"a quoted boolean":   {"LambdaFunction", `{spec: {eventing: {enabled: "true"}}}`, `spec.eventing.enabled: expected true or false, got the string "true"; remove the quotes`},
		"no list":            {"LambdaFunction", `{spec: {triggers: a}}`, `spec.triggers: expected a list, got the string "a"; begin each item with '- '`},
		"an object":          {"LambdaFunction", `{spec: {env: {a: b}}}`, "spec.env: expected a list, got an object"},
		"a list":             {"LambdaFunction", `{spec: {runtime: [a]}}`, "spec.runtime: expected an object, got a list"},
		"a label":            {"LambdaFunction", `{metadata: {labels: {a.b/c: 1}}}`, "metadata.labels.a.b/c: expected a string, got the number 1; put the value in quotes: YAML reads 0.10 without quotes as the number 0.1"},
		"a file":             {"LambdaFunction", `{spec: {source: {inline: {files: {main.py: [x]}}}}}`, "spec.source.inline.files.main.py: expected a string, got a list"},
		"a type of its own":  {"LambdaFunction", `{spec: {runtime: {language: python, version: true}}}`, "spec.runtime.version: expected a string, got a boolean; put the value in quotes: YAML reads true, yes, on and y without quotes as a boolean"},
		"a filter of a list": {"LambdaFunction", `{spec: {triggers: [{broker: b, filters: [{exact: {type: 5}}]}]}}`, "spec.triggers.filters.exact: expected a string, got a number; put the value in quotes: YAML reads 0.10 without quotes as the number 0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := yaml.YAMLToJSON([]byte(tc.manifest))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := explain(tc.kind, data); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("explain() =\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

type refusesAll struct{ reviewer }

func (refusesAll) Admit(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return webhook.MakeErrorStatus("mutation failed: json: cannot unmarshal")
}

// TestAdmit_Explains what Knative cannot decode, and repeats all else.
func TestAdmit_Explains(t *testing.T) {
	t.Parallel()
	admission, ok := BoundQuantities(&controller.Impl{Reconciler: refusesAll{}}).Reconciler.(webhook.AdmissionController)
	if !ok {
		t.Fatal("it is no admission controller any more")
	}
	for object, want := range map[string]string{
		`{"spec":{"runtime":{"timeout":30}}}`: "spec.runtime.timeout: expected a duration such as 30s, got the number 30; add a unit, such as 30s",
		`{"spec":{}}`:                         "mutation failed: json: cannot unmarshal",
	} {
		r := admission.Admit(t.Context(), &admissionv1.AdmissionRequest{Kind: metav1.GroupVersionKind{Kind: "LambdaFunction"}, Object: runtime.RawExtension{Raw: []byte(object)}})
		if r.Allowed || r.Result.Message != want {
			t.Errorf("%s: %+v, want %q", object, r.Result, want)
		}
	}
}

// FuzzExplain: whatever a user applies, the webhook answers.
func FuzzExplain(f *testing.F) {
	f.Add([]byte(`{"spec":{"env":[{"value":true}]}}`))
	f.Add([]byte(`{"spec":[`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = explain("LambdaFunction", data)
		_ = explain("LambdaAgent", data)
	})
}
