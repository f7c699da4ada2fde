package v1alpha1

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// The same patterns are in the schema, where it can say them.
var (
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	regionPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)
	// scpPattern is how git also writes ssh: user@host:path.
	scpPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[^:].*$`)
	refPattern = regexp.MustCompile(`^[^\s~^:?*\[\\@\x00-\x1f\x7f/.-]([^\s~^:?*\[\\\x00-\x1f\x7f]*[^\s~^:?*\[\\\x00-\x1f\x7f/.])?$`)
)

// validate an object of the store that the field is named after.
func (o *ObjectSource) validate(store SourceType, cfg *config.Build) (errs *apis.FieldError) {
	switch {
	case o.Bucket == "":
		errs = errs.Also(apis.ErrMissingField("bucket"))
	case !bucketPattern.MatchString(o.Bucket) || strings.Contains(o.Bucket, ".."):
		errs = errs.Also(apis.ErrInvalidValue(o.Bucket, "bucket", "expected the name of a bucket: 3 to 222 lower-case letters, digits, '.', '_' and '-'"))
	}
	errs = errs.Also(o.validateKey())
	if o.Endpoint != "" {
		if err := config.CheckEndpoint(o.Endpoint); err != nil {
			errs = errs.Also(apis.ErrInvalidValue(o.Endpoint, "endpoint", "expected a URL that begins with http:// or https://, or host:port, without a path"))
		}
	} else if store == SourceMinIO && cfg.MinIOEndpoint == "" {
		errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{"endpoint"}, Details: "the cluster has none of its own: config-build, minio-endpoint"})
	}
	if o.Region != "" && !regionPattern.MatchString(o.Region) {
		errs = errs.Also(apis.ErrInvalidValue(o.Region, "region", "expected a region such as eu-central-1"))
	}
	if o.VersionID != "" && strings.HasSuffix(o.Key, "/") {
		errs = errs.Also(apis.ErrGeneric("a prefix has no version: leave versionId out, or name one object as key", "versionId"))
	}
	if o.CredentialsSecret != "" && o.SecretRef != nil && o.SecretRef.Name != o.CredentialsSecret {
		errs = errs.Also(apis.ErrMultipleOneOf("credentialsSecret", "secretRef"))
	}
	return errs.Also(validateSecretRef(o.SecretRef))
}

func (o *ObjectSource) validateKey() *apis.FieldError {
	if o.Key == "" {
		return apis.ErrMissingField("key")
	}
	for _, part := range strings.Split(strings.TrimSuffix(o.Key, "/"), "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\\x00\n\r") {
			return apis.ErrInvalidValue(o.Key, "key", "expected the key of an object such as team/function.zip, or a prefix such as team/function/, without '.', '..' and double '/'")
		}
	}
	return nil
}

func (g *GitSource) validate() (errs *apis.FieldError) {
	switch g.URL {
	case "":
		errs = errs.Also(apis.ErrMissingField("url"))
	default:
		if why := g.checkURL(); why != "" {
			errs = errs.Also(apis.ErrInvalidValue(g.URL, "url", why))
		} else if g.overSSH() && g.SecretRef == nil {
			errs = errs.Also(&apis.FieldError{Message: "missing field(s)", Paths: []string{"secretRef"}, Details: "git over ssh takes a Secret with ssh-privatekey and known_hosts"})
		}
	}
	if g.Ref != "" && (!refPattern.MatchString(g.Ref) || strings.Contains(g.Ref, "..") || strings.Contains(g.Ref, "//") || strings.Contains(g.Ref, "@{") || strings.HasSuffix(g.Ref, ".lock")) {
		errs = errs.Also(apis.ErrInvalidValue(g.Ref, "ref", "expected a branch, a tag or a commit such as main, v1.2.0 or refs/heads/main"))
	}
	if inside := strings.TrimSuffix(g.Path, "/"); g.Path != "" && g.Path != "." && g.Path != "./" {
		if err := checkPath(inside); err != nil {
			errs = errs.Also(apis.ErrInvalidValue(g.Path, "path", strings.Replace(err.Error(), "main.py", "functions/hello", 1)))
		}
	}
	return errs.Also(validateSecretRef(g.SecretRef))
}

// overSSH tells whether the URL is of ssh, in either way to write it.
func (g *GitSource) overSSH() bool {
	return strings.HasPrefix(g.URL, "ssh://") || !strings.Contains(g.URL, "://")
}

// checkURL tells what is wrong with the URL.
func (g *GitSource) checkURL() string {
	const want = "expected https://host/path, ssh://user@host/path or user@host:path"
	if strings.ContainsAny(g.URL, " \t\r\n\x00\\") {
		return want
	}
	if !strings.Contains(g.URL, "://") {
		if !scpPattern.MatchString(g.URL) {
			return want
		}
		return ""
	}
	u, err := url.Parse(g.URL)
	switch {
	case err != nil, u.Hostname() == "", strings.Trim(u.Path, "/") == "", u.RawQuery != "", u.Fragment != "", u.Scheme != "https" && u.Scheme != "ssh", strings.HasPrefix(u.Host, "-"):
		return want
	case u.User != nil && u.Scheme == "https":
		return "expected no user in the URL: put username and password into a Secret and name it as secretRef"
	}
	if _, has := u.User.Password(); has {
		return "expected no password in the URL"
	}
	return ""
}

func validateSecretRef(ref *corev1.LocalObjectReference) *apis.FieldError {
	switch {
	case ref == nil:
		return nil
	case ref.Name == "":
		return apis.ErrMissingField("secretRef.name")
	}
	return checkObjectName(ref.Name, "secretRef.name")
}

// validateExternal tells what is wrong with a source that lives elsewhere.
func (s *FunctionSource) validateExternal(cfg *config.Build) (errs *apis.FieldError) {
	for _, o := range []struct {
		store  SourceType
		object *ObjectSource
	}{{SourceMinIO, s.MinIO}, {SourceS3, s.S3}, {SourceGCS, s.GCS}} {
		if o.object != nil {
			errs = errs.Also(o.object.validate(o.store, cfg).ViaField(fmt.Sprint(o.store)))
		}
	}
	if s.Git != nil {
		errs = errs.Also(s.Git.validate().ViaField("git"))
	}
	return errs
}
