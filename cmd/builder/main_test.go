package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
	"github.com/brunovlucena/knative-lambda-operator/test/gitserver"
)

// pod is what a build pod has mounted: the plan, the Dockerfile and the source.
func pod(t *testing.T, handler string, files map[string]string) paths {
	t.Helper()
	p := paths{input: t.TempDir(), workspace: t.TempDir(), push: t.TempDir(), pull: t.TempDir(), docker: t.TempDir(), source: t.TempDir()}
	archive, err := source.Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.input, build.PlanFile, build.Plan{Handler: handler, File: "main.py"}.Marshal())
	write(t, p.input, build.DockerfileFile, "FROM base\n")
	write(t, p.input, build.SourceFile, string(archive))
	return p
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLayout(t *testing.T) {
	p := pod(t, "main.handler", map[string]string{"main.py": "def handler(): pass", "lib/util.py": "x = 1"})
	if err := layout(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Dockerfile": "FROM base\n", "function/main.py": "def handler(): pass", "function/lib/util.py": "x = 1"} {
		if got := read(t, p.workspace, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(p.docker, "config.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("credentials of nobody: %v", err)
	}
}

func TestInvalidSource(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(paths)
		user  bool
		want  string
	}{
		"no file of the handler": {func(p paths) {
			write(t, p.input, build.PlanFile, build.Plan{Handler: "app.handler", File: "main.py"}.Marshal())
		}, true, `handler "app.handler": no file app.py`},
		"broken archive": {func(p paths) { write(t, p.input, build.SourceFile, "x") }, true, "no gzipped tar archive"},
		"broken secret":  {func(p paths) { write(t, p.push, ".dockerconfigjson", "hunter2") }, true, "must be of type kubernetes.io/dockerconfigjson"},
		"broken plan":    {func(p paths) { write(t, p.input, build.PlanFile, "{") }, false, "plan.json"},
		"no Dockerfile":  {func(p paths) { os.Remove(filepath.Join(p.input, build.DockerfileFile)) }, false, "Dockerfile"},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(t, "main.handler", map[string]string{"main.py": ""})
			tt.spoil(p)
			err := layout(t.Context(), p)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("layout() = %v, want %q", err, tt.want)
			}
			var invalid *source.InvalidError
			if errors.As(err, &invalid) != tt.user {
				t.Errorf("layout() = %T; the user's fault: want %t", err, tt.user)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message quotes a secret:", err)
			}
		})
	}
}

// TestOwnDockerfile: it stays in the source, which has to have it.
func TestOwnDockerfile(t *testing.T) {
	p := pod(t, "main.handler", map[string]string{"docker/Dockerfile": "FROM scratch", "app.py": ""})
	if err := os.Remove(filepath.Join(p.input, build.DockerfileFile)); err != nil {
		t.Fatal(err)
	}
	plan := build.Plan{Handler: "main.handler", File: "main.py", Dockerfile: "docker/Dockerfile"}
	write(t, p.input, build.PlanFile, plan.Marshal())
	if err := layout(t.Context(), p); err != nil {
		t.Fatal("no handler is asked for, but:", err)
	}
	if got := read(t, p.workspace, "function/docker/Dockerfile"); got != "FROM scratch" {
		t.Errorf("the Dockerfile in the context is %q", got)
	}
	p = pod(t, "main.handler", map[string]string{"app.py": ""})
	write(t, p.input, build.PlanFile, plan.Marshal())
	err := layout(t.Context(), p)
	var invalid *source.InvalidError
	if want := "spec.build.dockerfile: no file docker/Dockerfile in the source, which has app.py"; !errors.As(err, &invalid) || err.Error() != want {
		t.Errorf("layout() = %v, want the user told %q", err, want)
	}
}

