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
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
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
	triggers eventinglisters.TriggerLister
	client   eventingclientset.Interface
	queues   *queues
	// filled says whether the cache has all Triggers, and leads whether this replica sweeps.
	filled, leads func() bool

	// seen is when a queue was first found to have no Trigger, by its connection. It is
	// run's own.
	seen map[string]map[string]time.Time
}

// run until the context ends.
func (s *sweeper) run(ctx context.Context) {
	every(ctx, sweepInterval, func() {
		if err := s.round(ctx); err != nil {
			logging.FromContext(ctx).Warnw("Queues without a Trigger cannot be found or deleted; trying again", "after", sweepInterval, "error", err)
		}
	})
}

// every runs a round after each interval until the context ends.
func every(ctx context.Context, interval time.Duration, round func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			round()
		}
	}
}

// round looks at the queues of all connections. It returns the errors of all that could
// not be deleted.
func (s *sweeper) round(ctx context.Context) error {
	before := s.seen
	s.seen = map[string]map[string]time.Time{}
	if !s.leads() || !s.filled() {
		return nil
	}
	var errs []error
	for _, name := range s.queues.connections.Names() {
		connection := s.queues.connections.Get(name)
		if connection == nil || connection.Err() != nil || connection.Queues == nil {
			continue // the connection is checked, and reported, elsewhere
		}
		if err := s.roundOf(ctx, connection, before[name]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// roundOf one connection. Where another installation shares the virtual host, queues
// without a Trigger may be that one's.
func (s *sweeper) roundOf(ctx context.Context, connection *plane.Connection, seen map[string]time.Time) error {
	names, err := connection.Queues(ctx)
	switch {
	case connection.Name != "" && errors.Is(err, management.ErrNotConfigured):
		return nil // it is optional there
	case err != nil:
		return fmt.Errorf("failed to list the queues of connection %q: %w", connection.Name, err)
	case connection.Shared(names):
		return nil
	}
	orphans, err := s.orphans(names, seen)
	if err != nil {
		return err
	}
	s.seen[connection.Name] = orphans
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
func (s *sweeper) orphans(names []string, seen map[string]time.Time) (map[string]time.Time, error) {
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
		since, before := seen[name]
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
	delete(s.seen[connection.Name], name)
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
