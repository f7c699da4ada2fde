package source

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// admitted reports whether validation has nothing to say of a field, and fails if it
// takes long.
func admitted(t *testing.T, s v1alpha1.FunctionSource, field string) bool {
	t.Helper()
	f := &v1alpha1.LambdaFunction{}
	f.Namespace, f.Name = "team", "f"
	f.Spec.Source, f.Spec.Runtime.Language = s, "python"
	start := time.Now()
	f.SetDefaults(context.Background())
	err := f.Validate(context.Background())
	if took := time.Since(start); took > time.Second {
		t.Errorf("validation takes %s", took)
	}
	return err == nil || !strings.Contains(err.Error(), field)
}

// FuzzGitURL: what validation admits is read in the same way by what dials it: https or
// ssh to a host, without a password, and no option of a program.
func FuzzGitURL(f *testing.F) {
	for _, seed := range []string{
		"https://git.example/team/a.git", "ssh://git@git.example:2222/a", "git@git.example:team/a.git", "https://user:secret@git.example/a",
		"file:///etc/passwd", "ext::sh -c x", "--upload-pack=x", "https://-x/a", "git@-x:a", "https://[::1]:443/a", "https://a@b@c/d", "https://git.example/a?b#c", "HTTPS://git.example/a", "a/b:c@d:e",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		git := &v1alpha1.GitSource{URL: text, SecretRef: &corev1.LocalObjectReference{Name: "s"}}
		if text == "" || !admitted(t, v1alpha1.FunctionSource{Git: git}, "spec.source.git.url") {
			return
		}
		e, err := transport.NewEndpoint(text)
		if err != nil {
			return // it is refused when it is dialled
		}
		switch {
		case e.Protocol != "https" && e.Protocol != "ssh":
			t.Errorf("%q is dialled as %s", text, e.Protocol)
		case e.Host == "" || strings.HasPrefix(e.Host, "-") || strings.ContainsAny(e.Host, " \t\n\x00/@"):
			t.Errorf("%q is dialled at host %q", text, e.Host)
		case e.Password != "" || e.Protocol == "https" && e.User != "":
			t.Errorf("%q has credentials", text)
		}
	})
}

// FuzzEndpoint: what validation admits as an endpoint is one server, and nothing else.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{
		"minio:9000", "http://minio:9000", "https://[fd00::1]:9000/", "http://a:b@minio", "http://minio/path", "http://minio?x", "http://minio#x", "ftp://minio", "http://", "http://minio:99999", "http://mi nio", "http://minio%00", "//minio",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		object := &v1alpha1.ObjectSource{Endpoint: text, Bucket: "code", Key: "f.py"}
		if text == "" || !admitted(t, v1alpha1.FunctionSource{MinIO: object}, "spec.source.minio.endpoint") {
			return
		}
		absolute := text
		if !strings.Contains(absolute, "://") {
			absolute = "http://" + absolute
		}
		u, err := url.Parse(absolute)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is admitted: %+v, %v", text, u, err)
		}
		if err := config.CheckEndpoint(text); err != nil {
			t.Errorf("validation admits %q, and the configuration does not: %v", text, err)
		}
	})
}
