package ops

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is a copy of what the scripts work on, committed, with a remote.
func repository(t *testing.T) (dir, remote string) {
	t.Helper()
	dir, remote = t.TempDir(), t.TempDir()
	for _, folder := range []string{"config", "hack"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"VERSION":      "1.2.3\n",
		".gitignore":   "/release/\n",
		"CHANGELOG.md": "# Changelog\n\n## [1.2.30]\n\nnot yet\n\n## [1.2.3]\n\n- something\n\n## [1.2.2]\n\n- before\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	git(t, remote, "init", "-q", "--bare")
	git(t, dir, "init", "-q", "-b", "main")
	git(t, dir, "remote", "add", "origin", remote)
	commit(t, dir)
	return dir, remote
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), author...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

// author of commits, where the machine knows none.
var author = []string{"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com"}

func commit(t *testing.T, dir string) {
	t.Helper()
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "test")
}

// releasing replaces ko by one that resolves a list of images. The SBOM is empty.
func releasing(t *testing.T) {
	t.Helper()
	before := fakes["ko"]
	fakes["ko"] = `while [[ $# -gt 0 ]]; do
  case $1 in --sbom-dir=*) echo '{}' >"${1#*=}/controller.spdx.json" ;; esac
  shift
done
sed 's|ko://[a-z./-]*/cmd/\([a-z]*\)|registry.example.com/\1@sha256:0123|'
`
	t.Cleanup(func() { fakes["ko"] = before })
}

func TestRelease(t *testing.T) {
	releasing(t)
	dir, _ := repository(t)
	calls, out, ok := run(t, dir, nil, append([]string{registry, "COSIGN_KEY=cosign.key"}, author...), nil, "hack/release.sh")
	if !ok {
		t.Fatalf("it fails and prints %s", out)
	}
	if want := []string{"ko resolve --platform=linux/amd64,linux/arm64 --base-import-paths --tags=v1.2.3 --sbom=spdx --sbom-dir=release/sboms -f -",
		"cosign sign --yes --recursive --key cosign.key registry.example.com/controller@sha256:0123", "cosign sign --yes --recursive --key cosign.key registry.example.com/receiver@sha256:0123",
		"cosign sign-blob --yes --key cosign.key"}; !inOrder(calls, want) {
		t.Errorf("it calls %s, want %q in this order", calls, want)
	}
	for _, test := range []struct{ file, has, hasNot string }{
		{"core.yaml", "image: registry.example.com/webhook@sha256:0123\n", "kind: CustomResourceDefinition"},
		{"core.yaml", "app.kubernetes.io/version: v1.2.3\n", "version: devel"},
		{"core.yaml", "kind: Namespace", "ko://"},
		{"crds.yaml", "name: lambdafunctions.lambda.knative.io", "kind: Deployment"},
		{"post-install.yaml", "kind: Job", "ko://"},
		{"pro.yaml", "# config/overlays/pro\nimage: registry.example.com/controller@sha256:0123\nversion: {app.kubernetes.io/version: v1.2.3}", "ko://"},
		{"studio.yaml", "# config/overlays/studio", "ko://"},
		{"pro-samples.yaml", "# config/overlays/pro/samples", "ko://"},
		{"monitoring.yaml", "# config/monitoring", "ko://"},
		{"CHANGELOG.md", "## [1.2.3]\n\n- something\n", "before"},
		{"CHANGELOG.md", "- something", "not yet"},
		{"sboms/controller.spdx.json", "{}", "ko://"},
		{"sha256sums", "  ./core.yaml\n", "sha256sums"},
		{"sha256sums", "  ./sboms/controller.spdx.json\n", "sha256sums"},
	} {
		if text := read(t, filepath.Join(dir, "release", test.file)); !strings.Contains(text, test.has) || strings.Contains(text, test.hasNot) {
			t.Errorf("%s is without %q, or with %q:\n%s", test.file, test.has, test.hasNot, text[:min(len(text), 2000)])
		}
	}
	if _, err := exec.LookPath("sha256sum"); err == nil {
		cmd := exec.Command("sha256sum", "--quiet", "-c", "sha256sums")
		cmd.Dir = filepath.Join(dir, "release")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("checksums: %v: %s", err, out)
		}
	}
}

