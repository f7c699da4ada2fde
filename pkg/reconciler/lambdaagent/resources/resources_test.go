package resources

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

func agent(change ...func(*v1alpha1.LambdaAgent)) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "uid"},
		Spec: v1alpha1.LambdaAgentSpec{
			Image: v1alpha1.ImageReference{Repository: "r.test/chatbot", Tag: "1", Port: 8080},
			AI:    v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderNone}},
		},
	}
	for _, c := range change {
		c(a)
	}
	return a
}

// meta of every child.
func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "team", Name: name,
		Labels: map[string]string{"app.kubernetes.io/managed-by": "knative-lambda-operator", "lambda.knative.io/agent": "bruno"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "lambda.knative.io/v1alpha1", Kind: "LambdaAgent", Name: "bruno", UID: "uid",
			Controller: ptr.Bool(true), BlockOwnerDeletion: ptr.Bool(true)}}}
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want, +got): %s", what, diff)
	}
}

func TestMakeService(t *testing.T) {
	memory := corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}}
	a := agent(func(a *v1alpha1.LambdaAgent) {
		a.Spec.Image = v1alpha1.ImageReference{Repository: "r.test/chatbot", Digest: "sha256:1", Port: 9000, PullPolicy: corev1.PullAlways,
			Command: []string{"/run"}, Args: []string{"-v"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}}}
		a.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(5), ContainerConcurrency: ptr.Int64(7)}
		a.Spec.Resources = memory
		a.Spec.Env = []corev1.EnvVar{{Name: "MINE", Value: "1"}}
		a.Spec.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}
		a.Spec.ServiceAccountName = "robot"
	})
	child := meta("bruno")
	want := &servingv1.Service{ObjectMeta: child, Spec: servingv1.ServiceSpec{ConfigurationSpec: servingv1.ConfigurationSpec{Template: servingv1.RevisionTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: child.Labels, Annotations: map[string]string{"autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "5"}},
		Spec: servingv1.RevisionSpec{
			ContainerConcurrency: ptr.Int64(7),
			PodSpec: corev1.PodSpec{
				ServiceAccountName: "robot",
				ImagePullSecrets:   []corev1.LocalObjectReference{{Name: "pull"}},
				Volumes: []corev1.Volume{{Name: "lambda-agent", VolumeSource: corev1.VolumeSource{
					ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}}},
				Containers: []corev1.Container{{
					Image: "r.test/chatbot@sha256:1", ImagePullPolicy: corev1.PullAlways, Command: []string{"/run"}, Args: []string{"-v"},
					Ports: []corev1.ContainerPort{{ContainerPort: 9000}}, EnvFrom: a.Spec.EnvFrom, Resources: memory,
					VolumeMounts: []corev1.VolumeMount{{Name: "lambda-agent", MountPath: "/etc/lambda-agent", ReadOnly: true}},
					Env: []corev1.EnvVar{
						{Name: "LLM_PROVIDER", Value: "none"},
						{Name: "LAMBDA_AGENT_NAME", Value: "bruno"}, {Name: "LAMBDA_AGENT_NAMESPACE", Value: "team"},
						{Name: "LAMBDA_AGENT_CONFIG", Value: "/etc/lambda-agent/agent.json"},
						{Name: "MINE", Value: "1"},
					},
					SecurityContext: v1alpha1.Restricted(nil),
				}},
			},
		},
	}}}}
	got := MakeService(a, "config", &config.Defaults{})
	same(t, "Service", want, got)

	got.Spec.Template.Spec.Containers[0].EnvFrom[0].SecretRef.Name = "changed"
	if a.Spec.EnvFrom[0].SecretRef.Name != "s" {
		t.Error("the Service shares memory with the agent")
	}
}

// TestServiceOfTheLeast: without a service account the agent gets no API token, and
// no bound of requests at once.
func TestServiceOfTheLeast(t *testing.T) {
	revision := MakeService(agent(), "config", &config.Defaults{}).Spec.Template.Spec
	same(t, "AutomountServiceAccountToken", ptr.Bool(false), revision.AutomountServiceAccountToken)
	same(t, "ContainerConcurrency", ptr.Int64(0), revision.ContainerConcurrency)
	same(t, "Image", "r.test/chatbot:1", revision.Containers[0].Image)
}

func TestLabelsOfALongName(t *testing.T) {
	a := agent(func(a *v1alpha1.LambdaAgent) { a.Name = strings.Repeat("n", 63) })
	if got := Labels(a)["lambda.knative.io/agent"]; got != a.Name {
		t.Errorf("the agent's label = %s, want its name, which just fits", got)
	}
}

func TestMakeConfig(t *testing.T) {
	temperature, secret := v1alpha1.Number("0.7"), corev1.LocalObjectReference{Name: "keys"}
	a := agent(func(a *v1alpha1.LambdaAgent) {
		a.Spec.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAI, Model: "m"}, Temperature: &temperature, Proxy: v1alpha1.ProxyDisabled,
			APIKeySecretRef: &corev1.SecretKeySelector{LocalObjectReference: secret, Key: "token"}}
		a.Spec.Behavior = &v1alpha1.BehaviorSpec{MaxContextMessages: ptr.Int32(20)}
		a.Spec.OperationMode = v1alpha1.ModeAgentic
		a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true, EventSource: "/team/bruno"}
		a.Spec.Memory = &v1alpha1.MemorySpec{Schema: "s"}
		a.Spec.Env = []corev1.EnvVar{{Name: "NOT", Value: "in it"}}
	})
	const document = `{
  "name": "bruno",
  "namespace": "team",
  "ai": {
    "provider": "openai",
    "model": "m",
    "temperature": 0.7,
    "apiKeySecretRef": {
      "name": "keys",
      "key": "token"
    },
    "proxy": "disabled"
  },
  "behavior": {
    "maxContextMessages": 20
  },
  "operationMode": "agentic",
  "eventing": {
    "enabled": true,
    "eventSource": "/team/bruno"
  },
  "memory": {
    "schema": "s"
  }
}`
	got, err := MakeConfig(a)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ConfigMap", &corev1.ConfigMap{
		ObjectMeta: meta("bruno-agent-" + build.Hash(document)), Immutable: ptr.Bool(true), Data: map[string]string{"agent.json": document},
	}, got)

	a.Spec.AI.Model = "another"
	other, err := MakeConfig(a)
	if err != nil || other.Name == got.Name {
		t.Errorf("another model has the ConfigMap %s, %v: no new revision would read it", other.Name, err)
	}
}
