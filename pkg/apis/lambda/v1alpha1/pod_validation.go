package v1alpha1

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"
)

// validateSettings of a pod with the ServiceAccount. reserved are names and paths of
// the platform's own volumes.
func (p *PodSettings) validateSettings(serviceAccount string, reserved ...string) (errs *apis.FieldError) {
	names := map[string]bool{}
	for i, v := range p.Volumes {
		switch {
		case names[v.Name]:
			errs = errs.Also(apis.ErrGeneric(fmt.Sprintf("%q is there twice", v.Name), "name").ViaFieldIndex("volumes", i))
		case slices.Contains(reserved, v.Name):
			errs = errs.Also(apis.ErrInvalidValue(v.Name, "name", "the platform has a volume of this name: choose another one").ViaFieldIndex("volumes", i))
		}
		names[v.Name] = true
		errs = errs.Also(validateVolume(&v, serviceAccount).ViaFieldIndex("volumes", i))
	}
	errs = errs.Also(validateMounts(p.VolumeMounts, names, reserved))
	errs = errs.Also(p.validateInitContainers(names))
	errs = errs.Also(validateProbe(p.ReadinessProbe, true).ViaField("readinessProbe"))
	errs = errs.Also(validateProbe(p.LivenessProbe, false).ViaField("livenessProbe"))
	errs = errs.Also(validateProbe(p.StartupProbe, false).ViaField("startupProbe"))
	return errs.Also(p.validatePlacement())
}

func validateVolume(v *corev1.Volume, serviceAccount string) (errs *apis.FieldError) {
	if !supportedVolume(v.VolumeSource) {
		errs = errs.Also(apis.ErrGeneric("expected exactly one of", "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"))
	}
	if e := v.EmptyDir; e != nil {
		if e.Medium != corev1.StorageMediumDefault && e.Medium != corev1.StorageMediumMemory {
			errs = errs.Also(apis.ErrInvalidValue(e.Medium, "emptyDir.medium", "expected Memory, or nothing"))
		}
		if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
			errs = errs.Also(apis.ErrInvalidValue(e.SizeLimit.String(), "emptyDir.sizeLimit", "must not be negative"))
		}
	}
	if c := v.PersistentVolumeClaim; c != nil {
		errs = errs.Also(checkObjectName(c.ClaimName, "persistentVolumeClaim.claimName"))
	}
	errs = errs.Also(validateProjection(v.Projected, serviceAccount))
	return errs.Also(validateFiles(&v.VolumeSource))
}

func validateMounts(mounts []corev1.VolumeMount, volumes map[string]bool, reserved []string) (errs *apis.FieldError) {
	for i, m := range mounts {
		errs = errs.Also(validateMount(&m).ViaFieldIndex("volumeMounts", i))
		if !volumes[m.Name] {
			errs = errs.Also(apis.ErrInvalidValue(m.Name, "name", "expected the name of one of volumes").ViaFieldIndex("volumeMounts", i))
		}
		if at := path.Clean("/" + m.MountPath); slices.ContainsFunc(reserved, func(r string) bool { return at == r || strings.HasPrefix(at, r+"/") }) {
			errs = errs.Also(apis.ErrInvalidValue(m.MountPath, "mountPath", "the platform has files there: choose another path").ViaFieldIndex("volumeMounts", i))
		}
	}
	return errs
}

func (p *PodSettings) validateInitContainers(volumes map[string]bool) (errs *apis.FieldError) {
	names := map[string]bool{}
	for i := range p.InitContainers {
		c := &p.InitContainers[i]
		var of *apis.FieldError
		switch msgs := validation.IsDNS1123Label(c.Name); {
		case len(msgs) > 0:
			of = of.Also(apis.ErrInvalidValue(c.Name, "name", strings.Join(msgs, "; ")))
		case names[c.Name]:
			of = of.Also(apis.ErrGeneric(fmt.Sprintf("%q is there twice", c.Name), "name"))
		}
		names[c.Name] = true
		if _, err := name.ParseReference(c.Image); err != nil {
			of = of.Also(apis.ErrInvalidValue(c.Image, "image", "expected an image such as registry.example.com/team/setup:v1"))
		}
		if !slices.Contains([]corev1.PullPolicy{"", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, c.PullPolicy) {
			of = of.Also(apis.ErrInvalidValue(c.PullPolicy, "pullPolicy", "expected Always, IfNotPresent or Never"))
		}
		of = of.Also(validateEnv(c.Env, c.EnvFrom, func(string) bool { return false }))
		of = of.Also(validateSecurity(c.SecurityContext).ViaField("securityContext"))
		of = of.Also(validateMounts(c.VolumeMounts, volumes, nil))
		of = of.Also(validateResources(&c.Resources).ViaField("resources"))
		errs = errs.Also(of.ViaFieldIndex("initContainers", i))
	}
	return errs
}

// validateResources: Kubernetes would refuse the pod, long after admission.
func validateResources(r *corev1.ResourceRequirements) (errs *apis.FieldError) {
	for name, request := range r.Requests {
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			errs = errs.Also(apis.ErrInvalidValue(request.String(), fmt.Sprintf("requests[%s]", name), fmt.Sprintf("must be no more than limits[%s] (%s)", name, limit.String())))
		}
	}
	return errs
}

