package kservice

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"
	servingconfig "knative.dev/serving/pkg/apis/config"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

type m = map[string]string

func exposed(labels, annotations m, v v1alpha1.Visibility) *servingv1.Service {
	s := desired()
	Expose(s, &metav1.ObjectMeta{Labels: labels, Annotations: annotations}, v, &config.Defaults{
		ExcludedLabelPrefixes: []string{"argocd.argoproj.io/"}, ExcludedAnnotationPrefixes: []string{"meta.helm.sh/"}})
	return s
}

// TestExpose: labels and annotations of the owner reach the Service and its pods, but
// those of the platform and of tools; what the platform sets has the last word.
func TestExpose(t *testing.T) {
	s := exposed(m{"team": "a", "app.kubernetes.io/name": "shop", "app.kubernetes.io/managed-by": "helm", "lambda.knative.io/function": "other", "argocd.argoproj.io/instance": "x",
		"networking.knative.dev/visibility": "cluster-local", "kueue.x-k8s.io/queue-name": "q"},
		m{"sidecar.istio.io/inject": "true", "kubectl.kubernetes.io/last-applied-configuration": "{}", "meta.helm.sh/release-name": "x", "autoscaling.knative.dev/max-scale": "9",
			"serving.knative.dev/creator": "me", "container.apparmor.security.beta.kubernetes.io/user-container": "unconfined"}, v1alpha1.VisibilityExternal)
	plain := desired()
	for _, of := range []struct {
		what      string
		got, base metav1.ObjectMeta
	}{{"Service", s.ObjectMeta, plain.ObjectMeta}, {"revision", s.Spec.Template.ObjectMeta, plain.Spec.Template.ObjectMeta}} {
		labels, annotations := merged(m{"team": "a", "app.kubernetes.io/name": "shop"}, of.base.Labels), merged(m{"sidecar.istio.io/inject": "true"}, of.base.Annotations)
		if of.what == "Service" {
			annotations["lambda.knative.io/propagated-labels"], annotations["lambda.knative.io/propagated-annotations"] = "app.kubernetes.io/name,team", "sidecar.istio.io/inject"
		}
		if diff := cmp.Diff(labels, of.got.Labels); diff != "" {
			t.Errorf("labels of the %s (-want, +got): %s", of.what, diff)
		}
		if diff := cmp.Diff(annotations, of.got.Annotations); diff != "" {
			t.Errorf("annotations of the %s (-want, +got): %s", of.what, diff)
		}
	}
}

// TestWithdraw: what the owner does not have any more is taken off, and what others have
// set stays: a Service that a user made private above all.
func TestWithdraw(t *testing.T) {
	const visibility = "networking.knative.dev/visibility"
	have := exposed(m{"team": "a", "tier": "1"}, m{"note": "x"}, v1alpha1.VisibilityClusterLocal)
	have.Labels["foreign"], have.Spec.Template.Annotations["foreign"] = "stays", "stays"
	if have.Labels[visibility] != "cluster-local" || have.Spec.Template.Labels[visibility] != "" {
		t.Fatalf("labels %v and %v, want the Service private", have.Labels, have.Spec.Template.Labels)
	}
	want := exposed(m{"team": "b"}, nil, v1alpha1.VisibilityExternal)
	Mutate(have, want.DeepCopy())
	labels := m{"team": "b", "tier": "", "foreign": "stays", visibility: ""}
	for key, value := range labels {
		if have.Labels[key] != value {
			t.Errorf("label %s = %q, want %q", key, have.Labels[key], value)
		}
	}
	template := have.Spec.Template
	if template.Labels["team"] != "b" || template.Labels["tier"] != "" || template.Annotations["note"] != "" || template.Annotations["foreign"] != "stays" || have.Annotations["note"] != "" {
		t.Errorf("labels %v, annotations %v of the revision", template.Labels, template.Annotations)
	}
	again := have.DeepCopy()
	if Mutate(again, want.DeepCopy()); cmp.Diff(have, again) != "" {
		t.Error("it is written again:", cmp.Diff(have, again))
	}
	have.Labels[visibility] = "cluster-local" // by hand
	if Mutate(have, want); have.Labels[visibility] != "cluster-local" {
		t.Error("a Service that a user made private was published")
	}
}

