package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/audit"
)

// writes are those of the operator, as watches of the namespace show them: the objects
// that it makes, and changes of their specs; and all changes of agents, which nobody
// else makes once they are there.
type writes struct {
	mu          sync.Mutex
	counted     audit.Written
	created     map[string]int
	generations map[types.UID]int64
	at          time.Time
	err         error
}

// childKinds are those that the operator makes for an agent, in an order in which they
// can be made.
var childKinds = []schema.GroupVersionResource{
	{Group: "", Version: "v1", Resource: "configmaps"},
	{Group: "serving.knative.dev", Version: "v1", Resource: "services"},
	{Group: "eventing.knative.dev", Version: "v1", Resource: "brokers"},
	{Group: "eventing.knative.dev", Version: "v1", Resource: "triggers"},
}

// kinds in which the operator writes.
var kinds = append([]schema.GroupVersionResource{lambda.LambdaAgentResource.WithVersion("v1alpha1")}, childKinds...)

// count begins to watch a namespace that has no agents yet.
func count(ctx context.Context, client dynamic.Interface, namespace string) (*writes, error) {
	w := &writes{counted: audit.Written{}, created: map[string]int{}, generations: map[types.UID]int64{}, at: time.Now()}
	for _, kind := range kinds {
		options := metav1.ListOptions{LabelSelector: lambda.Selector}
		if kind.Resource == lambda.LambdaAgentResource.Resource {
			options.LabelSelector = ""
		}
		from, err := client.Resource(kind).Namespace(namespace).Watch(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.Resource, err)
		}
		go w.follow(ctx, kind.Resource, from)
	}
	return w, nil
}

func (w *writes) follow(ctx context.Context, resource string, from watch.Interface) {
	defer from.Stop()
	for e := range from.ResultChan() {
		o, err := meta.Accessor(e.Object)
		if err != nil {
			w.fail(fmt.Errorf("the watch of %s: %v", resource, e.Object))
			return
		}
		w.see(resource, e.Type, o)
	}
	if ctx.Err() == nil {
		w.fail(errors.New("the watch of " + resource + " ended"))
	}
}

func (w *writes) see(resource string, kind watch.EventType, o metav1.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	agent := resource == lambda.LambdaAgentResource.Resource
	before, known := w.generations[o.GetUID()]
	w.generations[o.GetUID()] = o.GetGeneration()
	var what string
	switch {
	case kind == watch.Added && !known && !agent:
		w.created[resource]++
		what = "create "
	case kind == watch.Modified && (agent || o.GetGeneration() != before):
		what = "update "
	case kind == watch.Deleted:
		what = "delete "
	default:
		return // by somebody else
	}
	w.counted[what+resource]++
	w.at = time.Now()
}

func (w *writes) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

func (w *writes) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// made is how many of a resource were created.
func (w *writes) made(resource string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.created[resource]
}

// last is when something was written.
func (w *writes) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// take what was counted, and count from nothing.
func (w *writes) take() audit.Written {
	w.mu.Lock()
	defer w.mu.Unlock()
	counted := w.counted
	w.counted = audit.Written{}
	return counted
}