// validateProbe: what Kubernetes or Knative Serving would refuse later. The kubelet asks
// the pod itself, and nothing else that it can reach.
func validateProbe(p *corev1.Probe, readiness bool) (errs *apis.FieldError) {
	if p == nil {
		return nil
	}
	handlers := 0
	for _, set := range []bool{p.Exec != nil, p.GRPC != nil, p.HTTPGet != nil, p.TCPSocket != nil} {
		if set {
			handlers++
		}
	}
	if handlers != 1 {
		errs = errs.Also(apis.ErrGeneric("expected exactly one of", "exec", "grpc", "httpGet", "tcpSocket"))
	}
	if h := p.HTTPGet; h != nil {
		errs = errs.Also(checkProbeTarget(h.Host, h.Port).ViaField("httpGet"))
	}
	if s := p.TCPSocket; s != nil {
		errs = errs.Also(checkProbeTarget(s.Host, s.Port).ViaField("tcpSocket"))
	}
	return errs.Also(validateProbeTimes(p, readiness))
}

// validateProbeTimes checks how often a probe asks, and what it makes of the answers.
func validateProbeTimes(p *corev1.Probe, readiness bool) (errs *apis.FieldError) {
	for _, n := range []struct {
		field string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds}, {"timeoutSeconds", p.TimeoutSeconds}, {"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold}, {"failureThreshold", p.FailureThreshold},
	} {
		if n.value < 0 {
			errs = errs.Also(apis.ErrInvalidValue(n.value, n.field, "must not be negative"))
		}
	}
	switch {
	case readiness && p.TerminationGracePeriodSeconds != nil:
		errs = errs.Also(apis.ErrDisallowedFields("terminationGracePeriodSeconds"))
	case readiness && p.PeriodSeconds == 0 && (p.FailureThreshold != 0 || p.TimeoutSeconds != 0):
		errs = errs.Also(apis.ErrGeneric("failureThreshold and timeoutSeconds go with periodSeconds: Knative Serving asks as often as it can without it", "periodSeconds"))
	case !readiness && p.SuccessThreshold > 1:
		errs = errs.Also(apis.ErrInvalidValue(p.SuccessThreshold, "successThreshold", "expected 1, or nothing"))
	}
	return errs
}

func checkProbeTarget(host string, port intstr.IntOrString) (errs *apis.FieldError) {
	if host != "" {
		errs = errs.Also(apis.ErrInvalidValue(host, "host", "a probe asks the pod itself: remove it"))
	}
	if port.Type == intstr.String || port.IntVal < 0 || port.IntVal > 65535 {
		errs = errs.Also(apis.ErrInvalidValue(port.String(), "port", "expected the number of a port, or nothing for the container's own"))
	}
	return errs
}

// validatePlacement checks what of a pod's placement is not another object's.
func (p *PodSettings) validatePlacement() (errs *apis.FieldError) {
	for key, value := range p.NodeSelector {
		if msgs := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(msgs) > 0 {
			errs = errs.Also(apis.ErrInvalidKeyName(key, "nodeSelector", msgs...))
		}
	}
	for i, t := range p.Tolerations {
		errs = errs.Also(validateToleration(&t).ViaFieldIndex("tolerations", i))
	}
	for i, c := range p.TopologySpreadConstraints {
		var of *apis.FieldError
		if c.MaxSkew < 1 {
			of = of.Also(apis.ErrInvalidValue(c.MaxSkew, "maxSkew", "must be at least 1"))
		}
		if c.TopologyKey == "" {
			of = of.Also(apis.ErrMissingField("topologyKey"))
		}
		if c.WhenUnsatisfiable != corev1.DoNotSchedule && c.WhenUnsatisfiable != corev1.ScheduleAnyway {
			of = of.Also(apis.ErrInvalidValue(c.WhenUnsatisfiable, "whenUnsatisfiable", "expected DoNotSchedule or ScheduleAnyway"))
		}
		errs = errs.Also(of.ViaFieldIndex("topologySpreadConstraints", i))
	}
	if c := p.PriorityClassName; strings.HasPrefix(c, "system-") {
		errs = errs.Also(apis.ErrInvalidValue(c, "priorityClassName", "classes that begin with system- are Kubernetes' own: choose another one"))
	} else if c != "" {
		errs = errs.Also(checkObjectName(c, "priorityClassName"))
	}
	if c := p.RuntimeClassName; c != nil {
		errs = errs.Also(checkObjectName(*c, "runtimeClassName"))
	}
	return errs
}

func validateToleration(t *corev1.Toleration) (errs *apis.FieldError) {
	switch {
	case t.Operator != "" && t.Operator != corev1.TolerationOpEqual && t.Operator != corev1.TolerationOpExists:
		errs = errs.Also(apis.ErrInvalidValue(t.Operator, "operator", "expected Equal or Exists"))
	case t.Operator == corev1.TolerationOpExists && t.Value != "":
		errs = errs.Also(apis.ErrInvalidValue(t.Value, "value", "operator Exists takes no value"))
	case t.Key == "" && t.Operator != corev1.TolerationOpExists:
		errs = errs.Also(apis.ErrInvalidValue(t.Operator, "operator", "without a key, expected Exists"))
	}
	if !slices.Contains([]corev1.TaintEffect{"", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}, t.Effect) {
		errs = errs.Also(apis.ErrInvalidValue(t.Effect, "effect", "expected NoSchedule, PreferNoSchedule or NoExecute"))
	}
	if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
		errs = errs.Also(apis.ErrInvalidValue(*t.TolerationSeconds, "tolerationSeconds", "goes with effect NoExecute"))
	}
	return errs
}
