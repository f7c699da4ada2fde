package resources

import (
	"errors"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// InlineFiles are the files of an inline source: path to text.
func InlineFiles(inline *v1alpha1.InlineSource, language *config.Language) map[string]string {
	files := make(map[string]string, len(inline.Files)+2)
	for name, text := range inline.Files {
		files[name] = text
	}
	if inline.Code != "" {
		files[language.File] = inline.Code
	}
	if inline.Dependencies != "" {
		files[language.DependenciesFile] = inline.Dependencies
	}
	return files
}

// Where the public object stores are.
const (
	s3Endpoint  = "https://s3.amazonaws.com"
	gcsEndpoint = "https://storage.googleapis.com"
)

// SourceRequest is what to ask for a source that lives elsewhere, and the name of
// the Secret that may read it; empty where it is public.
func SourceRequest(s *v1alpha1.FunctionSource, cfg *config.Build) (request source.Request, secret string, err error) {
	request.AllowedNetworks, request.DeniedNetworks = cfg.SourceAllowedNetworks, cfg.EgressDeniedNetworks
	if ref := s.SecretRef(); ref != nil {
		secret = ref.Name
	}
	switch {
	case s.Git != nil:
		request.Git = &source.Git{URL: s.Git.URL, Ref: s.Git.Ref, Path: s.Git.Path}
		return request, secret, nil
	case s.MinIO != nil:
		// It was there at admission, or there was none to be named.
		if s.MinIO.Endpoint == "" && cfg.MinIOEndpoint == "" {
			return request, "", errors.New("spec.source.minio.endpoint is missing, and config-build has no minio-endpoint")
		}
		request.Object = object(s.MinIO, cfg.MinIOEndpoint, "http")
	case s.S3 != nil:
		request.Object = object(s.S3, s3Endpoint, "https")
	case s.GCS != nil:
		request.Object = object(s.GCS, gcsEndpoint, "https")
	}
	return request, secret, nil
}

// object of a store. An endpoint without a scheme is what stores of the kind
// speak.
func object(o *v1alpha1.ObjectSource, endpoint, scheme string) *source.Object {
	if o.Endpoint != "" {
		endpoint = o.Endpoint
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = scheme + "://" + endpoint
	}
	return &source.Object{Endpoint: strings.TrimSuffix(endpoint, "/"), Region: o.Region, Bucket: o.Bucket, Key: o.Key, VersionID: o.VersionID}
}

// SourceStatus is what is told of a resolved source.
func SourceStatus(t v1alpha1.SourceType, r *source.Resolved) *v1alpha1.SourceStatus {
	s := &v1alpha1.SourceStatus{Type: t, Digest: r.Digest}
	if o := r.Object; o != nil {
		s.URL, s.Bucket, s.Key, s.VersionID, s.ETag, s.Size = o.Endpoint, o.Bucket, o.Key, r.VersionID, r.ETag, r.Size
	}
	if g := r.Git; g != nil {
		s.URL, s.Ref, s.Path, s.Commit = g.URL, g.Ref, g.Path, r.Commit
	}
	return s
}

// RecordedSource is what the status says that the request has resolved to; nil
// where it speaks of another source.
func RecordedSource(s *v1alpha1.SourceStatus, t v1alpha1.SourceType, request source.Request) *source.Resolved {
	if s == nil || s.Digest == "" {
		return nil
	}
	r := &source.Resolved{Request: request, Digest: s.Digest, VersionID: s.VersionID, ETag: s.ETag, Size: s.Size, Commit: s.Commit}
	if *SourceStatus(t, r) != *s {
		return nil
	}
	if o := request.Object; o != nil && o.VersionID != "" && o.VersionID != s.VersionID {
		return nil
	}
	return r
}
