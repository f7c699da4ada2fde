package env

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
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
	for _, doc := range strings.Split(manifests, "\n---") {
		doc = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(doc), "---"))
		switch {
		case doc == "":
		case hasLine(doc, "kind: Namespace"), hasLine(doc, "kind: CustomResourceDefinition"):
			first = append(first, doc)
		default:
			rest = append(rest, doc)
		}
	}
	for _, docs := range [][]string{first, rest} {
		if len(docs) == 0 {
			continue
		}
		if _, err := e.Kubectl(ctx, strings.Join(docs, "\n---\n"), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
			return err
		}
	}
	return nil
}

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
