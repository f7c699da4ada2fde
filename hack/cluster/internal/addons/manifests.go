package addons

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

const ko = "github.com/google/ko"

// KoEnv is the environment in which ko builds for the local cluster.
func KoEnv(repository string) []string {
	return []string{"KO_DOCKER_REPO=" + env.Registry + "/" + repository, "KO_DEFAULTBASEIMAGE=" + env.BaseImage, "KO_DEFAULTPLATFORMS=linux/amd64"}
}

// files names manifests, or folders of them, in a module.
type files struct {
	module string
	paths  []string
}

// read returns the manifests in modules that a third-party module pins, without
// what a single small node has no use for.
func read(ctx context.Context, e *env.Env, pins string, sources ...files) (string, error) {
	var docs []string
	for _, source := range sources {
		dir, err := e.ModuleDir(ctx, pins, source.module)
		if err != nil {
			return "", err
		}
		for _, path := range source.paths {
			err := filepath.WalkDir(filepath.Join(dir, path), func(path string, _ fs.DirEntry, err error) error {
				if err != nil || filepath.Ext(path) != ".yaml" {
					return err
				}
				text, err := os.ReadFile(path)
				docs = append(docs, env.Documents(string(text))...)
				return err
			})
			if err != nil {
				return "", err
			}
		}
	}
	var keep []string
	for _, doc := range docs {
		if !strings.Contains(doc, "kind: HorizontalPodAutoscaler") && !strings.Contains(doc, "kind: PodDisruptionBudget") {
			keep = append(keep, doc)
		}
	}
	return env.Join(keep), nil
}

// goFlags of a module's builds. The base image has no time zones, which PingSources name.
var goFlags = map[string]string{"eventing": "-tags=timetzdata"}

// resolve builds the images of manifests from a third-party module's pins, at
// most once, and returns the manifests with their references.
func resolve(ctx context.Context, e *env.Env, pins, manifests string) (string, error) {
	key, err := e.ModuleKey(pins)
	if err != nil {
		return "", err
	}
	flags := goFlags[pins]
	dir, err := e.Once("manifests-"+pins, env.Key(key, manifests+flags), func(dir string) error {
		e.Say(pins, "building images")
		bin, err := e.Build(ctx, "ko", "", ko)
		if err != nil {
			return err
		}
		// One at a time: builds side by side compile what they share more than once.
		out, err := e.Command(ctx, filepath.Join(e.Root, "third_party", pins), append(KoEnv(pins), "GOFLAGS="+flags), strings.NewReader(manifests), filepath.Join(bin, "ko"),
			"resolve", "--sbom=none", "--platform=linux/amd64", "--base-import-paths", "--jobs=1", "-f", "-")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "manifests.yaml"), []byte(out), 0o600)
	})
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifests.yaml"))
	return string(text), err
}

// install builds and applies manifests of a third-party module.
func install(ctx context.Context, e *env.Env, pins, manifests string) error {
	resolved, err := resolve(ctx, e, pins, manifests)
	if err != nil {
		return err
	}
	return apply(ctx, e, pins, resolved)
}

// apply tries until the kinds and webhooks that manifests need are there.
func apply(ctx context.Context, e *env.Env, part, manifests string) error {
	return e.Wait(ctx, part, "its manifests to be taken", 2*time.Minute, func(ctx context.Context) error { return e.Apply(ctx, manifests) })
}
