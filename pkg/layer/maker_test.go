package layer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// get the image of a reference for an architecture.
func (w *world) get(reference, architecture string) v1.Image {
	w.t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		w.t.Fatal(err)
	}
	image, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: architecture}))
	if err != nil {
		w.t.Fatal(err)
	}
	return image
}

// TestMake: the image is as the Dockerfile makes it.
func TestMake(t *testing.T) {
	w := newWorld(t).single()
	r := w.request("team", "1")
	digest := w.makes(newMaker(noSecrets), r)
	image := w.get(r.Reference, "amd64")
	if got, _ := image.Digest(); got != digest {
		t.Errorf("the registry has %s, want %s", got, digest)
	}
	dir, root := "755 0:0 0 ", "0:0 0 "
	want := map[string]string{
		"bin": dir, "bin/python3": "755 " + root + "python for amd64",
		"lambda": dir, "lambda/runtime": "555 " + root + "runtime for amd64",
		"lambda/worker": dir, "lambda/worker/worker.py": "444 " + root + "print()", "lambda/worker/deep": dir, "lambda/worker/deep/util.py": "444 " + root,
		"lambda/worker/link.py": "777 " + root + "worker.py",
		"lambda/function":       dir, "lambda/function/main.py": "644 " + root + "code of 1", "lambda/function/lib": dir, "lambda/function/lib/util.py": "644 " + root,
	}
	if diff := cmp.Diff(want, listing(t, image)); diff != "" {
		t.Error("files (-want, +got):", diff)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := v1.Config{Env: []string{"PATH=/bin", "PYTHONPATH=/lambda/dependencies"}, WorkingDir: "/lambda/function", User: "65532:65532", Entrypoint: []string{"/lambda/runtime"}}
	if diff := cmp.Diff(config, file.Config); diff != "" {
		t.Error("configuration (-want, +got):", diff)
	}
	if len(file.History) != 3 && len(file.RootFS.DiffIDs) != 3 {
		t.Errorf("history %v of layers %v, want three of each", file.History, file.RootFS.DiffIDs)
	}
}

func TestEqualInputEqualImage(t *testing.T) {
	w := newWorld(t).single()
	one := w.makes(newMaker(noSecrets), w.request("team", "1"))
	other := w.makes(newMaker(noSecrets), w.request("other", "1"))
	if one != other {
		t.Errorf("the same code gives %s and %s", one, other)
	}
	if changed := w.makes(newMaker(noSecrets), w.request("team", "2")); changed == one {
		t.Error("other code gives the same image")
	}
}

// TestWhatIsPushed: after the first image only the function's own layer moves, and
// in another repository the registry itself mounts the rest.
func TestWhatIsPushed(t *testing.T) {
	w := newWorld(t).single()
	m := newMaker(noSecrets)
	// The registry of these tests has its blobs in all repositories, and mounts
	// nothing: here it is as others are.
	nowhere := func(repository string) {
		absent := denies("/v2/"+repository+"/python/blobs/", http.StatusNotFound, http.MethodHead)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = nil
		w.refuse = func(r *http.Request) int {
			if r.URL.Query().Has("mount") {
				return http.StatusCreated
			}
			return absent(r)
		}
	}
	for _, tt := range []struct {
		namespace, tag   string
		uploads, mounted int
		from             string
	}{
		// The runtime, the code, the configuration, and the two blobs of the signature; the
		// base is mounted.
		{"team", "1", 5, 1, "from=base"},
		{"other", "2", 4, 2, "from=team%2Fpython"}, // the runtime is in a repository of this registry by now
	} {
		nowhere(tt.namespace)
		w.makes(m, w.request(tt.namespace, tt.tag))
		w.mu.Lock()
		asked := strings.Join(w.asked, "\n")
		w.mu.Unlock()
		if uploads, mounted := strings.Count(asked, "PATCH"), strings.Count(asked, "mount="); uploads != tt.uploads || mounted != tt.mounted || !strings.Contains(asked, tt.from) {
			t.Errorf("%d blobs uploaded and %d mounted, want %d and %d, %s, for an image in %s:\n%s", uploads, mounted, tt.uploads, tt.mounted, tt.from, tt.namespace, asked)
		}
	}
	w.refuse = nil
	w.requests()
	w.makes(m, w.request("team", "3"))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asked {
		if strings.Contains(a, "/v2/base/") || strings.Contains(a, "/v2/runtime/") || strings.HasSuffix(a, " /v2/") {
			t.Errorf("%s for another image in the same repository, want what is known not asked again", a)
		}
	}
	const forImage, forSignature = 11, 10
	if len(w.asked) > forImage+forSignature {
		t.Errorf("%d requests for another image in the same repository:\n%s", len(w.asked), strings.Join(w.asked, "\n"))
	}
}

func TestPrepare(t *testing.T) {
	w := newWorld(t).single()
	m := newMaker(noSecrets)
	r := w.request("team", "1")
	if err := m.Prepare(t.Context(), r.Recipe, r.Insecure); err != nil {
		t.Fatal(err)
	}
	if n := w.requests("/v2/team/"); n != 0 {
		t.Errorf("%d requests to a function's repository before there is a function", n)
	}
	w.makes(m, r)
	if n := w.requests("/v2/runtime/"); n != 0 {
		t.Errorf("%d requests for the runtime of the first function, want what is prepared used", n)
	}
	r.Recipe.Base = w.host + "/base:9"
	if err := m.Prepare(t.Context(), r.Recipe, r.Insecure); err == nil {
		t.Error("no error of a base image that is not there")
	}
}

func TestFound(t *testing.T) {
	w := newWorld(t).single()
	digest := w.makes(newMaker(noSecrets), w.request("team", "1"))
	w.requests()
	o, found := newMaker(noSecrets).Make(t.Context(), w.request("team", "1"))
	if !found || o.Digest != digest.String() {
		t.Errorf("Make() = %+v, found %t, want %s found", o, found, digest)
	}
	if n := w.requests("/v2/team/"); n != 2 {
		t.Errorf("%d requests for an image that is there, want one for it and one for its signature", n)
	}
}

func TestPlatforms(t *testing.T) {
	w := newWorld(t)
	w.push("base:1", index(t, map[string]v1.Image{"amd64": base(t, "amd64"), "arm64": base(t, "arm64"), "s390x": base(t, "s390x")}))
	w.push("runtime:1", index(t, map[string]v1.Image{"amd64": runtimeImage(t, "amd64"), "arm64": runtimeImage(t, "arm64")}))
	r := w.request("team", "1")
	digest := w.makes(newMaker(noSecrets), r)
	ref, _ := name.ParseReference(r.Reference)
	made, err := remote.Index(ref)
	if err != nil {
		t.Fatal("of several platforms it makes an index:", err)
	}
	if got, _ := made.Digest(); got != digest {
		t.Errorf("the index is %s, want what Make says: %s", got, digest)
	}
	manifest, err := made.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		files := listing(t, w.get(r.Reference, m.Platform.Architecture))
		for file, what := range map[string]string{"bin/python3": "python for ", "lambda/runtime": "runtime for "} {
			if want := what + m.Platform.Architecture; !strings.HasSuffix(files[file], want) {
				t.Errorf("%s: %s is %q, want %q", m.Platform, file, files[file], want)
			}
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
		t.Error("platforms of both (-want, +got):", diff)
	}
	// A base for one platform makes one image.
	w.push("base:1", base(t, "arm64"))
	r = w.request("team", "2")
	w.makes(newMaker(noSecrets), r)
	ref, _ = name.ParseReference(r.Reference)
	if d, err := remote.Get(ref); err != nil || d.MediaType.IsIndex() {
		t.Errorf("the image of one platform is %v (%v), want no index", d, err)
	}
}

// denies methods on paths that contain a part, with a status.
func denies(part string, status int, methods ...string) func(*http.Request) int {
	return func(r *http.Request) int {
		for _, m := range methods {
			if r.Method == m && strings.Contains(r.URL.Path, part) {
				return status
			}
		}
		return 0
	}
}

func TestFailures(t *testing.T) {
	nobody := "127.0.0.1:1"
	for name, tt := range map[string]struct {
		world  func(*world)
		change func(*world, *Request)
		want   build.Outcome
		says   []string
	}{
		"the push is refused": {world: func(w *world) { w.refuse = denies("/team/", http.StatusForbidden, "POST", "PUT", "PATCH", "HEAD") },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonPushDenied, Fault: build.ConfigurationFault}, says: []string{"refused the push", "spec.build.pushSecretRef"}},
		"the push needs credentials": {world: func(w *world) { w.refuse = denies("/team/", http.StatusUnauthorized, "POST") },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonPushDenied, Fault: build.ConfigurationFault}, says: []string{"spec.build.pushSecretRef"}},
		"the repository is not known": {world: func(w *world) { w.refuse = denies("/team/", http.StatusNotFound, "POST") },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonPushDenied, Fault: build.ConfigurationFault}},
		"the registry is broken": {world: func(w *world) { w.refuse = denies("/team/", http.StatusServiceUnavailable, "POST") },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault}, says: []string{"cannot be reached"}},
		"the registry has too much to do": {world: func(w *world) { w.refuse = denies("/team/", http.StatusTooManyRequests, "POST") },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault}},
		"the base image is refused": {world: func(w *world) { w.refuse = denies("/base/", http.StatusUnauthorized, "GET") },
			want: build.Outcome{Step: build.StepBuild, Reason: build.ReasonPullDenied, Fault: build.ConfigurationFault}, says: []string{"spec.build.imagePullSecret"}},
		"there is no base image": {change: func(w *world, r *Request) { r.Recipe.Base = w.host + "/base:9" },
			want: build.Outcome{Step: build.StepBuild, Reason: build.ReasonBaseImageNotFound, Fault: build.ConfigurationFault}, says: []string{"config-runtimes", "base/manifests/9"}},
		"nobody has the base image": {change: func(_ *world, r *Request) { r.Recipe.Base = nobody + "/base:1" },
			want: build.Outcome{Step: build.StepBuild, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault}, says: []string{nobody}},
		"nobody to push to": {change: func(_ *world, r *Request) { r.Reference = nobody + "/team/python:1" },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault}, says: []string{nobody, "cannot be reached"}},
		"a registry that must not be dialled": {change: func(_ *world, r *Request) { r.Reference = forbidden + "/team/python:1" },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryForbidden, Fault: build.ConfigurationFault}, says: []string{forbidden, "not on the public Internet"}},
		"nothing of the runtime": {change: func(_ *world, r *Request) { r.Recipe.Copies[1].From = "/var/run/ko/ruby" },
			want: build.Outcome{Step: build.StepBuild, Reason: build.ReasonBaseImageNotFound, Fault: build.ConfigurationFault}, says: []string{"runtime:1 has no /var/run/ko/ruby"}},
		"no platform of both": {world: func(w *world) { w.push("base:1", base(w.t, "s390x")) },
			want: build.Outcome{Step: build.StepBuild, Reason: build.ReasonBaseImageNotFound, Fault: build.ConfigurationFault}, says: []string{"base:1 has no platform"}},
		"no file of the handler": {change: func(_ *world, r *Request) { r.Handler = "app.handler" },
			want: build.Outcome{Step: build.StepSource, Reason: build.ReasonSourceInvalid, Fault: build.UserFault}, says: []string{`"app.handler"`, "app.py", "main.py"}},
		"no source": {change: func(_ *world, r *Request) {
			r.Files, r.Fetch = nil, func(context.Context, string) error {
				return &source.InvalidError{Reason: source.ReasonObjectNotFound, Message: "the object is gone"}
			}
		}, want: build.Outcome{Step: build.StepSource, Reason: source.ReasonObjectNotFound, Fault: build.UserFault}, says: []string{"the object is gone"}},
		"a source that cannot be read": {change: func(_ *world, r *Request) {
			r.Files, r.Fetch = nil, func(context.Context, string) error { return errors.New("disk full") }
		}, want: build.Outcome{Step: build.StepSource, Reason: source.ReasonUnreachable, Fault: build.InfrastructureFault}, says: []string{"disk full"}},
		"no Secret": {change: func(_ *world, r *Request) { r.PushSecret = "nowhere" },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonSecretNotFound, Fault: build.InfrastructureFault}, says: []string{"Secret team/nowhere does not exist"}},
		"a registry that does not answer": {world: func(w *world) {
			w.refuse = func(r *http.Request) int { <-r.Context().Done(); return http.StatusTeapot }
		}, change: func(_ *world, r *Request) { r.Timeout = 50 * time.Millisecond },
			want: build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault}, says: []string{"did not answer within"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).single()
			if tt.world != nil {
				tt.world(w)
			}
			r := w.request("team", "1")
			if tt.change != nil {
				tt.change(w, r)
			}
			got, found := newMaker(noSecrets).Make(t.Context(), r)
			for _, s := range tt.says {
				if !strings.Contains(got.Message, s) {
					t.Errorf("message %q, want it to have %q", got.Message, s)
				}
			}
			got.Message = ""
			if diff := cmp.Diff(tt.want, got); diff != "" || found {
				t.Errorf("found %t, (-want, +got): %s", found, diff)
			}
		})
	}
}

