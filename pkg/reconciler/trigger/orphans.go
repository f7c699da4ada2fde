package trigger

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
)

// orphans are Triggers that were deleted without this controller's finalizer, which anyone
// who may edit a Trigger can remove. Those that are deleted while no controller runs are
// left to the sweep.
type orphans struct {
	owners     *owners
	queues     *queues
	tombstones *tombstones
	leads      func(types.NamespacedName) bool

	mu      sync.Mutex
	deleted map[types.NamespacedName][]*eventingv1.Trigger
}

func newOrphans(o *owners, q *queues, t *tombstones, leads func(types.NamespacedName) bool) *orphans {
	return &orphans{owners: o, queues: q, tombstones: t, leads: leads, deleted: map[types.NamespacedName][]*eventingv1.Trigger{}}
}

// observe the deletion of a Trigger. It returns the key that is to be reconciled, and false
// if there is nothing to do.
func (o *orphans) observe(obj any) (key types.NamespacedName, clean bool) {
	if deleted, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = deleted.Obj
	}
	t, ok := obj.(*eventingv1.Trigger)
	if !ok || (assignment.Of(t).Queue == "" && o.owners.of(t) == foreign) {
		return key, false
	}
	key = types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
	if o.queues.removed(t) || !o.leads(key) {
		return key, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deleted[key] = append(o.deleted[key], t)
	return key, true
}

// clean up after the Triggers that had this name.
func (o *orphans) clean(ctx context.Context, key types.NamespacedName) error {
	o.mu.Lock()
	all := o.deleted[key]
	delete(o.deleted, key)
	o.mu.Unlock()
	for i, t := range all {
		err := o.queues.remove(ctx, t)
		if err == nil {
			continue
		}
		logging.FromContext(ctx).Warnw("The queues of a deleted Trigger are deleted when RabbitMQ is back", "error", err)
		if err := o.tombstones.write(ctx, t); err != nil {
			o.mu.Lock()
			o.deleted[key] = append(o.deleted[key], all[i:]...)
			o.mu.Unlock()
			return fmt.Errorf("failed to clean up after a deleted Trigger: %w", err)
		}
	}
	return nil
}
