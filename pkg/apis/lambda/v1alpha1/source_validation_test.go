package v1alpha1

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

func TestObjectSource(t *testing.T) {
	withMinIO := &config.Build{MinIOEndpoint: "minio:9000"}
	object := func(change func(*ObjectSource)) FunctionSource {
		o := &ObjectSource{Bucket: "functions", Key: "team/f.zip", Endpoint: "minio:9000"}
		change(o)
		return FunctionSource{MinIO: o}
	}
	for name, tt := range map[string]struct {
		source FunctionSource
		want   string
	}{
		"right":                    {object(func(*ObjectSource) {}), ""},
		"a prefix":                 {object(func(o *ObjectSource) { o.Key = "team/f/" }), ""},
		"dots in names":            {object(func(o *ObjectSource) { o.Key, o.Bucket = "a..b/.hidden/f..zip", "a.b" }), ""},
		"URL":                      {object(func(o *ObjectSource) { o.Endpoint = "https://minio.example:9000/" }), ""},
		"address":                  {object(func(o *ObjectSource) { o.Endpoint = "[fd00::1]:9000" }), ""},
		"no endpoint":              {object(func(o *ObjectSource) { o.Endpoint = "" }), "missing field(s): minio.endpoint"},
		"S3 without endpoint":      {FunctionSource{S3: &ObjectSource{Bucket: "functions", Key: "f.py"}}, ""},
		"GCS without endpoint":     {FunctionSource{GCS: &ObjectSource{Bucket: "functions_1", Key: "f.py"}}, ""},
		"no bucket":                {object(func(o *ObjectSource) { o.Bucket = "" }), "missing field(s): minio.bucket"},
		"no key":                   {object(func(o *ObjectSource) { o.Key = "" }), "missing field(s): minio.key"},
		"bucket in capitals":       {object(func(o *ObjectSource) { o.Bucket = "Functions" }), "minio.bucket"},
		"bucket with a path":       {object(func(o *ObjectSource) { o.Bucket = "a/b" }), "minio.bucket"},
		"bucket that climbs":       {object(func(o *ObjectSource) { o.Bucket = "a..b" }), "minio.bucket"},
		"key that climbs":          {object(func(o *ObjectSource) { o.Key = "a/../b.zip" }), "minio.key"},
		"absolute key":             {object(func(o *ObjectSource) { o.Key = "/a.zip" }), "minio.key"},
		"double slash":             {object(func(o *ObjectSource) { o.Key = "a//" }), "minio.key"},
		"endpoint with a path":     {object(func(o *ObjectSource) { o.Endpoint = "http://minio/bucket" }), "minio.endpoint"},
		"endpoint of another kind": {object(func(o *ObjectSource) { o.Endpoint = "s3://minio" }), "minio.endpoint"},
		"endpoint with a user":     {object(func(o *ObjectSource) { o.Endpoint = "http://a:b@minio" }), "minio.endpoint"},
		"region with blanks":       {object(func(o *ObjectSource) { o.Region = "eu west" }), "minio.region"},
		"version of a prefix":      {object(func(o *ObjectSource) { o.Key, o.VersionID = "a/", "1" }), "minio.versionId"},
		"nameless secret":          {object(func(o *ObjectSource) { o.SecretRef = &corev1.LocalObjectReference{} }), "missing field(s): minio.secretRef.name"},
		"wrong secret":             {object(func(o *ObjectSource) { o.SecretRef = &corev1.LocalObjectReference{Name: "A_b"} }), "minio.secretRef.name"},
		"two secrets": {object(func(o *ObjectSource) {
			o.CredentialsSecret, o.SecretRef = "a", &corev1.LocalObjectReference{Name: "b"}
		}), "expected exactly one, got both: minio.credentialsSecret, minio.secretRef"},
	} {
		t.Run(name, func(t *testing.T) { told(t, tt.source, &config.Build{}, tt.want) })
	}
	told(t, object(func(o *ObjectSource) { o.Endpoint = "" }), withMinIO, "")
}

func told(t *testing.T, s FunctionSource, cfg *config.Build, want string) {
	t.Helper()
	err := s.validateExternal(cfg)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error = %v, want %q", err, want)
	}
}

func TestCredentialsSecret(t *testing.T) {
	s := FunctionSource{S3: &ObjectSource{CredentialsSecret: "aws"}}
	if ref := s.SecretRef(); ref == nil || ref.Name != "aws" {
		t.Errorf("credentialsSecret aws names the Secret %v", ref)
	}
}

func TestGitSource(t *testing.T) {
	secret := &corev1.LocalObjectReference{Name: "git"}
	for url, want := range map[string]string{
		"https://git.example/team/a.git": "", "https://git.example:8443/a": "", "ssh://git@git.example/a.git": "", "ssh://git@git.example:2222/~u/a.git": "",
		"git@git.example:team/a.git": "", "https://[fd00::1]/a.git": "",
		"": "missing field(s): git.url", "http://git.example/a.git": "git.url", "git://git.example/a.git": "git.url", "file:///etc": "git.url", "/etc": "git.url",
		"https://git.example": "git.url", "https://git.example/": "git.url", "https:///a.git": "git.url", "https://git.example/a.git?x=1": "git.url",
		"https://user:pass@git.example/a.git": "expected no user in the URL", "ssh://u:p@git.example/a.git": "expected no password",
		"git@git.example": "git.url", "-oProxyCommand=x@h:p": "git.url", "ssh://-oProxyCommand=x/a": "git.url", "https://git.example/a b": "git.url",
	} {
		told(t, FunctionSource{Git: &GitSource{URL: url, SecretRef: secret}}, &config.Build{}, want)
	}
	for _, url := range []string{"ssh://git@git.example/a.git", "git@git.example:a.git"} {
		told(t, FunctionSource{Git: &GitSource{URL: url}}, &config.Build{}, "missing field(s): git.secretRef")
	}
	git := GitSource{URL: "https://git.example/a.git"}
	for ref, want := range map[string]string{
		"": "", "HEAD": "", "main": "", "feature/x-1": "", "v1.2.3": "", "refs/heads/main": "", "m": "", strings.Repeat("0", 40): "",
		"-x": "git.ref", "/x": "git.ref", "x/": "git.ref", "a..b": "git.ref", "a b": "git.ref", "a~1": "git.ref", "a^": "git.ref", "a:b": "git.ref",
		"a*": "git.ref", "@{-1}": "git.ref", "a@{1}": "git.ref", "a\\b": "git.ref", "x.lock": "git.ref", "x.": "git.ref", "a//b": "git.ref", "a\nb": "git.ref",
	} {
		g := git
		g.Ref = ref
		told(t, FunctionSource{Git: &g}, &config.Build{}, want)
	}
	for path, want := range map[string]string{
		"": "", ".": "", "./": "", "f": "", "f/": "", "functions/hello": "", ".hidden": "", "a..b": "",
		"/f": "git.path", "..": "git.path", "../f": "git.path", "f/../..": "git.path", "f//g": "git.path", "f\\g": "git.path",
	} {
		g := git
		g.Path = path
		told(t, FunctionSource{Git: &g}, &config.Build{}, want)
	}
}
