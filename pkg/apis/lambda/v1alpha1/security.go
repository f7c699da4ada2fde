package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// Restricted is a container's security context with what it leaves out as the profile
// restricted of Kubernetes' Pod Security asks. Objects that were stored before they
// had one get it, too.
func Restricted(given *corev1.SecurityContext) *corev1.SecurityContext {
	c := given.DeepCopy()
	if c == nil {
		c = &corev1.SecurityContext{}
	}
	if c.RunAsNonRoot == nil {
		nonRoot := c.RunAsUser == nil || *c.RunAsUser != 0
		c.RunAsNonRoot = &nonRoot
	}
	if c.AllowPrivilegeEscalation == nil {
		c.AllowPrivilegeEscalation = new(bool)
	}
	if c.Capabilities == nil {
		c.Capabilities = &corev1.Capabilities{}
	}
	if len(c.Capabilities.Drop) == 0 {
		c.Capabilities.Drop = []corev1.Capability{"ALL"}
	}
	if c.SeccompProfile == nil {
		c.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	return c
}

// validateSecurity: whom a container runs as is the user's to say; that it gets out
// of its container is not, and Knative Serving would refuse it, too.
func validateSecurity(c *corev1.SecurityContext) (errs *apis.FieldError) {
	if c == nil {
		return nil
	}
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"appArmorProfile", c.AppArmorProfile != nil},
		{"procMount", c.ProcMount != nil},
		{"seLinuxOptions", c.SELinuxOptions != nil},
		{"windowsOptions", c.WindowsOptions != nil},
	} {
		if f.set {
			errs = errs.Also(apis.ErrDisallowedFields(f.field))
		}
	}
	if c.Privileged != nil && *c.Privileged {
		errs = errs.Also(apis.ErrInvalidValue(true, "privileged", "expected false or nothing"))
	}
	if c.Capabilities != nil && len(c.Capabilities.Add) > 0 {
		errs = errs.Also(apis.ErrDisallowedFields("capabilities.add"))
	}
	if c.RunAsNonRoot != nil && *c.RunAsNonRoot && c.RunAsUser != nil && *c.RunAsUser == 0 {
		errs = errs.Also(apis.ErrInvalidValue(0, "runAsUser", "0 is root, and runAsNonRoot is true"))
	}
	for _, id := range []struct {
		field string
		value *int64
	}{{"runAsUser", c.RunAsUser}, {"runAsGroup", c.RunAsGroup}} {
		if id.value != nil && (*id.value < 0 || *id.value > maxID) {
			errs = errs.Also(apis.ErrOutOfBoundsValue(*id.value, 0, maxID, id.field))
		}
	}
	return errs.Also(validateSeccomp(c.SeccompProfile).ViaField("seccompProfile"))
}

// maxID of users and groups in Kubernetes.
const maxID = 1<<31 - 1

func validateSeccomp(p *corev1.SeccompProfile) *apis.FieldError {
	switch {
	case p == nil:
	case p.Type != corev1.SeccompProfileTypeRuntimeDefault && p.Type != corev1.SeccompProfileTypeLocalhost:
		return apis.ErrInvalidValue(p.Type, "type", "expected RuntimeDefault or Localhost")
	case (p.Type == corev1.SeccompProfileTypeLocalhost) != (p.LocalhostProfile != nil && *p.LocalhostProfile != ""):
		return apis.ErrGeneric("goes with type Localhost, and that with it", "localhostProfile")
	case p.LocalhostProfile != nil && checkLocalPath(*p.LocalhostProfile) != "":
		return apis.ErrInvalidValue(*p.LocalhostProfile, "localhostProfile", checkLocalPath(*p.LocalhostProfile)+": profiles are below the kubelet's folder for them")
	}
	return nil
}