func settings() *v1alpha1.PodSettings {
	return &v1alpha1.PodSettings{
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}},
		VolumeMounts:              []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}, {Name: "data", MountPath: "/data"}, {Name: "keys", MountPath: "/keys"}},
		InitContainers:            []v1alpha1.InitContainer{{Name: "setup", Image: "r.test/setup", VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}}},
		ReadinessProbe:            &corev1.Probe{PeriodSeconds: 5, ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 8080}}},
		LivenessProbe:             &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/live"}}},
		StartupProbe:              &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"check"}}}},
		NodeSelector:              m{"disk": "ssd"},
		Tolerations:               []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Affinity:                  &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.ScheduleAnyway}},
		PriorityClassName:         "high", RuntimeClassName: ptr.String("gvisor"),
	}
}

func withSettings(s *servingv1.Service) {
	s.Spec.Template.Spec.Containers[0].Image = "r.test/own"
	ApplyPod(&s.Spec.Template.Spec.PodSpec, settings(), m{"ours": "1"})
}

// allFeatures of Knative Serving that pods may need, on or off.
func allFeatures(flag servingconfig.Flag) *servingconfig.Config {
	cfg := *servingconfig.FromContextOrDefaults(context.Background())
	features := *cfg.Features
	cfg.Features = &features
	for _, f := range []*servingconfig.Flag{&features.PodSpecAffinity, &features.PodSpecNodeSelector, &features.PodSpecTolerations, &features.PodSpecTopologySpreadConstraints,
		&features.PodSpecPriorityClassName, &features.PodSpecRuntimeClassName, &features.PodSpecInitContainers, &features.PodSpecVolumesEmptyDir,
		&features.PodSpecPersistentVolumeClaim, &features.PodSpecPersistentVolumeWrite} {
		*f = flag
	}
	return &cfg
}

// TestPodSettings: Knative Serving takes all of them where its flags are on, and what its
// webhook adds is not written again. Where they are off, the flags are named.
func TestPodSettings(t *testing.T) {
	ctx := servingconfig.ToContext(t.Context(), allFeatures(servingconfig.Enabled))
	stored := desired(withSettings)
	if c := stored.Spec.Template.Spec.TopologySpreadConstraints[0]; c.LabelSelector == nil || c.LabelSelector.MatchLabels["ours"] != "1" {
		t.Errorf("the spread selects %v, want the pods themselves", c.LabelSelector)
	}
	stored.SetDefaults(apis.WithinCreate(ctx))
	if err := stored.Validate(apis.WithinCreate(ctx)).Filter(apis.ErrorLevel); err != nil {
		t.Error("Knative Serving refuses the Service:", err)
	}
	again := stored.DeepCopy()
	if Mutate(again, desired(withSettings)); !equality.Semantic.DeepEqual(stored, again) {
		t.Error("it is written again:", cmp.Diff(stored, again))
	}
	bare := stored.DeepCopy()
	Mutate(bare, desired())
	pod := bare.Spec.Template.Spec.PodSpec
	if c := pod.Containers[0]; c.LivenessProbe != nil || c.StartupProbe != nil || pod.Affinity != nil || pod.InitContainers != nil || pod.RuntimeClassName != nil || pod.NodeSelector != nil {
		t.Errorf("what is not wanted any more stays: %+v", pod)
	}

	off := servingconfig.ToContext(t.Context(), allFeatures(servingconfig.Disabled))
	refusal := apierrs.NewBadRequest("admission webhook denied the request: validation failed: " + stored.Validate(apis.WithinCreate(off)).Error())
	const want = "Knative Serving does not allow spec.affinity, spec.nodeSelector, spec.tolerations, spec.topologySpreadConstraints, spec.priorityClassName, spec.runtimeClassName, " +
		"spec.initContainers, spec.volumes[].emptyDir, spec.volumes[].persistentVolumeClaim, spec.volumes[].persistentVolumeClaim without readOnly. " +
		"Remove it, or have an administrator enable kubernetes.podspec-affinity, kubernetes.podspec-nodeselector, kubernetes.podspec-tolerations, kubernetes.podspec-topologyspreadconstraints, " +
		"kubernetes.podspec-priorityclassname, kubernetes.podspec-runtimeclassname, kubernetes.podspec-init-containers, kubernetes.podspec-volumes-emptydir, " +
		"kubernetes.podspec-persistent-volume-claim, kubernetes.podspec-persistent-volume-write in the ConfigMap config-features of Knative Serving."
	if diff := cmp.Diff(want, DisabledFeatures(refusal)); diff != "" {
		t.Errorf("%v (-want, +got): %s", refusal, diff)
	}
	if got := DisabledFeatures(apierrs.NewBadRequest("must not be empty: spec.template.spec.containers")); got != "" {
		t.Errorf("another refusal is said to be a flag's: %s", got)
	}
}
