package deadletters

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// verifyInterval is how often each queue is looked at.
	verifyInterval = time.Minute
	// pace is the time between two queues that are looked at.
	pace = 20 * time.Millisecond
	// sweepInterval is how often queues are searched that have no owner.
	sweepInterval = time.Hour

	prefix      = "lambda.dlq."
	agentsInfix = "agents."
)

// Owner of a queue.
type Owner struct {
	types.NamespacedName
	// Agent says that it is an agent; otherwise it is a function.
	Agent bool
}

// OwnerOf a queue, by its name.
func OwnerOf(name string) (o Owner, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return o, false
	}
	o.Namespace, o.Name, ok = strings.Cut(rest, ".")
	o.Name, o.Agent = strings.CutPrefix(o.Name, agentsInfix)
	return o, ok && o.Namespace != "" && o.Name != "" && !strings.Contains(o.Name, ".")
}

// Run tries again what has failed, finds queues that RabbitMQ has lost, and deletes those
// whose owner was deleted while no controller ran. owned says whether a queue has an
// owner, or is another replica's to delete.
func (q *Queues) Run(ctx context.Context, owned func(context.Context, Owner) (bool, error)) {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	var verified, swept time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		topology, err := q.options.Topology()
		if err != nil {
			continue // its return resets
		}
		q.Retry(ctx)
		if time.Since(verified) >= verifyInterval {
			verified = time.Now()
			q.Verify(ctx, topology)
		}
		if q.isNew() || time.Since(swept) >= sweepInterval {
			swept = time.Now()
			q.Sweep(ctx, owned)
		}
	}
}

// isNew says whether there was a reset since it was last called.
func (q *Queues) isNew() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	is := q.swept != q.epoch
	q.swept = q.epoch
	return is
}

// selected are the names of queues by what is known of them, in order.
func (q *Queues) selected(wanted func(state) bool) (names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(q.known)) {
		if wanted(q.known[name]) {
			names = append(names, name)
		}
	}
	return names
}

// Retry deletes what is still to be deleted, and reports queues that are not declared.
func (q *Queues) Retry(ctx context.Context) {
	for _, name := range q.selected(func(s state) bool { return s.doomed }) {
		if err := q.deleteDoomed(ctx, name); err != nil {
			slog.WarnContext(ctx, "A dead letter queue cannot be deleted; trying again", "queue", name, "error", err)
		}
	}
	unsettled := func(s state) bool {
		return !s.doomed && !s.absent && (!s.declared || s.bounds == nil || s.refusal != nil)
	}
	for _, name := range q.selected(unsettled) {
		q.report(name)
	}
}

func (q *Queues) deleteDoomed(ctx context.Context, name string) error {
	defer q.lock(name)()
	if s, _ := q.load(name); !s.doomed {
		return nil // Ensure wants it
	}
	return q.delete(ctx, name)
}

// Verify looks at the queues that are declared, and reports those that RabbitMQ has lost
// and those that have not their own bounds.
func (q *Queues) Verify(ctx context.Context, topology queue.Topology) {
	for _, name := range q.selected(func(s state) bool { return s.declared && s.refusal != nil }) {
		q.report(name)
	}
	for _, name := range q.selected(func(s state) bool { return s.declared }) {
		err := within(ctx, func(ctx context.Context) error {
			_, err := topology.Inspect(ctx, name)
			return err
		})
		switch {
		case errors.Is(err, queue.ErrNoQueue):
			q.lose(name)
		case err != nil:
			q.options.Failed()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pace):
		}
	}
}

// lose a queue, unless it was deleted on purpose.
func (q *Queues) lose(name string) {
	unlock := q.lock(name)
	s, epoch := q.load(name)
	lost := s.declared && !s.doomed
	q.store(name, s.forgotten(), epoch) // its bounds may be lost, too
	unlock()
	if lost {
		q.report(name)
	}
}

func (q *Queues) report(name string) {
	q.mu.Lock()
	observers := slices.Clone(q.observers)
	q.mu.Unlock()
	for _, changed := range observers {
		changed(name)
	}
}

// Sweep deletes queues without an owner.
func (q *Queues) Sweep(ctx context.Context, owned func(context.Context, Owner) (bool, error)) {
	names, err := q.options.Policies.Queues(ctx)
	if err != nil {
		slog.InfoContext(ctx, "Dead letter queues of deleted owners cannot be searched", "error", err)
		return
	}
	for _, name := range names {
		owner, ok := OwnerOf(name)
		if !ok {
			continue
		}
		has, err := owned(ctx, owner)
		if err == nil && !has {
			slog.InfoContext(ctx, "Deleting a dead letter queue whose owner was deleted", "queue", name)
			err = q.Delete(ctx, name)
		}
		if err != nil {
			slog.WarnContext(ctx, "A dead letter queue cannot be swept", "queue", name, "error", err)
		}
	}
}
