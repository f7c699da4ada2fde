package resources

import (
	"testing"

	"knative.dev/pkg/ptr"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestPodOfAnAgent: what the spec says of the pod is the pod's, or the agent's own
// container's; the model proxy beside it stays as it is.
func TestPodOfAnAgent(t *testing.T) {
	a := &v1alpha1.LambdaAgent{}
	a.Namespace, a.Name, a.Labels = "team", "bruno", map[string]string{"team": "shop", "lambda.knative.io/agent": "other"}
	const spec = `
image: {repository: r.test/bruno}
ai: {provider: ollama, model: m, endpoint: 'http://ollama.test'}
visibility: cluster-local
scaling: {concurrency: 5}
nodeSelector: {disk: ssd}
livenessProbe: {httpGet: {path: /live, port: 8080}}
volumes: [{name: scratch, emptyDir: {}}]
volumeMounts: [{name: scratch, mountPath: /scratch}]
initContainers: [{name: setup, image: r.test/setup}]
`
	if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
		t.Fatal(err)
	}
	cfg := config.FromContextOrDefaults(t.Context())
	defaults := *cfg.Defaults
	defaults.ModelProxyImage = "r.test/proxy"
	a.Spec = a.EffectiveSpec(cfg)
	s := MakeService(a, "file", &defaults)
	if err := AddModelProxy(s, a, &defaults); err != nil {
		t.Fatal(err)
	}
	if s.Labels["networking.knative.dev/visibility"] != "cluster-local" || s.Spec.Template.Labels["team"] != "shop" || s.Spec.Template.Labels["lambda.knative.io/agent"] != "bruno" {
		t.Errorf("labels %v, of the revision %v", s.Labels, s.Spec.Template.Labels)
	}
	revision := s.Spec.Template.Spec
	same(t, "concurrency", ptr.Int64(5), revision.ContainerConcurrency)
	same(t, "node selector", map[string]string{"disk": "ssd"}, revision.NodeSelector)
	if s.Spec.Template.Annotations["autoscaling.knative.dev/target"] != "5" {
		t.Errorf("annotations %v, want a target of no more than the pod takes", s.Spec.Template.Annotations)
	}
	own, proxy := revision.Containers[0], revision.Containers[1]
	if own.LivenessProbe == nil || len(own.VolumeMounts) != 2 || len(proxy.VolumeMounts) != 2 || proxy.LivenessProbe != nil || len(revision.Volumes) != 3 {
		t.Errorf("own container %+v, proxy %+v, volumes %v", own, proxy, revision.Volumes)
	}
	if init := revision.InitContainers; len(init) != 1 || init[0].SecurityContext == nil || !*init[0].SecurityContext.RunAsNonRoot {
		t.Errorf("init containers %+v, want one that is not root", init)
	}
}
