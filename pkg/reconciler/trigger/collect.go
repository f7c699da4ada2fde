package trigger

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const (
	// collectInterval is how often connections are searched that nothing uses. Two rounds
	// have to find one, confirmInterval apart: its Broker may be too new for the cache.
	collectInterval = time.Minute
	confirmInterval = 15 * time.Second
	// settleInterval is between an object's deletion and a round, in which others follow.
	settleInterval = 5 * time.Second
	// collectKey in the operator's namespace decides which replica removes them.
	collectKey = "connections"
)

// registry of the connections of Brokers.
type registry interface {
	Names() []string
	Remove(ctx context.Context, names ...string) error
}

// collector removes connections that no Broker, Trigger or tombstone uses.
type collector struct {
	kube      kubernetes.Interface
	namespace string
	registry  registry
	brokers   eventinglisters.BrokerLister
	triggers  eventinglisters.TriggerLister
	// filled says whether the caches have all, and leads whether this replica collects.
	filled, leads func() bool

	unused map[string]bool // in the last round
	wake   chan struct{}
}

// deleted is to be called when a Broker or a Trigger was: it may be the last
// that used a connection.
func (c *collector) deleted(any) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run until the context ends.
func (c *collector) run(ctx context.Context) {
	timer := time.NewTimer(collectInterval)
	defer timer.Stop()
	due := time.Now().Add(collectInterval)
	in := func(d time.Duration) {
		due = time.Now().Add(d)
		timer.Reset(d)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			// A round that confirms another keeps its distance, and none is put off.
			if len(c.unused) == 0 && time.Until(due) > settleInterval {
				in(settleInterval)
			}
			continue
		case <-timer.C:
		}
		if err := c.round(ctx); err != nil {
			logging.FromContext(ctx).Warnw("Connections that nothing uses cannot be removed; trying again", "after", collectInterval, "error", err)
		}
		in(c.next())
	}
}

// next round is soon if one found a connection that another has to confirm.
func (c *collector) next() time.Duration {
	if len(c.unused) > 0 {
		return confirmInterval
	}
	return collectInterval
}

func (c *collector) round(ctx context.Context) error {
	before := c.unused
	c.unused = map[string]bool{}
	names := c.registry.Names()
	if len(names) == 0 || !c.leads() || !c.filled() {
		return nil
	}
	used, err := c.used(ctx)
	if err != nil {
		return err
	}
	var remove []string
	for _, name := range names {
		if used[name] {
			continue
		}
		if c.unused[name] = true; before[name] {
			remove = append(remove, name)
		}
	}
	return c.registry.Remove(ctx, remove...)
}

// used connections.
func (c *collector) used(ctx context.Context) (map[string]bool, error) {
	used := map[string]bool{}
	brokers, err := c.brokers.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, b := range brokers {
		if name, ok := assignment.Connected(b); ok && assignment.Serves(b) {
			used[name] = true
		}
	}
	triggers, err := c.triggers.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	for _, t := range triggers {
		used[assignment.Of(t).Connection] = true
	}
	tombstones, err := c.kube.CoreV1().ConfigMaps(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: lambda.TombstoneLabelKey})
	if err != nil {
		return nil, fmt.Errorf("failed to list the tombstones of Triggers: %w", err)
	}
	for i := range tombstones.Items {
		used[tombstones.Items[i].Data[tombstoneConnection]] = true
	}
	return used, nil
}
