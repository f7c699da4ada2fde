package test

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Patience is how long anything may take to come: a build on a machine that
// does ten at once is the slowest.
const Patience = 4 * time.Minute

// object is a pointer to an API object of type O.
type object[O any] interface {
	*O
	metav1.Object
	runtime.Object
}

// await watches one object until it is as wanted, and returns it. The error
// says what did not come and how the object was seen last.
func await[O any, T object[O]](ctx context.Context, client rest.Interface, resource string, key types.NamespacedName, what string, holds func(T) bool) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var last T
	_, err := watchtools.UntilWithSync(ctx, named(client, resource, key), T(new(O)), nil, func(e watch.Event) (bool, error) {
		o, ok := e.Object.(T)
		if !ok || e.Type == watch.Deleted {
			return false, nil
		}
		last = o
		return holds(o), nil
	})
	if err != nil {
		return last, fmt.Errorf("%s %s: %s did not come within %v: %w; last seen: %s", resource, key, what, Patience, err, describeSeen[O](last))
	}
	return last, nil
}

// awaitGone watches one object until it is no more.
func awaitGone[O any, T object[O]](ctx context.Context, client rest.Interface, resource string, key types.NamespacedName) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	gone := false
	absent := func(store cache.Store) (bool, error) {
		_, exists, err := store.GetByKey(key.String())
		gone = !exists
		return gone, err
	}
	_, err := watchtools.UntilWithSync(ctx, named(client, resource, key), T(new(O)), absent, func(e watch.Event) (bool, error) {
		return e.Type == watch.Deleted, nil
	})
	if err != nil && !gone {
		return fmt.Errorf("%s %s: still there after %v: %w", resource, key, Patience, err)
	}
	return nil
}

// named lists and watches one object.
func named(client rest.Interface, resource string, key types.NamespacedName) *cache.ListWatch {
	name := fields.OneTermEqualSelector(metav1.ObjectNameField, key.Name).String()
	return newest(client, resource, key.Namespace, func(o *metav1.ListOptions) { o.FieldSelector = name })
}

// newest begins with what is chosen as it is now. A reflector is content with what the
// API server's cache has, which may be of before the write whose outcome a test waits for.
func newest(client rest.Interface, resource, namespace string, choose func(*metav1.ListOptions)) *cache.ListWatch {
	return cache.NewFilteredListWatchFromClient(client, resource, namespace, func(o *metav1.ListOptions) {
		choose(o)
		if o.ResourceVersion == "0" {
			o.ResourceVersion = ""
		}
	})
}

func describeSeen[O any, T object[O]](o T) string {
	if o == nil {
		return "nothing of it"
	}
	return describe(o)
}

// describe an object by its conditions.
func describe(o runtime.Object) string {
	shaped, ok := o.(duckv1.KRShaped)
	if !ok {
		return "it was there"
	}
	status := shaped.GetStatus()
	said := []string{fmt.Sprintf("observedGeneration %d of %d", status.ObservedGeneration, shaped.GetGeneration())}
	for _, c := range status.Conditions {
		said = append(said, fmt.Sprintf("%s=%s %s %q", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(said, ", ")
}

// AwaitFunction watches a function until its newest generation has been seen and
// it is as wanted.
func (c *Clients) AwaitFunction(ctx context.Context, key types.NamespacedName, what string, holds func(*v1alpha1.LambdaFunction) bool) (*v1alpha1.LambdaFunction, error) {
	return await[v1alpha1.LambdaFunction](ctx, c.Lambda.LambdaV1alpha1().RESTClient(), "lambdafunctions", key, what, func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.ObservedGeneration == f.Generation && holds(f)
	})
}

// AwaitFunctionGone watches a function until it is no more.
func (c *Clients) AwaitFunctionGone(ctx context.Context, key types.NamespacedName) error {
	return awaitGone[v1alpha1.LambdaFunction](ctx, c.Lambda.LambdaV1alpha1().RESTClient(), "lambdafunctions", key)
}

// AwaitAgent watches an agent until its newest generation has been seen and it is
// as wanted.
func (c *Clients) AwaitAgent(ctx context.Context, key types.NamespacedName, what string, holds func(*v1alpha1.LambdaAgent) bool) (*v1alpha1.LambdaAgent, error) {
	return await[v1alpha1.LambdaAgent](ctx, c.Lambda.LambdaV1alpha1().RESTClient(), "lambdaagents", key, what, func(a *v1alpha1.LambdaAgent) bool {
		return a.Status.ObservedGeneration == a.Generation && holds(a)
	})
}

// AwaitPod watches a pod until it is as wanted.
func (c *Clients) AwaitPod(ctx context.Context, key types.NamespacedName, what string, holds func(*corev1.Pod) bool) (*corev1.Pod, error) {
	return await[corev1.Pod](ctx, c.Kube.CoreV1().RESTClient(), "pods", key, what, holds)
}

// AwaitEvent watches for a Kubernetes event about an object with a reason.
func (c *Clients) AwaitEvent(ctx context.Context, about metav1.Object, reason string) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	selector := fields.Set{"involvedObject.uid": string(about.GetUID()), "reason": reason}.AsSelector().String()
	lw := newest(c.Kube.CoreV1().RESTClient(), "events", about.GetNamespace(), func(o *metav1.ListOptions) { o.FieldSelector = selector })
	found, err := watchtools.UntilWithSync(ctx, lw, &corev1.Event{}, nil, func(e watch.Event) (bool, error) { return e.Type != watch.Deleted, nil })
	if err != nil {
		return nil, fmt.Errorf("no event %s of %s came within %v: %w", reason, Key(about), Patience, err)
	}
	return found.Object.(*corev1.Event), nil
}

// AwaitNoPods watches the pods of a selector until there is none.
func (c *Clients) AwaitNoPods(ctx context.Context, namespace, selector string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	lw := newest(c.Kube.CoreV1().RESTClient(), "pods", namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector })
	pods := map[string]bool{}
	_, err := watchtools.UntilWithSync(ctx, lw, &corev1.Pod{}, func(store cache.Store) (bool, error) {
		for _, name := range store.ListKeys() {
			pods[name] = true
		}
		return len(pods) == 0, nil
	}, func(e watch.Event) (bool, error) {
		if pod, ok := e.Object.(*corev1.Pod); ok && e.Type == watch.Deleted {
			delete(pods, Key(pod).String())
		} else if ok {
			pods[Key(pod).String()] = true
		}
		return len(pods) == 0, nil
	})
	if err != nil && len(pods) > 0 {
		return fmt.Errorf("pods %s: %d still there after %v: %w", selector, len(pods), Patience, err)
	}
	return nil
}

// Key of an object.
func Key(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
