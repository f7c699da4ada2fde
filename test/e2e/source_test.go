//go:build e2e

package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/gitserver"
)

// bucket of a test, in the object store of the cluster under test.
type bucket struct {
	*minio.Client
	t                         *testing.T
	name                      string
	endpoint, access, private string
}

// newBucket makes one that is removed with the test.
func newBucket(ctx context.Context, t *testing.T, name string) *bucket {
	t.Helper()
	b := &bucket{t: t, name: name, endpoint: os.Getenv("LAMBDA_MINIO_ENDPOINT"), access: os.Getenv("LAMBDA_MINIO_ACCESS_KEY"), private: os.Getenv("LAMBDA_MINIO_SECRET_KEY")}
	if b.endpoint == "" {
		t.Skip("LAMBDA_MINIO_ENDPOINT is not set: bring the local cluster up with --with=minio")
	}
	u, err := url.Parse(b.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if b.Client, err = minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(b.access, b.private, ""), Secure: u.Scheme == "https"}); err != nil {
		t.Fatal(err)
	}
	if err := b.MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.RemoveBucketWithOptions(context.Background(), name, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bucket) put(ctx context.Context, key string, content []byte) {
	b.t.Helper()
	if _, err := b.PutObject(ctx, b.name, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func zipOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// secret in the namespace of a test.
func secret(ctx context.Context, t *testing.T, namespace, name string, data map[string][]byte) *corev1.LocalObjectReference {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
	if _, err := clients.Kube.CoreV1().Secrets(namespace).Create(ctx, s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return &corev1.LocalObjectReference{Name: name}
}

func (b *bucket) secret(ctx context.Context, namespace, name string) *corev1.LocalObjectReference {
	b.t.Helper()
	return secret(ctx, b.t, namespace, name, map[string][]byte{"accessKey": []byte(b.access), "secretKey": []byte(b.private)})
}

// from is a function of Python whose source is elsewhere.
func from(namespace, name string, s v1alpha1.FunctionSource) *v1alpha1.LambdaFunction {
	f := python(namespace, name, "")
	f.Spec.Source = s
	return f
}

// redeployed waits until a new source has been resolved, built and rolled out,
// though nobody has touched the function.
func redeployed(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, text string) *v1alpha1.LambdaFunction {
	t.Helper()
	before := f.Status
	f, err := clients.AwaitFunction(ctx, test.Key(f), "Ready with another source", func(f *v1alpha1.LambdaFunction) bool {
		return f.IsReady() && f.Status.Source.Digest != before.Source.Digest && f.Status.LatestReadyRevisionName != before.LatestReadyRevisionName
	})
	if err != nil {
		t.Fatal(err)
	}
	answers(ctx, t, f, greetingBody(text))
	return f
}

// TestObjectSources: an archive, a single file and all below a prefix, and what
// happens when they change.
func TestObjectSources(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	b := newBucket(ctx, t, namespace)
	ref := b.secret(ctx, namespace, "store")
	library := "def greet(text):\n    return {\"message\": text}\n"
	importing := func(text string) string {
		return fmt.Sprintf("from lib import hello\n\ndef handler(event, context):\n    return hello.greet(%q)\n", text)
	}
	for _, tt := range []struct {
		name, key string
		put       func(text string)
	}{
		{"archive", "functions/archive.zip", func(text string) {
			b.put(ctx, "functions/archive.zip", zipOf(t, map[string]string{"main.py": importing(text), "lib/hello.py": library}))
		}},
		{"file", "functions/main.py", func(text string) { b.put(ctx, "functions/main.py", []byte(greeting(text))) }},
		{"prefix", "functions/tree/", func(text string) {
			b.put(ctx, "functions/tree/lib/hello.py", []byte(library))
			b.put(ctx, "functions/tree/main.py", []byte(importing(text)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, two := tt.name+" one in "+namespace, tt.name+" two in "+namespace
			tt.put(one)
			f := ready(ctx, t, create(ctx, t, from(namespace, tt.name, v1alpha1.FunctionSource{
				MinIO: &v1alpha1.ObjectSource{Endpoint: b.endpoint, Bucket: b.name, Key: tt.key, SecretRef: ref}})))
			answers(ctx, t, f, greetingBody(one))
			if s := f.Status.Source; s.Type != v1alpha1.SourceMinIO || s.Bucket != b.name || s.Key != tt.key || s.ETag == "" || s.URL != b.endpoint {
				t.Errorf("status.source = %+v", s)
			}
			tt.put(two)
			redeployed(ctx, t, f, two)
		})
	}
}

// TestSourceSamples runs the manifests that are shipped, with the addresses of the
// test's servers.
func TestSourceSamples(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	b := newBucket(ctx, t, namespace)
	server := gitServer(t)
	server.Create("functions.git")
	text := "sample in " + namespace
	server.Commit("functions.git", "main", map[string]string{"python/hello/main.py": greeting(text)})
	b.put(ctx, "hello/hello.zip", zipOf(t, map[string]string{"main.py": greeting(text)}))
	b.put(ctx, "hello/main.py", []byte(greeting(text)))
	b.secret(ctx, namespace, "minio-credentials")
	b.secret(ctx, namespace, "gcs-hmac")
	secret(ctx, t, namespace, "aws-credentials", map[string][]byte{"AWS_ACCESS_KEY_ID": []byte(b.access), "AWS_SECRET_ACCESS_KEY": []byte(b.private)})
	secret(ctx, t, namespace, "git-credentials", map[string][]byte{"username": []byte(gitserver.User), "password": []byte(gitserver.Password), "ca.crt": server.CA})
	secret(ctx, t, namespace, "git-deploy-key", map[string][]byte{"ssh-privatekey": server.PrivateKey, "known_hosts": server.KnownHosts})
	for _, name := range []string{"minio", "s3", "gcs", "git", "git-ssh"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sample, err := test.Sample("source-" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			f := &v1alpha1.LambdaFunction{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(sample.Object, f); err != nil {
				t.Fatal(err)
			}
			f.Namespace = namespace
			for _, o := range []*v1alpha1.ObjectSource{f.Spec.Source.MinIO, f.Spec.Source.S3, f.Spec.Source.GCS} {
				if o != nil {
					o.Endpoint, o.Bucket, o.Region = b.endpoint, b.name, ""
				}
			}
			switch name {
			case "git":
				f.Spec.Source.Git.URL = server.HTTPS + "/functions.git"
			case "git-ssh":
				f.Spec.Source.Git.URL = server.SSH + "/functions.git"
			}
			f = ready(ctx, t, create(ctx, t, f))
			answers(ctx, t, f, greetingBody(text))
		})
	}
}

// gitServer serves where the pods of the cluster reach this process.
func gitServer(t *testing.T) *gitserver.Server {
	t.Helper()
	return gitserver.Start(t, hostIP(t))
}

// hostIP is where the pods of the cluster reach this process.
func hostIP(t *testing.T) string {
	t.Helper()
	return clients.HostIP(t)
}

// TestGitSources: over https and ssh, a commit that comes and a branch that goes.
func TestGitSources(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	server := gitServer(t)
	const repository = "private/functions.git"
	server.Create(repository)
	https := secret(ctx, t, namespace, "git-https", map[string][]byte{"username": []byte(gitserver.User), "password": []byte(gitserver.Password), "ca.crt": server.CA})
	ssh := secret(ctx, t, namespace, "git-ssh", map[string][]byte{"ssh-privatekey": server.PrivateKey, "known_hosts": server.KnownHosts})
	commit := func(branch, text string) string {
		return server.Commit(repository, branch, map[string]string{"README": "no function\n", "python/hello/main.py": greeting(text + " in " + namespace)})
	}
	commit("main", "nothing") // the repository is never empty
	for _, tt := range []struct {
		name, url string
		ref       *corev1.LocalObjectReference
	}{{"https", server.HTTPS, https}, {"ssh", server.SSH, ssh}} {
		t.Run(tt.name, func(t *testing.T) {
			branch := "release-" + tt.name
			first := commit(branch, tt.name+" one")
			f := ready(ctx, t, create(ctx, t, from(namespace, "git-"+tt.name, v1alpha1.FunctionSource{
				Git: &v1alpha1.GitSource{URL: tt.url + "/" + repository, Ref: branch, Path: "python/hello", SecretRef: tt.ref}})))
			answers(ctx, t, f, greetingBody(tt.name+" one in "+namespace))
			if s := f.Status.Source; s.Commit != first || s.Ref != branch || s.Path != "python/hello" {
				t.Errorf("status.source = %+v, want commit %s", s, first)
			}
			second := commit(branch, tt.name+" two")
			f = redeployed(ctx, t, f, tt.name+" two in "+namespace)
			if s := f.Status.Source; s.Commit != second {
				t.Errorf("status.source = %+v, want commit %s", s, second)
			}

			server.DeleteBranch(repository, branch)
			f = failed(ctx, t, f, v1alpha1.FunctionConditionSourceResolved, source.ReasonRefNotFound)
			test.Contains(t, "SourceResolved", f.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved).Message, branch)
			answers(ctx, t, f, greetingBody(tt.name+" two in "+namespace))
			if s := f.Status.Source; s.Commit != second {
				t.Errorf("status.source = %+v after the branch is gone, want what runs", s)
			}
		})
	}
}

// TestSourceFaults: each is told by its reason and in words that help; where it is
// put right elsewhere, nobody has to touch the function.
func TestSourceFaults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	b := newBucket(ctx, t, namespace)
	server := gitServer(t)
	server.Create("a.git")
	server.Commit("a.git", "main", map[string]string{"main.py": greeting("nobody")})
	store := b.secret(ctx, namespace, "store")
	wrong := secret(ctx, t, namespace, "wrong", map[string][]byte{"accessKey": []byte(b.access), "secretKey": []byte("not this one")})
	ca := secret(ctx, t, namespace, "ca", map[string][]byte{"ca.crt": server.CA})
	b.put(ctx, "broken.zip", []byte("this is no archive"))
	b.put(ctx, "evil.zip", zipOf(t, map[string]string{"../../evil.py": "x"}))
	b.put(ctx, "empty.zip", zipOf(t, nil))
	b.put(ctx, "other.zip", zipOf(t, map[string]string{"other.py": "x"}))
	b.put(ctx, "huge.zip", make([]byte, source.MaxBytes+1))

	object := func(key string, ref *corev1.LocalObjectReference) v1alpha1.FunctionSource {
		return v1alpha1.FunctionSource{MinIO: &v1alpha1.ObjectSource{Endpoint: b.endpoint, Bucket: b.name, Key: key, SecretRef: ref}}
	}
	git := func(ref, path string) v1alpha1.FunctionSource {
		return v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{URL: server.HTTPS + "/a.git", Ref: ref, Path: path, SecretRef: ca}}
	}
	noBucket, metadata := object("x.zip", store), object("x.zip", nil)
	noBucket.MinIO.Bucket = "nobody-has-this-one"
	metadata.MinIO.Endpoint = "http://169.254.169.254"
	for _, tt := range []struct {
		name   string
		source v1alpha1.FunctionSource
		built  bool // told by BuildSucceeded, not by SourceResolved
		reason string
		want   []string
	}{
		{"no-bucket", noBucket, false, source.ReasonBucketNotFound, []string{`"nobody-has-this-one"`}},
		{"no-object", object("nope.zip", store), false, source.ReasonObjectNotFound, []string{`"nope.zip"`, b.name}},
		{"no-prefix", object("nope/", store), false, source.ReasonEmpty, []string{`"nope/"`}},
		{"wrong-credentials", object("broken.zip", wrong), false, source.ReasonAccessDenied, []string{"check the Secret"}},
		{"no-credentials", object("broken.zip", nil), false, source.ReasonAccessDenied, []string{"refuses access"}},
		{"huge", object("huge.zip", store), false, source.ReasonTooLarge, []string{"268435457 bytes", "256 MiB"}},
		{"metadata", metadata, false, source.ReasonAddressForbidden, []string{"169.254.169.254", "source-allowed-networks"}},
		{"broken-archive", object("broken.zip", store), true, source.ReasonInvalid, []string{"no zip archive"}},
		{"hostile-archive", object("evil.zip", store), true, source.ReasonInvalid, []string{"../../evil.py"}},
		{"empty-archive", object("empty.zip", store), true, source.ReasonEmpty, []string{"no file"}},
		{"no-handler", object("other.zip", store), true, source.ReasonInvalid, []string{"main.py", "other.py"}},
		{"no-ref", git("nope", ""), false, source.ReasonRefNotFound, []string{`"nope"`}},
		{"no-path", git("main", "nowhere"), true, source.ReasonPathNotFound, []string{`"nowhere"`}},
		{"no-commit", git(strings.Repeat("1", 40), ""), true, source.ReasonRefNotFound, []string{"1111"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kind := v1alpha1.FunctionConditionSourceResolved
			if tt.built {
				kind = v1alpha1.FunctionConditionBuildSucceeded
			}
			f := failed(ctx, t, create(ctx, t, from(namespace, tt.name, tt.source)), kind, tt.reason)
			test.Contains(t, string(kind), f.Status.GetCondition(kind).Message, tt.want...)
		})
	}
	t.Run("a-secret-that-comes-later", func(t *testing.T) {
		t.Parallel()
		b.put(ctx, "later.py", []byte(greeting("later in "+namespace)))
		f := from(namespace, "later", object("later.py", &corev1.LocalObjectReference{Name: "later"}))
		f.Spec.Runtime.Handler = "later.handler"
		f = failed(ctx, t, create(ctx, t, f), v1alpha1.FunctionConditionSourceResolved, source.ReasonSecretNotFound)
		test.Contains(t, "SourceResolved", f.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved).Message, "Secret "+namespace+"/later does not exist", "create it")
		b.secret(ctx, namespace, "later")
		answers(ctx, t, ready(ctx, t, f), greetingBody("later in "+namespace))
	})
}
