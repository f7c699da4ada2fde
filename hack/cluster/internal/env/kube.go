package env

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"time"
)

// KubernetesVersion that third_party/kubernetes pins.
const KubernetesVersion = "v1.34.3"

const versionPackage = "k8s.io/component-base/version"

// Kubernetes returns the directory with Kubernetes' programs, kubectl among
// them.
func (e *Env) Kubernetes(ctx context.Context) (string, error) {
	major, minor, _ := strings.Cut(strings.TrimPrefix(KubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	ldflags := "-X " + versionPackage + ".gitVersion=" + KubernetesVersion + " -X " + versionPackage + ".gitMajor=" + major + " -X " + versionPackage + ".gitMinor=" + minor
	var packages []string
	for _, p := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"} {
		packages = append(packages, "k8s.io/kubernetes/cmd/"+p)
	}
	return e.Build(ctx, "kubernetes", ldflags, packages...)
}

// Kubectl talks to the local cluster.
func (e *Env) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	dir, err := e.Kubernetes(ctx)
	if err != nil {
		return "", err
	}
	return e.Command(ctx, e.Run, []string{"KUBECONFIG=" + e.Kubeconfig()}, strings.NewReader(stdin), filepath.Join(dir, "kubectl"), args...)
}

// Apply applies manifests by server-side apply: aggregated ClusterRoles have
// their rules written by others. Namespaces and CustomResourceDefinitions come
// first, and what needs them is tried again while they settle.
func (e *Env) Apply(ctx context.Context, manifests string) error {
	var first, rest []string
	for _, doc := range Documents(manifests) {
		if hasLine(doc, "kind: Namespace") || hasLine(doc, "kind: CustomResourceDefinition") {
			first = append(first, doc)
		} else {
			rest = append(rest, doc)
		}
	}
	for _, docs := range [][]string{first, rest} {
		if len(docs) == 0 {
			continue
		}
		if _, err := e.Kubectl(ctx, Join(docs), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
			return err
		}
	}
	return nil
}

// Documents of a YAML text that hold an object.
func Documents(manifests string) []string {
	var docs []string
	for _, doc := range strings.Split("\n"+manifests, "\n---") {
		if strings.Contains(doc, "\nkind:") {
			docs = append(docs, strings.TrimSpace(doc))
		}
	}
	return docs
}

// Join makes one YAML text of documents.
func Join(docs []string) string { return strings.Join(docs, "\n---\n") }

func hasLine(doc, line string) bool {
	for _, l := range strings.Split(doc, "\n") {
		if strings.TrimRight(l, " \r") == line {
			return true
		}
	}
	return false
}

// Available waits until deployments of a namespace are.
func (e *Env) Available(ctx context.Context, namespace string, deployments ...string) error {
	args := []string{"wait", "-n", namespace, "--for=condition=Available", "--timeout=180s"}
	for _, d := range deployments {
		args = append(args, "deployment/"+d)
	}
	_, err := e.Kubectl(ctx, "", args...)
	if err != nil {
		pods, podsErr := e.Kubectl(ctx, "", "get", "pods", "-n", namespace)
		return errors.Join(err, errors.New(pods), podsErr)
	}
	return nil
}

// PatchConfig merges data into ConfigMaps of a namespace. Their webhook may be
// coming up just now, and one of before, which does not know new keys, goes on
// answering for the better part of a minute.
func (e *Env) PatchConfig(ctx context.Context, part, namespace string, patches map[string]map[string]string) error {
	for name, data := range patches {
		patch, err := json.Marshal(map[string]any{"data": data})
		if err != nil {
			return err
		}
		if err := e.Wait(ctx, part, name, 2*time.Minute, func(ctx context.Context) error {
			_, err := e.Kubectl(ctx, "", "patch", "configmap", name, "-n", namespace, "--type=merge", "-p", string(patch))
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
