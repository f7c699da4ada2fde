package addons

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// Parts on top of Kubernetes, in the order in which they are prepared.
func Parts() []env.Part {
	return []env.Part{
		{Name: "images", Needs: []string{"registry"}, Up: upImages},
		{Name: "runtimes", Needs: []string{"registry"}, Up: upRuntimes},
		{Name: "ko", Prepare: prepareKo, Up: func(context.Context, *env.Env) error { return nil }},
		{Name: "serving", Needs: []string{"ko", "images", "node", "dns"}, Up: upServing},
		{Name: "kaniko", Prepare: prepareKaniko, Needs: []string{"images"}, Up: upKaniko},
		{Name: "traefik", Prepare: prepareTraefik, Needs: []string{"serving"}, Up: upTraefik},
	}
}

func prepareKo(ctx context.Context, e *env.Env) error {
	_, err := e.Build(ctx, "ko", "", "github.com/google/ko")
	return err
}

// KoEnv is the environment in which ko builds for the local cluster.
func KoEnv(repository string) []string {
	return []string{"KO_DOCKER_REPO=" + env.Registry + "/" + repository, "KO_DEFAULTBASEIMAGE=" + env.BaseImage, "KO_DEFAULTPLATFORMS=linux/amd64"}
}

// resolve builds the images of manifests in the folder of a third-party module
// and returns the manifests with their references; at most once for the module's
// pins.
func resolve(ctx context.Context, e *env.Env, module, name string, paths ...string) (string, error) {
	key, err := e.ModuleKey(module)
	if err != nil {
		return "", err
	}
	dir, err := e.Once("manifests-"+name, env.Key(key, strings.Join(paths, " ")), func(dir string) error {
		e.Say(name, "building images")
		ko, err := e.Build(ctx, "ko", "", "github.com/google/ko")
		if err != nil {
			return err
		}
		args := []string{"resolve", "--sbom=none", "--platform=linux/amd64", "--base-import-paths", "--jobs=2", "-R"}
		for _, p := range paths {
			args = append(args, "-f", p)
		}
		out, err := e.Command(ctx, filepath.Join(e.Root, "third_party", module), append(KoEnv(name), "GOFLAGS="), nil, filepath.Join(ko, "ko"), args...)
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

func upServing(ctx context.Context, e *env.Env) error {
	var paths []string
	for _, m := range []struct{ module, folder string }{
		{"knative.dev/networking", "config"}, {"knative.dev/caching", "config"}, {"knative.dev/serving", "config/core"},
	} {
		dir, err := e.ModuleDir(ctx, "serving", m.module)
		if err != nil {
			return err
		}
		paths = append(paths, filepath.Join(dir, m.folder))
	}
	manifests, err := resolve(ctx, e, "serving", "serving", paths...)
	if err != nil {
		return err
	}
	if err := e.Wait(ctx, "serving", "its manifests to be taken", 2*time.Minute, func(ctx context.Context) error {
		return e.Apply(ctx, withoutAutoscalers(manifests))
	}); err != nil {
		return err
	}
	for name, data := range map[string]string{
		"config-network":    `{"data":{"ingress-class":"traefik.ingress.networking.knative.dev"}}`,
		"config-domain":     `{"data":{"localhost":""}}`,
		"config-deployment": fmt.Sprintf(`{"data":{"registries-skipping-tag-resolving":"kind.local,ko.local,dev.local,%s","queue-sidecar-cpu-request":"5m","queue-sidecar-memory-request":"20Mi"}}`, env.Registry),
		"config-autoscaler": `{"data":{"allow-zero-initial-scale":"true"}}`,
	} {
		if err := e.Wait(ctx, "serving", name, time.Minute, func(ctx context.Context) error { // its webhook comes up just now
			_, err := e.Kubectl(ctx, "", "patch", "configmap", name, "-n", "knative-serving", "--type=merge", "-p", data)
			return err
		}); err != nil {
			return err
		}
	}
	return e.Available(ctx, "knative-serving", "activator", "autoscaler", "controller", "webhook")
}

// withoutAutoscalers leaves out what a single small node has no use for.
func withoutAutoscalers(manifests string) string {
	var keep []string
	for _, doc := range strings.Split(manifests, "\n---") {
		if !strings.Contains(doc, "kind: HorizontalPodAutoscaler") && !strings.Contains(doc, "kind: PodDisruptionBudget") {
			keep = append(keep, doc)
		}
	}
	return strings.Join(keep, "\n---")
}
