package addons

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// runtimeBase is a language's base image made from Debian's packages: on a real
// cluster it is the language's official one.
type runtimeBase struct {
	language, version string
	packages          string
	// more packages are those that debootstrap, which is no apt, cannot put in
	// order.
	more string
}

var runtimeBases = []runtimeBase{
	{"python", "3.11", "python3,python3-pip,ca-certificates", ""},
	{"nodejs", "18", "nodejs,ca-certificates", "npm"},
	{"provided", "2023", "curl,ca-certificates", ""},
}

// suite of Debian, whose Python is 3.11.
const suite = "bookworm"

// recipe changes when what is done with the packages does.
const recipe = "1"

// unneeded in an image.
var unneeded = []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/lib/apt/lists", "var/log", "proc", "sys", "dev", "run", "tmp"}

// upRuntimes makes what is missing of the base images, side by side: most of the
// time is spent unpacking one file after another.
func upRuntimes(ctx context.Context, e *env.Env) error {
	group, made := errgroup.WithContext(ctx)
	for _, r := range runtimeBases {
		group.Go(func() error {
			return keep(e, r.language+"-"+r.version, func() (string, error) { return r.image(made, e) })
		})
	}
	group.Go(func() error { return keep(e, "go", func() (string, error) { return goImage(made, e) }) })
	if err := group.Wait(); err != nil {
		return err
	}
	shell, err := os.ReadFile(e.Path("images", "provided-2023"))
	if err != nil {
		return err
	}
	return alias(ctx, string(shell), shellImage)
}

// shellImage is the repository from which the tests of Knative Eventing take a shell
// with curl, of a registry that the local cluster cannot reach.
const shellImage = "ubi8/ubi"

// keep writes down where an image is.
func keep(e *env.Env, name string, image func() (string, error)) error {
	reference, err := image()
	if err != nil {
		return err
	}
	return e.Write("images/"+name, reference)
}

func (r runtimeBase) image(ctx context.Context, e *env.Env) (string, error) {
	config := v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/tmp"}}
	return push(ctx, e, "runtimes/"+r.language, r.key(), config, func() (v1.Layer, error) {
		if err := e.Apt(ctx, map[string]string{"/usr/sbin/debootstrap": "debootstrap"}); err != nil {
			return nil, err
		}
		temp, err := e.Temp("debootstrap")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temp)
		e.Say("runtimes", "making the base image of %s %s from Debian's packages", r.language, r.version)
		args := []string{"--variant=minbase", "--include=" + r.packages, suite, temp}
		if mirror := debianMirror(); mirror != "" {
			args = append(args, mirror)
		}
		if out, err := exec.CommandContext(ctx, "debootstrap", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("debootstrap: %w\n%s", err, tail(string(out), 1000))
		}
		if err := r.install(ctx, e, temp); err != nil {
			return nil, err
		}
		return layerOfTree(temp, map[string]file{"etc/passwd": {[]byte(passwd), 0o644}, "etc/group": {[]byte(group), 0o644}}, unneeded...)
	})
}

// key of the image; that of a base without more packages is older than they.
func (r runtimeBase) key() string {
	if r.more == "" {
		return env.Key(suite, r.packages, recipe)
	}
	return env.Key(suite, r.packages, r.more, recipe)
}

// install installs the packages that debootstrap has left, from where it got the
// others.
func (r runtimeBase) install(ctx context.Context, e *env.Env, dir string) error {
	if r.more == "" {
		return nil
	}
	for _, name := range []string{"etc/resolv.conf", "etc/hosts"} {
		if err := copyFile("/"+name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	noninteractive := []string{"DEBIAN_FRONTEND=noninteractive"}
	_, err := e.Command(ctx, "", noninteractive, nil, "chroot", dir, "apt-get", "install", "-y", "-qq", "--no-install-recommends", r.more)
	return err
}

// debianMirror is the one that this machine's own packages come from.
func debianMirror() string {
	out, err := exec.Command("sh", "-c", "apt-cache policy 2>/dev/null | sed -n 's/.* \\(https\\{0,1\\}:[^ ]*\\) "+suite+"\\/main .*/\\1/p' | head -n 1").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// runtimesConfig are the languages of config-runtimes with the images that the
// local cluster has, by name. Go modules come from where this machine's do, unless
// a function says otherwise: that would be in vain if the image said it.
func runtimesConfig(image func(name string) string, goProxy, goSums string) map[string]string {
	const language = "versions:\n  %q: {baseImage: %q}\nhandler: %s\nfile: %s\n%s"
	entry := func(name, version, handler, file, more string) string {
		return fmt.Sprintf(language, version, image(name+"-"+version), handler, file, more)
	}
	return map[string]string{
		"python":   entry("python", "3.11", "main.handler", "main.py", "dependenciesFile: requirements.txt\ntemplate: python\nworker: [\"python3\", \"-u\", \"/lambda/worker/worker.py\"]\nprotocol: frames-2\n"),
		"nodejs":   entry("nodejs", "18", "index.handler", "index.js", "dependenciesFile: package.json\ntemplate: nodejs\nworker: [\"node\", \"/lambda/worker/worker.js\"]\nprotocol: frames-2\n"),
		"provided": entry("provided", "2023", "bootstrap", "bootstrap", "template: provided\nworker: [\"/lambda/function/bootstrap\"]\nprotocol: aws-lambda\ncompiled: true\n"),
		"go": fmt.Sprintf("versions:\n  %q: {baseImage: %q, runImage: %q}\nhandler: Handler\nfile: handler.go\ndependenciesFile: go.mod\ntemplate: go\ncompiled: true\ncompatible: true\nenv: {GOPROXY: %q, GOSUMDB: %q}\n",
			goVersion(), image("go"), env.BaseImage, goProxy, goSums),
	}
}

// offered says which versions the languages of a local config-runtimes have.
func offered(languages map[string]string) (string, error) {
	parsed, err := config.NewRuntimesFromConfigMap(&corev1.ConfigMap{Data: languages})
	if err != nil {
		return "", err
	}
	var all []string
	for _, name := range parsed.Names() {
		all = append(all, name+" "+strings.Join(parsed.Languages[name].VersionNames(), ", "))
	}
	return strings.Join(all, "; "), nil
}