func TestReleaseRefuses(t *testing.T) {
	dir, _ := repository(t)
	for _, test := range []struct {
		name, version string
		without       []string
		env           []string
		out           string
	}{
		{"a version that is none", "v1", nil, []string{registry}, `VERSION: "v1" is no semantic version`},
		{"no changes", "1.2.4", nil, []string{registry}, "CHANGELOG.md has no section ## [1.2.4]"},
		{"no registry", "1.2.3", nil, nil, "KO_DOCKER_REPO: Set it"},
		{"a platform that is none", "1.2.3", nil, []string{registry, "PLATFORMS=amd64"}, `PLATFORMS: "amd64" is not like`},
		{"no cosign", "1.2.3", []string{"cosign"}, []string{registry, "COSIGN_KEY=k"}, "cosign is missing"},
	} {
		write(t, filepath.Join(dir, "VERSION"), test.version+"\n")
		calls, out, ok := run(t, dir, test.without, append(test.env, "DIRTY=1"), nil, "hack/release.sh")
		if ok || !strings.Contains(out, test.out) {
			t.Errorf("%s: succeeded: %t, with %q, want a failure that says %q", test.name, ok, out, test.out)
		}
		if strings.Contains(calls, "ko ") {
			t.Errorf("%s: it builds all the same: %s", test.name, calls)
		}
	}
	write(t, filepath.Join(dir, "VERSION"), "1.2.3\n")
	write(t, filepath.Join(dir, "config/core/new.yaml"), "kind: Secret\n")
	if _, out, ok := run(t, dir, nil, []string{registry}, nil, "hack/release.sh"); ok || !strings.Contains(out, "not committed") {
		t.Errorf("changes that are not committed are released: %s", out)
	}
}

// TestReleaseWithoutDigest: a ko that leaves images as they are is noticed.
func TestReleaseWithoutDigest(t *testing.T) {
	before := fakes["ko"]
	fakes["ko"] = "cat\n"
	t.Cleanup(func() { fakes["ko"] = before })
	dir, _ := repository(t)
	if _, out, ok := run(t, dir, nil, append([]string{registry}, author...), nil, "hack/release.sh"); ok || !strings.Contains(out, "Not every image has a digest") {
		t.Errorf("succeeded: %t, with %q", ok, out)
	}
}

func TestPublish(t *testing.T) {
	dir, remote := repository(t)
	env := append([]string{registry}, author...)
	if _, out, ok := run(t, dir, nil, env, nil, "hack/ops/publish.sh", "environments", "pro", "studio"); !ok {
		t.Fatal(out)
	}
	if got, want := git(t, remote, "ls-tree", "-r", "--name-only", "environments"), "pro/operator/operator.yaml\npro/samples/samples.yaml\nstudio/operator/operator.yaml\n"; got != want {
		t.Errorf("the branch has %s, want %s", got, want)
	}
	if got := git(t, remote, "show", "environments:studio/operator/operator.yaml"); !strings.Contains(got, "image: registry.example.com/controller@sha256:0123") {
		t.Errorf("images are without digests: %s", got)
	}
	if _, out, ok := run(t, dir, nil, env, nil, "hack/ops/publish.sh", "environments", "pro"); !ok {
		t.Fatal(out)
	}
	source := strings.TrimSpace(git(t, dir, "rev-parse", "--short", "HEAD"))
	if got, want := git(t, remote, "log", "--format=%s", "environments"), "pro of "+source+"\npro studio of "+source+"\n"; got != want {
		t.Errorf("the branch has the commits %q, want %q", got, want)
	}
	if got := git(t, remote, "ls-tree", "--name-only", "environments"); got != "pro\nstudio\n" {
		t.Errorf("after pro alone the branch has %s, want studio as well", got)
	}
	if got := git(t, dir, "status", "--porcelain"); got != "" {
		t.Errorf("the working tree is changed: %s", got)
	}
}
