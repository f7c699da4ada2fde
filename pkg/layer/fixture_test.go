package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/internal/signing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// forbidden is a registry that must not be dialled.
const forbidden = "127.0.0.1:2"

// world is a registry in this process, and what was asked of it.
type world struct {
	t    *testing.T
	host string
	// refuse answers a request instead of the registry, with a status.
	refuse func(*http.Request) int

	mu    sync.Mutex
	asked []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.Method+" "+r.URL.String())
		refuse := w.refuse
		w.mu.Unlock()
		if refuse != nil {
			if status := refuse(r); status != 0 {
				http.Error(rw, `{"errors":[{"code":"DENIED","message":"not for you"}]}`, status)
				return
			}
		}
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.host = strings.TrimPrefix(server.URL, "http://")
	return w
}

// requests that were made since the last time this was asked.
func (w *world) requests(containing ...string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asked {
		all := true
		for _, c := range containing {
			all = all && strings.Contains(a, c)
		}
		if all {
			n++
		}
	}
	w.asked = nil
	return n
}

func text(content string, mode int64) entry {
	return entry{mode: mode, size: int64(len(content)), open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

// imageOf files for a platform.
func imageOf(t *testing.T, architecture string, config v1.Config, files map[string]entry) v1.Image {
	t.Helper()
	l, err := newLayer(files)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, l.as(""))
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", architecture, config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	return image
}

func base(t *testing.T, architecture string) v1.Image {
	return imageOf(t, architecture, v1.Config{Env: []string{"PATH=/bin", "PYTHONPATH=/old"}, Cmd: []string{"python3"}, User: "root"},
		map[string]entry{"bin/python3": text("python for "+architecture, 0o755)})
}

func runtimeImage(t *testing.T, architecture string) v1.Image {
	return imageOf(t, architecture, v1.Config{}, map[string]entry{
		"ko-app/runtime":              text("runtime for "+architecture, 0o555),
		"var/run/ko/python/worker.py": text("print()", 0o444), "var/run/ko/python/deep/util.py": text("", 0o444),
		"var/run/ko/python/link.py": {link: "worker.py"}, "var/run/ko/pythonic/no.py": text("", 0o444), "var/run/ko/nodejs/worker.js": text("", 0o444),
	})
}

// index of images by architecture, with an attestation as buildx adds it.
func index(t *testing.T, images map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	var i v1.ImageIndex = empty.Index
	for _, architecture := range []string{"amd64", "arm64", "s390x"} {
		if image := images[architecture]; image != nil {
			i = mutate.AppendManifests(i, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
		}
	}
	return mutate.AppendManifests(i, mutate.IndexAddendum{Add: empty.Image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
}

func (w *world) push(repository string, what remote.Taggable) {
	w.t.Helper()
	ref, err := name.ParseReference(w.host + "/" + repository)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Push(ref, what); err != nil {
		w.t.Fatal(err)
	}
}

// single puts the base and the runtime there, for one platform.
func (w *world) single() *world {
	w.t.Helper()
	w.push("base:1", base(w.t, "amd64"))
	w.push("runtime:1", runtimeImage(w.t, "amd64"))
	return w
}

// request of an image of one file, in the namespace's repository.
func (w *world) request(namespace, tag string, change ...func(*Request)) *Request {
	w.t.Helper()
	dockerfile, err := build.Dockerfile(build.Input{BaseImage: w.host + "/base:1", RuntimeImage: w.host + "/runtime:1", Layer: true, Template: `FROM {{.BaseImage}}
COPY --from={{.RuntimeImage}} /ko-app/runtime /lambda/runtime
COPY --from={{.RuntimeImage}} /var/run/ko/python /lambda/worker
COPY function/ /lambda/function/
ENV PYTHONPATH=/lambda/dependencies
WORKDIR /lambda/function
USER 65532:65532
ENTRYPOINT ["/lambda/runtime"]
`})
	if err != nil {
		w.t.Fatal(err)
	}
	recipe, ok := build.ParseRecipe(dockerfile)
	if !ok {
		w.t.Fatal("the Dockerfile is no recipe:", dockerfile)
	}
	r := &Request{
		Namespace: namespace, Reference: w.host + "/" + namespace + "/python:" + tag, Recipe: recipe, Handler: "main.handler", File: "main.py",
		Files: Inline(map[string]string{"main.py": "code of " + tag, "lib/util.py": ""}), Dependencies: "requirements.txt",
		Insecure: func(string) bool { return true }, Timeout: 10 * time.Second, Attempt: 1,
	}
	for _, c := range change {
		c(r)
	}
	return r
}

// secrets by name; every namespace has them.
type secrets map[string]*corev1.Secret

func (s secrets) get(_ context.Context, _, name string) (*corev1.Secret, error) {
	if secret, ok := s[name]; ok {
		return secret, nil
	}
	return nil, apierrs.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
}

var noSecrets = secrets{}

func newMaker(s secrets) *Maker {
	return NewMaker(s.get, clocktesting.NewFakePassiveClock(time.Unix(1, 0)), egress.Dialer(func(hostPort string, address netip.Addr) error {
		if hostPort == forbidden {
			return &egress.ForbiddenError{Host: hostPort, Address: address, Reason: "not on the public Internet"}
		}
		return nil
	}), func() *signing.Keys { return keys })
}

// keys of the operator in these tests.
var keys = func() *signing.Keys {
	data, err := signing.Generate()
	if err != nil {
		panic(err)
	}
	k, err := signing.New(data)
	if err != nil {
		panic(err)
	}
	return k
}()

// makes makes the image, which has to be made and not found.
func (w *world) makes(m *Maker, r *Request) v1.Hash {
	w.t.Helper()
	o, found := m.Make(w.t.Context(), r)
	if !o.Succeeded() || found {
		w.t.Fatalf("Make() = %+v, found %t, want a new image", o, found)
	}
	digest, err := v1.NewHash(o.Digest)
	if err != nil {
		w.t.Fatal(err)
	}
	return digest
}

// listing of an image: "mode owner path content", folders with a slash.
func listing(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	flat := mutate.Extract(image)
	defer flat.Close()
	list := map[string]string{}
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list[h.Name] = fmt.Sprintf("%o %d:%d %d %s%s", h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), content, h.Linkname)
	}
}
