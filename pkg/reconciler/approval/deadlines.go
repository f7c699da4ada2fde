package approval

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const (
	// deadlineWorkers decide requests whose time is over.
	deadlineWorkers = 4
	// deadlineRetry of a decision that could not be written.
	deadlineRetry = time.Second
)

// deadlines decides requests when their time is over. It has a queue and workers of its
// own, so that neither calls nor the number of other requests delay a decision.
type deadlines struct {
	decider *decider
	queue   workqueue.TypedDelayingInterface[types.NamespacedName]
}

func newDeadlines(d *decider, c clock.WithTicker) *deadlines {
	return &deadlines{decider: d, queue: workqueue.NewTypedDelayingQueueWithConfig(
		workqueue.TypedDelayingQueueConfig[types.NamespacedName]{Name: "approval-deadlines", Clock: c})}
}

// watch a request: a handler of informers.
func (d *deadlines) watch(obj any) {
	if r, ok := obj.(*v1alpha1.ApprovalRequest); ok && r.Status.Decision == "" {
		d.queue.AddAfter(types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, r.Spec.Deadline.Sub(d.decider.clock.Now()))
	}
}

// run until the context ends.
func (d *deadlines) run(ctx context.Context) {
	defer context.AfterFunc(ctx, d.queue.ShutDown)()
	var workers sync.WaitGroup
	for range deadlineWorkers {
		workers.Go(func() {
			for {
				key, quit := d.queue.Get()
				if quit {
					return
				}
				d.decide(ctx, key)
				d.queue.Done(key)
			}
		})
	}
	workers.Wait()
}

// decide a request, if this replica is responsible for it and it is not decided yet.
func (d *deadlines) decide(ctx context.Context, key types.NamespacedName) {
	if !d.decider.IsLeaderFor(key) {
		return // promotion adds it again
	}
	r, _, err := d.decider.load(key)
	if err == nil && r != nil && r.Status.Decision == "" {
		if left := r.Spec.Deadline.Sub(d.decider.clock.Now()); left > 0 {
			d.queue.AddAfter(key, left)
			return
		}
		err = d.decider.expire(ctx, r)
	}
	if err != nil && ctx.Err() == nil {
		if !errors.Is(err, errChanged) { // else it is decided, or the cache is behind
			logging.FromContext(ctx).Warnw("The deadline of an approval could not be recorded; it is retried", "key", key.String(), "error", err)
		}
		d.queue.AddAfter(key, deadlineRetry)
	}
}
