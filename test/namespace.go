package test

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
)

// cleanupTimeout bounds what is done after a test.
const cleanupTimeout = time.Minute

// pollInterval of what cannot be watched.
const pollInterval = time.Second

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace makes a namespace for the test, which is deleted after it. When the
// test has failed, what is in it is told first.
func (c *Clients) Namespace(ctx context.Context, t *testing.T) string {
	t.Helper()
	words := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-"), "-")
	return c.namespace(ctx, t, "e2e-"+words[:min(len(words), 30)]+"-")
}

// namespace makes a namespace whose name begins with the prefix.
func (c *Clients) namespace(ctx context.Context, t *testing.T, prefix string) string {
	t.Helper()
	ns, err := c.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.cleanup(t, ns.Name, true)
	return ns.Name
}

// UseNamespace makes a namespace of that name where there is none, and deletes
// it after the test only then.
func (c *Clients) UseNamespace(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	_, err := c.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	c.cleanup(t, name, err == nil)
}

func (c *Clients) cleanup(t *testing.T, namespace string, remove bool) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if t.Failed() {
			t.Log(c.Dump(ctx, namespace))
		}
		if !remove {
			return
		}
		if err := c.Kube.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
			t.Errorf("namespace %s is left behind: %v", namespace, err)
		}
	})
}

// Inventory lists everything in a namespace but Kubernetes' events, as
// resource.group/name, sorted.
func (c *Clients) Inventory(ctx context.Context, namespace string) ([]string, error) {
	lists, err := c.Discovery.ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) { // a broken aggregated API is not this project's
		return nil, err
	}
	lists = discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}, lists)
	var found []string
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if !r.Namespaced || r.Name == "events" {
				continue
			}
			resource := version.WithResource(r.Name)
			all, err := c.Dynamic.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", resource, err)
			}
			for _, item := range all.Items {
				found = append(found, resource.GroupResource().String()+"/"+item.GetName())
			}
		}
	}
	sort.Strings(found)
	return found, nil
}

// AwaitInventory waits until a namespace holds nothing but what is listed, and
// returns what else it holds when Patience is over. Many kinds are asked for, so
// this asks again instead of watching them all.
func (c *Clients) AwaitInventory(ctx context.Context, namespace string, want []string) (extra []string, err error) {
	wanted := map[string]bool{}
	for _, w := range want {
		wanted[w] = true
	}
	err = wait.PollUntilContextTimeout(ctx, pollInterval, Patience, true, func(ctx context.Context) (bool, error) {
		found, err := c.Inventory(ctx, namespace)
		if err != nil {
			return false, err
		}
		extra = nil
		for _, f := range found {
			if !wanted[f] {
				extra = append(extra, f)
			}
		}
		return len(extra) == 0, nil
	})
	if wait.Interrupted(err) && len(extra) > 0 {
		return extra, nil
	}
	return extra, err
}
