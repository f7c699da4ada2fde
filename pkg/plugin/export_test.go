package plugin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// exported are the documents that the last command printed, by kind and name.
func (w *world) exported(args ...string) map[string]map[string]any {
	w.t.Helper()
	w.says("", append([]string{"export"}, args...)...)
	all := map[string]map[string]any{}
	for _, document := range strings.Split(w.out.String(), "---\n")[1:] {
		var o map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			w.t.Fatal(err)
		}
		all[o["kind"].(string)+"/"+o["metadata"].(map[string]any)["name"].(string)] = o
	}
	return all
}

func TestExport(t *testing.T) {
	w := newWorld(t)
	f := w.function.DeepCopy()
	f.Labels = map[string]string{"app": "shop"}
	f.Annotations = map[string]string{
		lambda.CreatorAnnotationKey: "jane", lambda.LastModifierAnnotationKey: "jane", lambda.ToldAnnotationKey: "x",
		lambda.RebuildAnnotationKey: "2", "kubectl.kubernetes.io/last-applied-configuration": "{}",
	}
	f.UID, f.ResourceVersion, f.Generation, f.Finalizers = "uid", "7", 3, []string{"example.com/hold"}
	f.Spec.Source.Inline = &v1alpha1.InlineSource{Code: "x = '---'"}
	a := supervised.DeepCopy()
	a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true}
	own := a.DeepCopy()
	own.Name, own.Spec.Eventing.EventSource = "own", "/mine"
	client := w.lambda.LambdaV1alpha1()
	if _, err := client.LambdaFunctions("team").Update(t.Context(), f, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.LambdaAgents(a.Namespace).Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.LambdaAgents(a.Namespace).Create(t.Context(), own, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	got := w.exported()
	if diff := cmp.Diff(map[string]any{
		"apiVersion": "lambda.knative.io/v1alpha1", "kind": "LambdaFunction",
		"metadata": map[string]any{"name": f.Name, "labels": map[string]any{"app": "shop"}, "annotations": map[string]any{lambda.RebuildAnnotationKey: "2"}},
		"spec":     map[string]any{"source": map[string]any{"inline": map[string]any{"code": "x = '---'"}}},
	}, got["LambdaFunction/"+f.Name]); diff != "" {
		t.Error("the function (-want, +got):", diff)
	}
	source := func(of map[string]any) any {
		return of["spec"].(map[string]any)["eventing"].(map[string]any)["eventSource"]
	}
	if theirs, mine := source(got["LambdaAgent/"+a.Name]), source(got["LambdaAgent/own"]); theirs != nil || mine != "/mine" {
		t.Errorf("sources of events are %v and %v, want none where it is the default, and /mine", theirs, mine)
	}

	everywhere := w.exported("-A")
	if len(everywhere) != 3 || everywhere["LambdaFunction/"+f.Name]["metadata"].(map[string]any)["namespace"] != "team" || source(everywhere["LambdaAgent/"+a.Name]) != nil {
		t.Errorf("of all namespaces: %v", everywhere)
	}
}
