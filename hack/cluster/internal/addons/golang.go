package addons

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// goRecipe changes when what is put into the image does.
const goRecipe = "2"

// goVersion is this machine's, without its patch: 1.26.
func goVersion() string {
	parts := strings.SplitN(strings.TrimPrefix(runtime.Version(), "go"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// goImage is the base image of functions in Go: this machine's compiler, and all
// that the runtime is made from, compiled already, so that a function without
// dependencies is built in seconds and without a network. On a real cluster it is
// the official image.
func goImage(ctx context.Context, e *env.Env) (string, error) {
	sdk := filepath.Join(e.Root, "runtimes/go/sdk")
	var versions []string
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(sdk, name))
		if err != nil {
			return "", err
		}
		versions = append(versions, string(text))
	}
	settings, err := goEnv(ctx, e, "GOROOT", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return "", err
	}
	root, modules, proxy := settings[0], settings[1], settings[2]
	config := v1.Config{Env: []string{"PATH=/usr/local/go/bin", "HOME=/tmp", "SSL_CERT_FILE=" + certificates, "GOMODCACHE=/go/modules", "GOCACHE=/go/cache",
		"CGO_ENABLED=0", "GOTOOLCHAIN=local"}}
	return push(ctx, e, "runtimes/go", env.Key(append(versions, runtime.Version(), goRecipe)...), config, func() (v1.Layer, error) {
		if err := e.Apt(ctx, map[string]string{certificates: "ca-certificates"}); err != nil {
			return nil, err
		}
		temp, err := e.Temp("go")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temp) // its read-only folders too: this is root
		e.Say("runtimes", "making the base image of go %s from this machine's", goVersion())
		if err := warm(ctx, e, sdk, temp, "file://"+filepath.Join(modules, "cache/download")+","+proxy); err != nil {
			return nil, err
		}
		if err := copyGo(root, filepath.Join(temp, "usr/local/go")); err != nil {
			return nil, err
		}
		certs, err := os.ReadFile(certificates)
		if err != nil {
			return nil, err
		}
		for name, content := range map[string][]byte{"etc/passwd": []byte(passwd), "etc/group": []byte(group), strings.TrimPrefix(certificates, "/"): certs, "tmp/.keep": nil} {
			if err := writeFile(filepath.Join(temp, name), content); err != nil {
				return nil, err
			}
		}
		return layerOfTree(temp, nil, "work")
	})
}

// goEnv are settings of this machine's go command.
func goEnv(ctx context.Context, e *env.Env, names ...string) ([]string, error) {
	out, err := e.Command(ctx, e.Root, nil, nil, "go", append([]string{"env"}, names...)...)
	return strings.Split(out, "\n"), err
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// warm builds a function so that the caches have what every function needs.
func warm(ctx context.Context, e *env.Env, sdk, dir, proxy string) error {
	source := filepath.Join(dir, "work/source")
	if err := writeFile(filepath.Join(source, "handler.go"), []byte("package function\n\nfunc Handler() {}\n")); err != nil {
		return err
	}
	caches := []string{"GOMODCACHE=" + filepath.Join(dir, "go/modules"), "GOCACHE=" + filepath.Join(dir, "go/cache"), "GOPROXY=" + proxy, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0"}
	if _, err := e.Command(ctx, sdk, caches, nil, "go", "run", "./runtimes/go/build", "-source", source, "-sdk", sdk, "-out", filepath.Join(dir, "work/runtime")); err != nil {
		return err
	}
	// What has been unpacked is not unpacked again.
	return filepath.WalkDir(filepath.Join(dir, "go/modules/cache/download"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".zip" {
			err = os.Remove(path)
		}
		return err
	})
}

// copyGo copies what the go command needs to build.
func copyGo(from, to string) error {
	for _, name := range []string{"VERSION", "go.env", "bin/go", "pkg/include", "pkg/tool", "src"} {
		err := filepath.WalkDir(filepath.Join(from, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			switch {
			case d.IsDir() && (d.Name() == "testdata" || rel == "src/cmd"):
				return filepath.SkipDir
			case !d.Type().IsRegular() || strings.HasSuffix(rel, "_test.go"):
				return nil
			}
			return copyFile(path, filepath.Join(to, rel))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := writeFile(to, text); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode())
}