func TestCredentials(t *testing.T) {
	p := pod(t, "main.handler", map[string]string{"main.py": ""})
	write(t, p.pull, ".dockerconfigjson", `{"auths":{"a.test":{"auth":"pull-a"},"b.test":{"auth":"pull-b"}}}`)
	write(t, p.push, ".dockerconfigjson", `{"auths":{"b.test":{"auth":"push-b"}},"credsStore":"ignored"}`)
	if err := layout(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	var got map[string]map[string]map[string]string
	if err := json.Unmarshal([]byte(read(t, p.docker, "config.json")), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]map[string]string{"auths": {"a.test": {"auth": "pull-a"}, "b.test": {"auth": "push-b"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if info, err := os.Stat(filepath.Join(p.docker, "config.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the credentials = %v (%v), want 0600", info.Mode(), err)
	}
}

// TestSecretsStayOut: nothing of a Secret is in the context, which becomes the image.
func TestSecretsStayOut(t *testing.T) {
	p, _ := fetching(t, map[string]string{"main.py": "x"})
	write(t, p.source, "username", "hunter2")
	write(t, p.pull, ".dockerconfigjson", `{"auths":{"a.test":{"auth":"hunter2"}}}`)
	write(t, p.push, ".dockerconfigjson", `{"auths":{"b.test":{"auth":"hunter2"}}}`)
	if err := layout(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(p.workspace, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		for _, secret := range []string{"hunter2", "CERTIFICATE"} {
			if strings.Contains(read(t, path), secret) {
				t.Errorf("%s is in %s", secret, path)
			}
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("%d files are in the context: %v", files, err)
	}
}

// fetching is what a build pod has mounted for a source that lives in a
// repository which allows whoever has the certificate.
func fetching(t *testing.T, files map[string]string) (paths, *gitserver.Server) {
	t.Helper()
	server := gitserver.Start(t, "127.0.0.1")
	server.Create("a.git")
	server.Commit("a.git", "main", files)
	credentials := source.Credentials{"ca.crt": server.CA}
	request := source.Request{Git: &source.Git{URL: server.HTTPS + "/a.git"}, AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	resolved, err := source.Resolve(t.Context(), request, credentials)
	if err != nil {
		t.Fatal(err)
	}
	p := pod(t, "main.handler", nil)
	write(t, p.source, "ca.crt", string(server.CA))
	write(t, p.input, build.PlanFile, build.Plan{Handler: "main.handler", File: "main.py", Source: &build.FetchPlan{
		Resolved: resolved, Secret: "git", Dependencies: "requirements.txt",
		Input: build.Input{BaseImage: "base", Template: "FROM {{.BaseImage}}\n{{with .Dependencies}}RUN install {{.}}\n{{end}}"},
	}}.Marshal())
	return p, server
}

// TestFetch: a source that lives elsewhere, and a Dockerfile as its files want it.
func TestFetch(t *testing.T) {
	for name, tt := range map[string]struct {
		files      map[string]string
		dockerfile string
	}{
		"without dependencies":   {map[string]string{"main.py": "x"}, "FROM base\n"},
		"with dependencies":      {map[string]string{"main.py": "x", "requirements.txt": "requests\n"}, "FROM base\nRUN install requirements.txt\n"},
		"with none in the file":  {map[string]string{"main.py": "x", "requirements.txt": ""}, "FROM base\n"},
		"with a folder for that": {map[string]string{"main.py": "x", "requirements.txt/a": "x"}, "FROM base\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := fetching(t, tt.files)
			if err := layout(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if got := read(t, p.workspace, "Dockerfile"); got != tt.dockerfile {
				t.Errorf("Dockerfile = %q, want %q", got, tt.dockerfile)
			}
			if got := read(t, p.workspace, "function/main.py"); got != "x" {
				t.Errorf("main.py = %q", got)
			}
		})
	}
}

func TestFetchWithoutSecret(t *testing.T) {
	p, _ := fetching(t, map[string]string{"main.py": "x"})
	if err := os.Remove(filepath.Join(p.source, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	err := layout(t.Context(), p)
	if reason, users := source.Reason(err); !users || reason != source.ReasonSecretNotFound || !strings.Contains(err.Error(), `"git"`) {
		t.Errorf("layout() = %v, want that the Secret is missing", err)
	}
}

// TestGoneMeanwhile: the infrastructure's fault, as the controller asks again.
func TestGoneMeanwhile(t *testing.T) {
	p, server := fetching(t, map[string]string{"main.py": "x"})
	server.DeleteBranch("a.git", "main")
	server.Commit("a.git", "other", map[string]string{"main.py": "y"})
	err := layout(t.Context(), p)
	if _, users := source.Reason(err); err == nil || users {
		t.Errorf("layout() = %v, want an error that may pass", err)
	}
}
