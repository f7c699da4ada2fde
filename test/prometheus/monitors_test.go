package prometheus

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
)

func pod(namespace, name, ip string, labels map[string]string, ports ...corev1.ContainerPort) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Ports: ports}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip}}
}

// TestTargets: the monitors of config/monitoring find what they are for.
func TestTargets(t *testing.T) {
	monitors, err := Monitors("../../config/monitoring")
	if err != nil {
		t.Fatal(err)
	}
	user := corev1.ContainerPort{Name: "user-port", ContainerPort: 8080}
	serves := func(labels ...string) map[string]string {
		all := map[string]string{"serving.knative.dev/revision": "r"}
		for i := 0; i < len(labels); i += 2 {
			all["lambda.knative.io/"+labels[i]] = labels[i+1]
		}
		return all
	}
	kube := fake.NewClientset(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-lambda", Name: "knative-lambda-controller", Labels: map[string]string{"app.kubernetes.io/name": "knative-lambda"}},
			Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "c"}, Ports: []corev1.ServicePort{{Name: "http-metrics", TargetPort: intstr.FromString("metrics")}, {Name: "other"}}}},
		pod("knative-lambda", "controller-1", "10.0.0.1", map[string]string{"app": "c"}, corev1.ContainerPort{Name: "metrics", ContainerPort: 9090}, corev1.ContainerPort{Name: "probes", ContainerPort: 8080}),
		pod("team", "function-1", "10.0.0.2", serves("function", "f", "language", "python"), user),
		pod("team", "ready-made", "10.0.0.3", serves("function", "image"), user),
		pod("team", "build", "10.0.0.4", map[string]string{"lambda.knative.io/function": "f", "lambda.knative.io/language": "python"}, user),
		pod("team", "agent-1", "10.0.0.5", serves("agent", "bruno"), user),
	)
	got := map[string]string{}
	for _, m := range monitors {
		targets, err := m.Targets(t.Context(), kube)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range targets {
			got[target.Labels["job"]+" "+target.Labels["pod"]] = target.Targets[0]
			if target.Labels["__meta_kubernetes_pod_ip"]+":" != target.Targets[0][:len("10.0.0.1:")] {
				t.Errorf("labels %v of %s", target.Labels, target.Targets[0])
			}
		}
	}
	if diff := cmp.Diff(map[string]string{
		"knative-lambda-controller controller-1":             "10.0.0.1:9090",
		"knative-lambda/knative-lambda-functions function-1": "10.0.0.2:8080",
		"knative-lambda/knative-lambda-agents agent-1":       "10.0.0.5:8080",
	}, got); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}
