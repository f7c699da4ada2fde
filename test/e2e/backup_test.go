//go:build e2e

package e2e

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestBackup: what kubectl lambda export prints of one namespace makes the same
// functions and agents in another.
func TestBackup(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	from, to := clients.Namespace(ctx, t), clients.Namespace(ctx, t)
	f := python(from, "kept", greeting("kept"))
	f.Labels = map[string]string{"team": "shop"}
	f = ready(ctx, t, create(ctx, t, f))
	answers(ctx, t, f, greetingBody("kept"))
	agent := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: from, Name: "kept-agent"}, Spec: v1alpha1.LambdaAgentSpec{Image: nowhere}}
	if _, err := clients.Lambda.LambdaV1alpha1().LambdaAgents(from).Create(ctx, agent, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	backup, err := kubectlLambda(ctx, from, "export")
	if err != nil {
		t.Fatalf("export: %v: %s", err, backup)
	}
	documents := strings.Split(backup, "---\n")[1:]
	if len(documents) != 2 {
		t.Fatalf("%d documents, want a function and an agent: %s", len(documents), backup)
	}
	for _, document := range documents {
		o, err := test.Parse([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		o.SetNamespace(to)
		if _, err := clients.Create(ctx, o); err != nil { // as onto an empty cluster
			t.Fatal(err)
		}
	}
	restored := ready(ctx, t, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: to, Name: f.Name}})
	answers(ctx, t, restored, greetingBody("kept"))
	if restored.Labels["team"] != "shop" || restored.Status.Source.Digest != f.Status.Source.Digest {
		t.Errorf("labels %v, source %v; want those of the original: %v, %v", restored.Labels, restored.Status.Source, f.Labels, f.Status.Source)
	}
	if _, err := clients.Lambda.LambdaV1alpha1().LambdaAgents(to).Get(ctx, agent.Name, metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}