// fetches files instead of having them.
func fetches(files map[string]string) func(*Request) {
	return func(r *Request) {
		r.Files, r.Fetch = nil, func(_ context.Context, dir string) error {
			for name, text := range files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			return os.Chmod(filepath.Join(dir, "main.py"), 0o755)
		}
	}
}

// TestFetchedSource: an image is the same wherever its source comes from, but for
// what takes a pod; nothing of it is left on the disk.
func TestFetchedSource(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := newWorld(t).single()
	m := newMaker(noSecrets)
	r := w.request("team", "1", fetches(map[string]string{"main.py": "#!", "lib/util.py": ""}))
	w.makes(m, r)
	files := listing(t, w.get(r.Reference, "amd64"))
	if got := files["lambda/function/main.py"]; got != "755 0:0 0 #!" || !strings.HasPrefix(files["lambda/function/lib/util.py"], "644 ") {
		t.Errorf("fetched files are %q", files)
	}
	for name, files := range map[string]map[string]string{
		"dependencies": {"main.py": "", "requirements.txt": "cowsay"},
		"large":        {"main.py": strings.Repeat("x", MaxSource+1)},
	} {
		if o, _ := m.Make(t.Context(), w.request("team", name, fetches(files))); o.Reason != ReasonNeedsPod {
			t.Errorf("%s: %+v, want it to take a pod", name, o)
		}
	}
	w.makes(m, w.request("team", "empty", fetches(map[string]string{"main.py": "", "requirements.txt": ""})))
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left on the disk: %v (%v)", left, err)
	}
}

