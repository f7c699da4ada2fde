package trigger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/client/clientset/versioned/fake"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// swept is a sweeper with a message broker, an API server and a cache of it.
type swept struct {
	*sweeper

	t           *testing.T
	row         *row
	cached      cache.Indexer
	leading, ok bool
	failing     error
}

func newSwept(t *testing.T) *swept {
	t.Helper()
	w := newRow()
	w.topology = ltesting.NewTopology()
	w.connections = plane.NewConnections()
	s := &swept{t: t, row: w, leading: true, ok: true, cached: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
	q := newQueues(&plane.Selector{Connections: w.connections})
	q.clock = w.clock
	must(w.connections.Add("", w.topology, func(c *plane.Connection) {
		c.Queues = func(context.Context) ([]string, error) {
			return slices.Concat(slices.Collect(maps.Keys(w.topology.Bindings())), []string{"lambda.delay.10s", "lambda.dlq.team.orders", "theirs"}), s.failing
		}
	}).Check(t.Context()))
	s.sweeper = &sweeper{
		triggers: eventinglisters.NewTriggerLister(s.cached), client: fake.NewSimpleClientset(), queues: q,
		filled: func() bool { return s.ok }, leads: func() bool { return s.leading },
	}
	return s
}

// add a Trigger with its queue.
func (s *swept) add(name string, inCache, inAPI bool) {
	s.t.Helper()
	t := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID(name[:min(len(name), 36)] + "-uid")}}
	must(s.row.topology.Declare(s.t.Context(), queue.Declaration{Name: assignment.Queues(t)[0]}))
	if inCache {
		must(s.cached.Add(t))
	}
	if inAPI {
		_, err := s.client.EventingV1().Triggers("team").Create(s.t.Context(), t, metav1.CreateOptions{})
		must(err)
	}
}

// rounds of the sweeper, and what was deleted.
func (s *swept) rounds(n int) (deleted int) {
	s.t.Helper()
	s.row.topology.Writes()
	for range n {
		if err := s.round(s.t.Context()); err != nil && s.failing == nil {
			s.t.Error(err)
		}
		s.row.clock.SetTime(s.row.clock.Now().Add(sweepInterval))
	}
	return len(s.row.topology.Writes())
}

func (s *swept) left(want ...string) {
	s.t.Helper()
	got := []string{}
	for name := range s.row.topology.Bindings() {
		owner, _ := assignment.OwnerOf(name)
		got = append(got, owner.Name[:min(len(owner.Name), 8)])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Errorf("queues of %v, want of %v", got, want)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	s := newSwept(t)
	s.add("cached", true, true)
	s.add("lagging", false, true) // the cache does not have it
	s.add("orphan", false, false)
	s.add(strings.Repeat("long", 50), false, true)
	s.add(strings.Repeat("lost", 50), false, false)
	// Another Trigger has the name now.
	s.add("renewed", false, false)
	_, err := s.client.EventingV1().Triggers("team").Create(t.Context(), &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Name: "renewed", UID: "other"}}, metav1.CreateOptions{})
	must(err)
	if n := s.rounds(1); n != 0 {
		t.Errorf("the first round deleted %d queues", n)
	}
	if n := s.rounds(1); n != 3 {
		t.Errorf("the second round deleted %d queues, want 3", n)
	}
	s.left("cached", "lagging", "longlong")
}

// TestSweep_DeletesNothing while it is not certain what has no Trigger.
func TestSweep_DeletesNothing(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*swept){
		"another replica leads":   func(s *swept) { s.leading = false },
		"the cache is not filled": func(s *swept) { s.ok = false },
		"no management API":       func(s *swept) { s.failing = errors.New("not configured") },
		"RabbitMQ is away": func(s *swept) {
			s.row.topology.Fail(errors.New("connection refused"))
			_ = s.row.connections.Get("").Check(context.Background())
			s.row.topology.Fail(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSwept(t)
			s.add("orphan", false, false)
			fail(s)
			if n := s.rounds(3); n != 0 {
				t.Errorf("deleted %d queues", n)
			}
		})
	}
}

func TestSweep_Bounded(t *testing.T) {
	t.Parallel()
	s := newSwept(t)
	for i := range maxSweep + 20 {
		s.add(fmt.Sprintf("orphan-%d", i), false, false)
	}
	s.rounds(1)
	for _, want := range []int{maxSweep, 20, 0} {
		if n := s.rounds(1); n != want {
			t.Errorf("a round deleted %d queues, want %d", n, want)
		}
	}
}
