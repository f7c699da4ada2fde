//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestModelAvailable: it tells when the model's server goes and comes back, and Ready
// does not mind.
func TestModelAvailable(t *testing.T) {
	ctx := t.Context() // not in parallel: how often models are asked is the cluster's
	namespace := clients.Namespace(ctx, t)
	image := imageOf(ctx, t, namespace, "mirror-image", mirror)
	setDefaults(ctx, t, `{"data":{"model-probe-interval":"1s","model-probe-timeout":"2s"}}`)
	t.Cleanup(func() {
		setDefaults(context.Background(), t, `{"data":{"model-probe-interval":null,"model-probe-timeout":null}}`)
	})
	runModels(ctx, t, namespace, image)
	a := createAgent(ctx, t, agentOf(namespace, "mirror", image, func(s *v1alpha1.LambdaAgentSpec) {
		s.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAICompatible, Endpoint: "http://models." + namespace + ".svc.cluster.local/v1", Model: "small"}, Proxy: "disabled"}
	}))
	available := func(status corev1.ConditionStatus, reason string) *v1alpha1.LambdaAgent {
		return awaitAgent(ctx, t, a, fmt.Sprintf("ModelAvailable %s %s", status, reason), func(a *v1alpha1.LambdaAgent) bool {
			c := a.Status.GetCondition(v1alpha1.AgentConditionModelAvailable)
			return c != nil && c.Status == status && c.Reason == reason && a.IsReady()
		})
	}
	if seen := available(corev1.ConditionTrue, ""); seen.Status.Model.LastProbeTime == nil {
		t.Error("status.model.lastProbeTime is missing")
	}
	scale := func(replicas int) {
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
		if _, err := clients.Kube.AppsV1().Deployments(namespace).Patch(ctx, "models", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	scale(0)
	available(corev1.ConditionFalse, "EndpointUnreachable")
	scale(1)
	available(corev1.ConditionTrue, "")
	updateAgent(ctx, t, a, func(s *v1alpha1.LambdaAgentSpec) { s.AI.Model = "large" })
	seen := available(corev1.ConditionFalse, "ModelNotFound")
	test.Contains(t, "ModelAvailable", seen.Status.GetCondition(v1alpha1.AgentConditionModelAvailable).Message, "large")
}

func setDefaults(ctx context.Context, t *testing.T, patch string) {
	t.Helper()
	if _, err := clients.Kube.CoreV1().ConfigMaps(operatorNamespace).Patch(ctx, "config-defaults", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
}

// models lists one model, as OpenAI's API does, and answers with what it is told.
const models = `
import http.server, json

class Models(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/v1/models"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b'{"data": [{"id": "small"}]}' if found else b"")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = " | ".join(m["content"] for m in asked["messages"])
        self.send_response(200 if self.path == "/v1/chat/completions" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"message": {"role": "assistant", "content": words}}]}).encode())

http.server.ThreadingHTTPServer(("", 8080), Models).serve_forever()
`

// runModels runs a server of models in an image that has Python.
func runModels(ctx context.Context, t *testing.T, namespace string, image v1alpha1.ImageReference) {
	t.Helper()
	meta, labels := metav1.ObjectMeta{Namespace: namespace, Name: "models"}, map[string]string{"app": "models"}
	_, err := clients.Kube.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.Int64(0),
			Containers: []corev1.Container{{Name: "models", Image: image.Reference(), Command: []string{"python3", "-c", models},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}}},
		}},
	}}, metav1.CreateOptions{})
	if err == nil {
		_, err = clients.Kube.CoreV1().Services(namespace).Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		}}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLifecycleEventsOfAgents: the sink is told of agents as of functions.
func TestLifecycleEventsOfAgents(t *testing.T) {
	ctx := t.Context() // not in parallel: the sink is the cluster's
	namespace := clients.Namespace(ctx, t)
	image := imageOf(ctx, t, namespace, "mirror-image", mirror)
	sink := ready(ctx, t, create(ctx, t, rememberer(namespace, "sink")))
	setLifecycleSink(ctx, t, sink.Status.Address.URL.String())
	t.Cleanup(func() { setLifecycleSink(context.Background(), t, "") })

	a := createAgent(ctx, t, agentOf(namespace, "told", image))
	source := events.Source("agent", namespace, "told")
	told := func(all []seen) (types []string) {
		ids := map[string]bool{}
		for _, e := range all {
			if e.Source == source && !ids[e.ID] {
				ids[e.ID] = true
				types = append(types, strings.TrimPrefix(strings.TrimPrefix(e.Type, events.Prefix), "lifecycle."))
			}
		}
		return types
	}
	readies := func(n int) func([]seen) bool {
		return func(all []seen) bool {
			count := 0
			for _, kind := range told(all) {
				if kind == "agent.ready" {
					count++
				}
			}
			return count == n
		}
	}
	remembers(ctx, t, sink, "the agent's first revision", readies(1))
	updateAgent(ctx, t, a, func(s *v1alpha1.LambdaAgentSpec) { s.Env = []corev1.EnvVar{{Name: "MOOD", Value: "good"}} })
	remembers(ctx, t, sink, "the agent's second revision", readies(2))
	if err := clients.Lambda.LambdaV1alpha1().LambdaAgents(namespace).Delete(ctx, a.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	remembers(ctx, t, sink, "the end of the agent", func(all []seen) bool {
		kinds = told(all)
		return slices.Contains(kinds, "agent.deleted")
	})
	want := []string{"agent.created", "service.created", "agent.ready", "agent.updated", "service.updated", "agent.ready", "service.deleted", "agent.deleted"}
	for _, next := range kinds {
		if len(want) > 0 && next == want[0] {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		t.Errorf("told %v, want %v after that", kinds, want)
	}
	for _, kind := range []string{"notification.audit.change", "service.scaled"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("told %v, want %s among them", kinds, kind)
		}
	}
}
