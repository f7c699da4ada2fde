package v1alpha1

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// checkLocalPath returns what Kubernetes would refuse of a path below a volume or a
// folder of the node, when the pod is created; empty if nothing.
func checkLocalPath(p string) string {
	switch {
	case path.IsAbs(p):
		return "expected a relative path"
	case hasParent(p):
		return "expected a path without '..'"
	}
	return ""
}

func hasParent(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// checkFilePath is checkLocalPath of a file in a volume.
func checkFilePath(p, field string) *apis.FieldError {
	why := checkLocalPath(p)
	switch {
	case p == "":
		return apis.ErrMissingField(field)
	case why == "" && strings.HasPrefix(p, ".."):
		why = "expected a path that does not begin with '..'"
	}
	if why == "" {
		return nil
	}
	return apis.ErrInvalidValue(p, field, why)
}

// optionalFilePath is checkFilePath of a field that may be absent.
func optionalFilePath(p, field string) *apis.FieldError {
	if p == "" {
		return nil
	}
	return checkFilePath(p, field)
}

func checkItems(items []corev1.KeyToPath) (errs *apis.FieldError) {
	for i, item := range items {
		errs = errs.Also(checkFilePath(item.Path, "path").ViaFieldIndex("items", i))
	}
	return errs
}

// validateFiles checks where a volume has its files.
func validateFiles(v *corev1.VolumeSource) (errs *apis.FieldError) {
	if v.ConfigMap != nil {
		errs = errs.Also(checkItems(v.ConfigMap.Items).ViaField("configMap"))
	}
	if v.Secret != nil {
		errs = errs.Also(checkItems(v.Secret.Items).ViaField("secret"))
	}
	if v.Projected == nil {
		return errs
	}
	for i := range v.Projected.Sources {
		errs = errs.Also(validateProjectedFiles(&v.Projected.Sources[i]).ViaFieldIndex("sources", i).ViaField("projected"))
	}
	return errs
}

func validateProjectedFiles(s *corev1.VolumeProjection) (errs *apis.FieldError) {
	if s.ConfigMap != nil {
		errs = errs.Also(checkItems(s.ConfigMap.Items).ViaField("configMap"))
	}
	if s.Secret != nil {
		errs = errs.Also(checkItems(s.Secret.Items).ViaField("secret"))
	}
	if s.DownwardAPI != nil {
		for i, item := range s.DownwardAPI.Items {
			errs = errs.Also(checkFilePath(item.Path, "path").ViaFieldIndex("items", i).ViaField("downwardAPI"))
		}
	}
	if s.ServiceAccountToken != nil {
		errs = errs.Also(checkFilePath(s.ServiceAccountToken.Path, "path").ViaField("serviceAccountToken"))
	}
	if s.ClusterTrustBundle != nil {
		errs = errs.Also(checkFilePath(s.ClusterTrustBundle.Path, "path").ViaField("clusterTrustBundle"))
	}
	if c := s.PodCertificate; c != nil {
		for field, p := range map[string]string{"credentialBundlePath": c.CredentialBundlePath, "keyPath": c.KeyPath, "certificateChainPath": c.CertificateChainPath} {
			errs = errs.Also(optionalFilePath(p, field).ViaField("podCertificate"))
		}
	}
	return errs
}

// validateMount checks where a volume appears, and what of it.
func validateMount(m *corev1.VolumeMount) (errs *apis.FieldError) {
	clean := path.Clean("/" + m.MountPath)
	switch {
	case m.MountPath == "":
		errs = errs.Also(apis.ErrMissingField("mountPath"))
	case clean == "/lambda" || strings.HasPrefix(clean, "/lambda/"):
		errs = errs.Also(apis.ErrInvalidValue(m.MountPath, "mountPath", "/lambda is the platform's: choose another path"))
	case !path.IsAbs(m.MountPath) || strings.Contains(m.MountPath, ":"):
		errs = errs.Also(apis.ErrInvalidValue(m.MountPath, "mountPath", "expected an absolute path without ':'"))
	}
	for _, p := range []struct{ field, value string }{{"subPath", m.SubPath}, {"subPathExpr", m.SubPathExpr}} {
		if why := checkLocalPath(p.value); why != "" {
			errs = errs.Also(apis.ErrInvalidValue(p.value, p.field, why))
		}
	}
	return errs
}

// checkFolders refuses files that would have to be folders, too.
func checkFolders(files map[string]string) (errs *apis.FieldError) {
	for name := range files {
		for dir := path.Dir(name); dir != "." && dir != "/" && !strings.HasPrefix(dir, ".."); dir = path.Dir(dir) {
			if _, isFile := files[dir]; isFile {
				errs = errs.Also(apis.ErrInvalidKeyName(name, "files", fmt.Sprintf("%q is a file, not a folder: rename one of them", dir)))
			}
		}
	}
	return errs
}
