//go:build e2e

package tenant

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// store is an object store with one object, which may be longer than it claims.
type store struct {
	object []byte
	// claimed is the length in answers to HEAD, and padding how many zeros follow the
	// object in answers to GET.
	claimed, padding int64

	mu   sync.Mutex
	sent map[string]int64 // bytes by the address that has read them
}

func (s *store) count(r *http.Request, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = map[string]int64{}
	}
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	s.sent[address] += int64(n)
}

// sentTo is how many bytes the pods of a component of the operator have read.
func (s *store) sentTo(ctx context.Context, t *testing.T, component string) (sum int64) {
	t.Helper()
	pods, err := admin.Kube.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pods.Items {
		sum += s.sent[p.Status.PodIP]
	}
	return sum
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
	w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat))
	if _, ok := r.URL.Query()["location"]; ok {
		fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", fmt.Sprint(s.claimed))
		return
	}
	n, err := w.Write(s.object)
	s.count(r, n)
	zeros := make([]byte, 64<<10)
	for left := s.padding; left > 0 && err == nil; left -= int64(n) {
		n, err = w.Write(zeros)
		s.count(r, n)
	}
}

// stored is a function whose source is the object of a store.
func stored(ctx context.Context, t *testing.T, a *test.Tenant, name, key string, s *store) *v1alpha1.LambdaFunction {
	t.Helper()
	if s.claimed == 0 {
		s.claimed = int64(len(s.object))
	}
	server := admin.ServeHost(t, s)
	return createFunction(ctx, t, a, python(a, name, "", func(spec *v1alpha1.LambdaFunctionSpec) {
		spec.Source = v1alpha1.FunctionSource{MinIO: &v1alpha1.ObjectSource{Bucket: "bucket", Key: key, Endpoint: server.URL, Region: "us-east-1"}}
	}))
}

// rejected waits until a function's source is refused, with one of those words.
func rejected(ctx context.Context, t *testing.T, a *test.Tenant, f *v1alpha1.LambdaFunction, words ...string) {
	t.Helper()
	var said string
	_, err := a.AwaitFunction(ctx, test.Key(f), "the refusal of its source", func(f *v1alpha1.LambdaFunction) bool {
		if c := f.Status.GetCondition(v1alpha1.FunctionConditionReady); c.IsFalse() {
			said = c.Message
		}
		return said != "" || f.IsReady()
	})
	switch {
	case err != nil:
		t.Error(err)
	case said == "":
		t.Errorf("%s is Ready, want its source refused", f.Name)
	case !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) }):
		t.Errorf("the condition of %s has none of %q: %s", f.Name, words, said)
	}
}

// TestObjectsThatAreLonger: what a store claims of an object's size bounds nothing: a
// download ends at what fits.
func TestObjectsThatAreLonger(t *testing.T) {
	t.Parallel()
	ctx := within(t, 90*time.Second)
	a := admin.Tenant(ctx, t, "attacker")
	s := &store{object: []byte(greeting("hello")), claimed: 1 << 20, padding: 240 << 20}
	f := stored(ctx, t, a, "longer", "main.py", s)
	rejected(ctx, t, a, f, "large", "longer", "MiB", "size", "changed", "bytes")
	const most = 32 << 20
	switch sent := s.sentTo(ctx, t, "controller"); {
	case sent == 0:
		t.Errorf("the controller has read nothing: the attack has not begun; by address: %v", s.sent)
	case sent > most:
		t.Errorf("the controller has read %d MiB of an object of 1 MiB, want at most %d", sent>>20, most>>20)
	default:
		t.Logf("the controller has read %d KiB", sent>>10)
	}
}

// deepArchive is a tar.gz of a kilobyte or two whose files make many folders.
func deepArchive(t *testing.T, files, depth int) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(zipped)
	add := func(name, text string) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text)), Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, text); err != nil {
			t.Fatal(err)
		}
	}
	add("main.py", greeting("hello"))
	for i := range files {
		add(fmt.Sprintf("%d/%sf", i, strings.Repeat("a/", depth)), "")
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestArchivesOfFolders: folders count, and paths are neither deep nor long.
func TestArchivesOfFolders(t *testing.T) {
	t.Parallel()
	ctx := within(t, 90*time.Second)
	a := admin.Tenant(ctx, t, "attacker")
	var long bytes.Buffer
	archive := zip.NewWriter(&long)
	for _, name := range []string{"main.py", strings.Repeat(strings.Repeat("n", 200)+"/", 30)} { // 30 times 201 characters
		w, err := archive.Create(strings.TrimSuffix(name, "/"))
		if err == nil {
			_, err = io.WriteString(w, greeting("hello"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	deep := deepArchive(t, 10, 1000) // 10,000 folders; the audit made 57,000
	t.Logf("the archive of folders has %d bytes", len(deep))
	of := map[string]*v1alpha1.LambdaFunction{
		"deep": stored(ctx, t, a, "deep", "deep.tar.gz", &store{object: deep}),
		"long": stored(ctx, t, a, "long", "long.zip", &store{object: long.Bytes()}),
	}
	for _, f := range of {
		rejected(ctx, t, a, f, "path", "folder", "deep", "entries")
	}
}

// TestSpecialNetworks: what is documented as no public address is not dialled.
func TestSpecialNetworks(t *testing.T) {
	t.Parallel()
	ctx := within(t, 90*time.Second)
	a := admin.Tenant(ctx, t, "attacker")
	for name, host := range map[string]string{"test-net-1": "192.0.2.10", "test-net-2": "198.51.100.10", "test-net-3": "203.0.113.10", "documentation": "[2001:db8::10]"} {
		f := createFunction(ctx, t, a, python(a, name, "", func(s *v1alpha1.LambdaFunctionSpec) {
			s.Source = v1alpha1.FunctionSource{Git: &v1alpha1.GitSource{URL: "https://" + host + "/team/functions.git"}}
		}))
		seen, err := a.AwaitFunction(ctx, test.Key(f), "SourceAddressForbidden", func(f *v1alpha1.LambdaFunction) bool {
			c := f.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved)
			return c != nil && c.Reason != "" && (c.Status != corev1.ConditionUnknown || strings.Contains(c.Message, host))
		})
		if err != nil {
			t.Error(err)
			continue
		}
		if c := seen.Status.GetCondition(v1alpha1.FunctionConditionSourceResolved); c.Reason != "SourceAddressForbidden" {
			t.Errorf("a source at %s: %s %s %s, want SourceAddressForbidden", host, c.Status, c.Reason, c.Message)
		}
	}
}
