package trigger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

const (
	// sweepInterval is how often queues are searched that have no Trigger.
	sweepInterval = 10 * time.Minute
	// minOrphanAge is how long a queue has been known to have no Trigger before it is
	// deleted. It is shorter than the interval, so that two rounds have found it.
	minOrphanAge = 5 * time.Minute
	// maxSweep is how many queues one round deletes.
	maxSweep = 100
	// sweepPage is how many Triggers, of up to a megabyte each, are read at once.
	sweepPage = 20
	// sweepKey in the operator's namespace decides which replica sweeps.
	sweepKey = "queues"
)

// sweeper deletes queues whose Trigger was deleted without this controller: while none ran,
// or with a status that did not name its queues.
type sweeper struct {
	// list the queues of the installation's virtual host.
	list     func(context.Context) ([]string, error)
	triggers eventinglisters.TriggerLister
	client   eventingclientset.Interface
	queues   *queues
	// filled says whether the cache has all Triggers, and leads whether this replica sweeps.
	filled, leads func() bool

	// seen is when a queue was first found to have no Trigger. It is run's own.
	seen map[string]time.Time
}

// run until the context ends.
func (s *sweeper) run(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.round(ctx); err != nil {
			logging.FromContext(ctx).Warnw("Queues without a Trigger cannot be found or deleted; trying again", "after", sweepInterval, "error", err)
		}
	}
}

// round looks at all queues. It returns the errors of all that could not be deleted.
func (s *sweeper) round(ctx context.Context) error {
	connection := s.queues.connections.Get("")
	if connection == nil || connection.Err() != nil || !s.leads() || !s.filled() {
		s.seen = nil
		return nil //nolint:nilerr // the connection is checked, and reported, elsewhere
	}
	names, err := s.list(ctx)
	if err != nil {
		return fmt.Errorf("failed to list the queues: %w", err)
	}
	orphans, err := s.orphans(names)
	if err != nil {
		return err
	}
	s.seen = orphans
	var errs []error
	tried := 0
	for name, since := range orphans {
		if s.queues.clock.Since(since) < minOrphanAge || tried == maxSweep {
			continue
		}
		tried++
		if err := s.sweep(ctx, connection, name); err != nil {
			errs = append(errs, fmt.Errorf("queue %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// orphans are the queues whose Trigger the cache does not have, and since when.
func (s *sweeper) orphans(names []string) (map[string]time.Time, error) {
	all, err := s.triggers.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	known := make(map[types.UID]bool, len(all))
	for _, t := range all {
		known[t.UID] = true
	}
	orphans := map[string]time.Time{}
	for _, name := range names {
		owner, ok := assignment.OwnerOf(name)
		if !ok || known[owner.UID] {
			continue
		}
		since, before := s.seen[name]
		if !before {
			since = s.queues.clock.Now()
		}
		orphans[name] = since
	}
	return orphans, nil
}

// sweep deletes a queue if the API server, too, does not have its Trigger.
func (s *sweeper) sweep(ctx context.Context, connection *plane.Connection, name string) error {
	owner, _ := assignment.OwnerOf(name)
	exists, err := s.exists(ctx, owner)
	if err != nil || exists {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := s.queues.delete(ctx, connection.Topology, name); err != nil {
		return err
	}
	delete(s.seen, name)
	logging.FromContext(ctx).Infow("Deleted a queue whose Trigger does not exist", "queue", name)
	return nil
}

// exists asks the API server for a Trigger of the UID. Where the name of the queue has only
// the start of the Trigger's, it reads all of the namespace.
func (s *sweeper) exists(ctx context.Context, owner routing.Owner) (bool, error) {
	client := s.client.EventingV1().Triggers(owner.Namespace)
	if !owner.Cut {
		t, err := client.Get(ctx, owner.Name, metav1.GetOptions{})
		if apierrs.IsNotFound(err) {
			return false, nil
		}
		return err == nil && t.UID == owner.UID, err
	}
	o := metav1.ListOptions{Limit: sweepPage}
	for {
		page, err := client.List(ctx, o)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(page.Items, func(t eventingv1.Trigger) bool { return t.UID == owner.UID }) {
			return true, nil
		}
		if o.Continue = page.Continue; o.Continue == "" {
			return false, nil
		}
	}
}
