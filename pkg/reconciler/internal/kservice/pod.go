package kservice

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// ApplyPod sets what functions and agents may say of their pods. The first container is
// theirs. The labels are those of all their pods.
func ApplyPod(pod *corev1.PodSpec, s *v1alpha1.PodSettings, labels map[string]string) {
	container := &pod.Containers[0]
	pod.Volumes = append(pod.Volumes, s.Volumes...)
	for _, m := range s.VolumeMounts {
		m.ReadOnly = m.ReadOnly || !writable(s.Volumes, m.Name)
		container.VolumeMounts = append(container.VolumeMounts, m)
	}
	for i := range s.InitContainers {
		pod.InitContainers = append(pod.InitContainers, initContainer(&s.InitContainers[i]))
	}
	if s.ReadinessProbe != nil {
		container.ReadinessProbe = s.ReadinessProbe
	}
	container.LivenessProbe, container.StartupProbe = s.LivenessProbe, s.StartupProbe
	pod.NodeSelector, pod.Tolerations, pod.Affinity = s.NodeSelector, s.Tolerations, s.Affinity
	pod.PriorityClassName, pod.RuntimeClassName = s.PriorityClassName, s.RuntimeClassName
	for _, c := range s.TopologySpreadConstraints {
		if c.LabelSelector == nil { // else it would select no pod
			c.LabelSelector = &metav1.LabelSelector{MatchLabels: labels}
		}
		pod.TopologySpreadConstraints = append(pod.TopologySpreadConstraints, c)
	}
}

// writable reports whether files of the volume can be written. Knative Serving makes mounts
// of all others read-only.
func writable(volumes []corev1.Volume, name string) bool {
	return slices.ContainsFunc(volumes, func(v corev1.Volume) bool {
		return v.Name == name && (v.EmptyDir != nil || v.PersistentVolumeClaim != nil)
	})
}

func initContainer(c *v1alpha1.InitContainer) corev1.Container {
	return corev1.Container{
		Name: c.Name, Image: c.Image, ImagePullPolicy: c.PullPolicy, Command: c.Command, Args: c.Args, Env: c.Env, EnvFrom: c.EnvFrom,
		Resources: c.Resources, VolumeMounts: c.VolumeMounts, SecurityContext: v1alpha1.Restricted(c.SecurityContext),
	}
}

// mutatePod sets what ApplyPod sets, but for containers.
func mutatePod(have, want *corev1.PodSpec) {
	have.Volumes, have.InitContainers = want.Volumes, want.InitContainers
	have.NodeSelector, have.Tolerations, have.Affinity = want.NodeSelector, want.Tolerations, want.Affinity
	have.TopologySpreadConstraints = want.TopologySpreadConstraints
	have.PriorityClassName, have.RuntimeClassName = want.PriorityClassName, want.RuntimeClassName
}

// mutateProbes sets the probes that are wanted. Where no readiness probe is, Knative
// Serving's default stays.
func mutateProbes(have, want *corev1.Container) {
	have.LivenessProbe, have.StartupProbe = defaultedProbe(want.LivenessProbe, false), defaultedProbe(want.StartupProbe, false)
	switch wanted := defaultedProbe(want.ReadinessProbe, true); {
	case wanted != nil:
		if !equality.Semantic.DeepEqual(spelledOut(have.ReadinessProbe), spelledOut(wanted)) {
			have.ReadinessProbe = wanted
		}
	case have.ReadinessProbe != nil && have.ReadinessProbe.TCPSocket == nil:
		have.ReadinessProbe = nil // of the spec before; Knative Serving's default is another
	}
}

// defaultedProbe is the probe as Knative Serving's webhook stores it.
func defaultedProbe(p *corev1.Probe, readiness bool) *corev1.Probe {
	if p == nil {
		return nil
	}
	p = p.DeepCopy()
	if p.GRPC != nil && p.GRPC.Service == nil {
		p.GRPC.Service = ptr.String("")
	}
	if !readiness {
		return p
	}
	unlessSet(&p.SuccessThreshold, 1)
	if p.PeriodSeconds != 0 {
		unlessSet(&p.FailureThreshold, 3)
		unlessSet(&p.TimeoutSeconds, 1)
	}
	return p
}

// spelledOut is the readiness probe with what others may default, too.
func spelledOut(p *corev1.Probe) *corev1.Probe {
	if p = defaultedProbe(p, true); p != nil && p.HTTPGet != nil && p.HTTPGet.Scheme == "" {
		p.HTTPGet.Scheme = corev1.URISchemeHTTP
	}
	return p
}

func unlessSet(field *int32, value int32) {
	if *field == 0 {
		*field = value
	}
}
