package trigger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// leading is a generated reconciler.
type leading interface {
	controller.Reconciler
	reconciler.LeaderAware
	IsLeaderFor(types.NamespacedName) bool
}

// guard keeps the generated reconciler away from Triggers of other classes. It writes a
// finalizer and conditions to every Trigger whose key it is given, and those of other
// classes have a controller of their own.
type guard struct {
	generated leading
	triggers  eventinglisters.TriggerLister
	owners    *owners
	client    eventingclientset.Interface
	queues    *queues
	orphans   *orphans
}

var _ leading = (*guard)(nil)

// Promote implements reconciler.LeaderAware.
func (g *guard) Promote(b reconciler.Bucket, enqueue func(reconciler.Bucket, types.NamespacedName)) error {
	return g.generated.Promote(b, enqueue)
}

// Demote implements reconciler.LeaderAware.
func (g *guard) Demote(b reconciler.Bucket) { g.generated.Demote(b) }

// IsLeaderFor says whether this replica reconciles a Trigger.
func (g *guard) IsLeaderFor(key types.NamespacedName) bool { return g.generated.IsLeaderFor(key) }

// Reconcile implements controller.Reconciler.
func (g *guard) Reconcile(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil || !g.IsLeaderFor(types.NamespacedName{Namespace: namespace, Name: name}) {
		return g.generated.Reconcile(ctx, key) // it does nothing but say so
	}
	if err := g.orphans.clean(ctx, types.NamespacedName{Namespace: namespace, Name: name}); err != nil {
		return err
	}
	t, err := g.triggers.Triggers(namespace).Get(name)
	if apierrs.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	switch g.owners.of(t) {
	case foreign:
		return nil
	case left:
		return g.release(ctx, t.DeepCopy())
	default:
		return g.generated.Reconcile(ctx, key)
	}
}

// release a Trigger whose Broker is of another class now. Unlike at its deletion
// nothing waits for the queues to be deleted, so this is tried until it succeeds.
func (g *guard) release(ctx context.Context, t *eventingv1.Trigger) error {
	if err := g.queues.remove(ctx, t); err != nil {
		return fmt.Errorf("failed to delete the queues of a Trigger whose Broker has another class: %w", err)
	}
	client := g.client.EventingV1().Triggers(t.Namespace)
	if assignment.Of(t).Queue != "" {
		assignment.Assignment{}.Record(t)
		updated, err := client.UpdateStatus(ctx, t, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("failed to remove the queues from the Trigger's status: %w", err)
		}
		t = updated
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": slices.DeleteFunc(slices.Clone(t.Finalizers), func(f string) bool { return f == lambda.TriggerFinalizer }),
		// A conflict if another controller has changed the finalizers meanwhile.
		"resourceVersion": t.ResourceVersion,
	}})
	if err != nil {
		return err
	}
	if _, err = client.Patch(ctx, t.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("failed to remove the finalizer of the Trigger: %w", err)
	}
	return nil
}