// TestRecovery: what a failed build has left does not make the next one fail.
func TestRecovery(t *testing.T) {
	w := newWorld(t).single()
	m := newMaker(noSecrets)
	w.refuse = denies("/", http.StatusForbidden, "GET", "POST")
	if o, _ := m.Make(t.Context(), w.request("team", "1")); o.Succeeded() {
		t.Fatal("Make() succeeds in a registry that refuses everything")
	}
	w.mu.Lock()
	w.refuse = nil
	w.mu.Unlock()
	w.makes(m, w.request("team", "1"))
}

func dockerConfig(registry, user, password string) *corev1.Secret {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, registry, auth)}}
}

func TestCredentials(t *testing.T) {
	w := newWorld(t).single()
	w.refuse = func(r *http.Request) int {
		if user, password, _ := r.BasicAuth(); user == "me" && password == "secret" {
			return 0
		}
		return http.StatusUnauthorized
	}
	m := newMaker(secrets{"right": dockerConfig(w.host, "me", "secret"), "wrong": dockerConfig(w.host, "me", "guess"),
		"broken": {Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": hunter2`)}}})
	with := func(push, pull string) func(*Request) {
		return func(r *Request) { r.PushSecret, r.PullSecret = push, pull }
	}
	if o, _ := m.Make(t.Context(), w.request("team", "1")); o.Succeeded() {
		t.Error("it pushes without credentials")
	}
	w.makes(m, w.request("team", "1", with("right", "")))
	w.makes(m, w.request("team", "2", with("", "right")))
	w.makes(m, w.request("team", "3", with("right", "wrong"))) // what is pushed with comes first
	if o, _ := m.Make(t.Context(), w.request("team", "4", with("wrong", ""))); o.Reason != build.ReasonPushDenied && o.Reason != build.ReasonPullDenied {
		t.Errorf("with wrong credentials: %+v, want it refused, whatever others may", o)
	}
	o, _ := m.Make(t.Context(), w.request("team", "5", with("broken", "")))
	if o.Fault != build.UserFault || strings.Contains(o.Message, "hunter2") {
		t.Errorf("with a Secret that is no JSON: %+v, want the user told, without what is in it", o)
	}
}
