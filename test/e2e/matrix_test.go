//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test/gitserver"
)

// answering is a function of each language that answers an event with its data, and
// what file it is in; the words make its image one that no other test has built.
var answering = map[string]struct{ file, code string }{
	"python": {"main.py", "# %s\ndef handler(event, context):\n    return event\n"},
	"nodejs": {"index.js", "// %s\nexports.handler = async (event) => event;\n"},
	"go":     {"handler.go", "// Package function of %s.\npackage function\n\nfunc Handler(in map[string]string) map[string]string { return in }\n"},
}

// TestMatrix: from each source and in each language a function comes to life and
// answers an event through the broker. What is the same is built once: a bucket that
// is read as three kinds of store, a commit that comes over https and ssh.
func TestMatrix(t *testing.T) {
	t.Parallel()
	rabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	m := newMatrix(ctx, t, namespace)
	for language := range answering {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			made := images{}
			t.Cleanup(func() { made.check(t) })
			slots := make(chan struct{}, 2) // compilers at a time
			for _, s := range m.sources(ctx, language) {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					slots <- struct{}{}
					defer func() { <-slots }()
					f := from(namespace, language+"-"+s.name, s.source)
					f.Spec.Runtime = v1alpha1.FunctionRuntime{Language: language}
					made.add(s.content, m.answers(t.Context(), t, f))
				})
			}
		})
	}
}

// images that were made of a content.
type images struct{ sync.Map }

func (i *images) add(content, image string) {
	of, _ := i.LoadOrStore(content, &sync.Map{})
	of.(*sync.Map).Store(image, true)
}

func (i *images) check(t *testing.T) {
	i.Range(func(content, of any) bool {
		var all []any
		of.(*sync.Map).Range(func(image, _ any) bool { all = append(all, image); return true })
		if len(all) > 1 {
			t.Errorf("%s: the same content has become %d images: %v", content, len(all), all)
		}
		return true
	})
}

// matrix is what the functions of TestMatrix share.
type matrix struct {
	t         *testing.T
	namespace string
	broker    types.NamespacedName
	collector *v1alpha1.LambdaFunction
	bucket    *bucket
	git       *gitserver.Server
	// Secrets of the servers.
	store, https, ssh *corev1.LocalObjectReference
}

func newMatrix(ctx context.Context, t *testing.T, namespace string) *matrix {
	t.Helper()
	m := &matrix{t: t, namespace: namespace, broker: newBroker(ctx, t, namespace, "shared"), bucket: newBucket(ctx, t, namespace), git: gitServer(t)}
	m.store = m.bucket.secret(ctx, namespace, "store")
	m.https = secret(ctx, t, namespace, "git-https", map[string][]byte{"ca.crt": m.git.CA})
	m.ssh = secret(ctx, t, namespace, "git-ssh", map[string][]byte{"ssh-privatekey": m.git.PrivateKey, "known_hosts": m.git.KnownHosts})
	m.collector = rememberer(namespace, "collector")
	m.collector.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: m.broker.Name, Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": events.ResponseSuccess}}}}
	m.collector = ready(ctx, t, create(ctx, t, m.collector))
	return m
}

// matrixSource is a source, and what names its content: sources of the same content
// share an image.
type matrixSource struct {
	name, content string
	source        v1alpha1.FunctionSource
}

// sources of a language, all with the same code.
func (m *matrix) sources(ctx context.Context, language string) (all []matrixSource) {
	file, code := answering[language].file, fmt.Sprintf(answering[language].code, m.namespace)
	files := map[string]string{file: code}
	all = append(all, matrixSource{"inline", "inline", v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: code}}})

	object := func(name string) *v1alpha1.ObjectSource {
		return &v1alpha1.ObjectSource{Endpoint: m.bucket.endpoint, Bucket: m.bucket.name, Key: language + "/" + name, SecretRef: m.store}
	}
	for name, content := range map[string][]byte{
		"a.zip": zipOf(m.t, files), "a.tar": tarOf(m.t, files, false), "a.tar.gz": tarOf(m.t, files, true), "a.tgz": tarOf(m.t, files, true),
		"file/" + file: []byte(code), "prefix/" + file: []byte(code), "prefix/README": []byte("a function\n"),
	} {
		m.bucket.put(ctx, language+"/"+name, content)
	}
	all = append(all,
		matrixSource{"minio-zip", "zip", v1alpha1.FunctionSource{MinIO: object("a.zip")}},
		matrixSource{"s3-zip", "zip", v1alpha1.FunctionSource{S3: object("a.zip")}},
		matrixSource{"gcs-zip", "zip", v1alpha1.FunctionSource{GCS: object("a.zip")}},
		matrixSource{"tar", "tar", v1alpha1.FunctionSource{MinIO: object("a.tar")}},
		matrixSource{"tar-gz", "tar.gz", v1alpha1.FunctionSource{S3: object("a.tar.gz")}},
		matrixSource{"tgz", "tgz", v1alpha1.FunctionSource{GCS: object("a.tgz")}},
		matrixSource{"file", "file", v1alpha1.FunctionSource{S3: object("file/" + file)}},
		matrixSource{"prefix", "prefix", v1alpha1.FunctionSource{MinIO: object("prefix/")}},
	)

	repository := language + ".git"
	m.git.Create(repository)
	m.git.Commit(repository, "main", files)
	return append(all,
		matrixSource{"git-https", "git", v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{URL: m.git.HTTPS + "/" + repository, SecretRef: m.https}}},
		matrixSource{"git-ssh", "git", v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{URL: m.git.SSH + "/" + repository, SecretRef: m.ssh}}},
	)
}

// answers sends an event of the function's own type through the broker, waits for
// the reply, and returns the function's image. The function is removed afterwards, so
// that few run at a time.
func (m *matrix) answers(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) (image string) {
	t.Helper()
	kind := "io.example." + f.Name
	f.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: m.broker.Name, Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": kind}}}}
	start := time.Now()
	f = ready(ctx, t, create(ctx, t, f))
	built := time.Since(start)
	publish(ctx, t, m.broker, newEvent(f.Name, kind, "/e2e"))
	source := events.Source("function", f.Namespace, f.Name)
	remembers(ctx, t, m.collector, "the reply of "+f.Name, func(got []seen) bool {
		for _, s := range got {
			if s.Source == source {
				return fmt.Sprint(s.Data) == "map[of:"+f.Name+"]"
			}
		}
		return false
	})
	t.Logf("Ready after %v, answered %v later", built.Round(100*time.Millisecond), (time.Since(start) - built).Round(100*time.Millisecond))
	if err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(f.Namespace).Delete(ctx, f.Name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	return f.Status.Build.Image
}

// tarOf is an archive of the files, compressed or not.
func tarOf(t *testing.T, files map[string]string, compressed bool) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(&out)
	if compressed {
		w = tar.NewWriter(z)
	}
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if compressed {
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}
