package cachetransform

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

func TestStrip(t *testing.T) {
	full := metav1.ObjectMeta{Name: "x", Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}}
	kept := metav1.ObjectMeta{Name: "x", Labels: map[string]string{"a": "b"}}
	pod := corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	status := corev1.PodStatus{Phase: corev1.PodFailed}
	ofJob := metav1.ObjectMeta{Name: "x", Labels: map[string]string{"batch.kubernetes.io/job-name": "b"}}
	program := corev1.Container{Name: "c", Image: "i", Command: []string{"run"}, Args: []string{"-v"}}
	whole := program
	whole.Env, whole.VolumeMounts = []corev1.EnvVar{{Name: "A"}}, []corev1.VolumeMount{{Name: "v"}}
	spec := servingv1.ServiceSpec{ConfigurationSpec: servingv1.ConfigurationSpec{Template: servingv1.RevisionTemplateSpec{Spec: servingv1.RevisionSpec{PodSpec: pod}}}}
	for _, tt := range []struct{ in, want any }{
		{&corev1.Pod{ObjectMeta: full, Spec: pod, Status: status}, &corev1.Pod{ObjectMeta: kept, Spec: corev1.PodSpec{NodeName: "node"}, Status: status}},
		{&corev1.Pod{ObjectMeta: ofJob, Spec: corev1.PodSpec{NodeName: "node", InitContainers: []corev1.Container{whole}, Containers: []corev1.Container{whole}, Volumes: []corev1.Volume{{Name: "v"}}}, Status: status},
			&corev1.Pod{ObjectMeta: ofJob, Spec: corev1.PodSpec{NodeName: "node", InitContainers: []corev1.Container{program}, Containers: []corev1.Container{program}}, Status: status}},
		{&corev1.ConfigMap{ObjectMeta: full, Data: map[string]string{"k": "v"}, BinaryData: map[string][]byte{"k": {1}}}, &corev1.ConfigMap{ObjectMeta: kept}},
		{&servingv1.Service{ObjectMeta: full, Spec: spec}, &servingv1.Service{ObjectMeta: kept, Spec: spec}},
		{&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "u", ResourceVersion: "1", Labels: full.Labels, ManagedFields: full.ManagedFields,
			Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: `{"data":{"password":"c2VjcmV0"}}`}}},
			&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "u", ResourceVersion: "1"}}},
		{cache.DeletedFinalStateUnknown{Key: "k"}, cache.DeletedFinalStateUnknown{Key: "k"}},
		{"no object", "no object"},
	} {
		got, err := Strip(tt.in)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("Strip(%T) (-want, +got), %v: %s", tt.in, err, diff)
		}
	}
}
