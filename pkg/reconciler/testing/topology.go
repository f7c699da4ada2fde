package testing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// Topology is a message broker that has queues and bindings and no messages of its own.
type Topology struct {
	mu sync.Mutex
	// err fails every operation.
	err      error
	exchange bool
	queues   map[string]*fakeQueue
	writes   []string
}

type fakeQueue struct {
	declaration queue.Declaration
	keys        map[string]bool
	state       queue.State
}

var _ queue.Topology = (*Topology)(nil)

// NewTopology has nothing.
func NewTopology() *Topology { return &Topology{queues: map[string]*fakeQueue{}} }

// Fail every operation with the error, nil for none.
func (t *Topology) Fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// Lose everything that was declared.
func (t *Topology) Lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exchange, t.queues = false, map[string]*fakeQueue{}
}

// Set the state of a queue.
func (t *Topology) Set(name string, s queue.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queues[name].state = s
}

// Bindings are the keys of each queue, in order, without the queues that all Triggers
// share, which have none.
func (t *Topology) Bindings() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string][]string{}
	shared := append(delay.Queues(), calls.Outcomes)
	for name, q := range t.queues {
		if slices.Contains(shared, name) {
			continue
		}
		all[name] = slices.Sorted(maps.Keys(q.keys))
	}
	return all
}

// Writes are the operations that changed something since the last call, in order.
func (t *Topology) Writes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.writes
	t.writes = nil
	return w
}

// do an operation on a queue. The operation says whether it changed something.
func (t *Topology) do(verb, name string, operation func(q *fakeQueue) (bool, error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	changed, err := operation(t.queues[name])
	if changed {
		t.writes = append(t.writes, verb+" "+name)
	}
	return err
}

// DeclareExchange implements queue.Topology.
func (t *Topology) DeclareExchange(context.Context) error {
	return t.do("exchange", queue.Exchange, func(*fakeQueue) (bool, error) {
		changed := !t.exchange
		t.exchange = true
		return changed, nil
	})
}

// Declare implements queue.Topology.
func (t *Topology) Declare(_ context.Context, d queue.Declaration) error {
	return t.do("declare", d.Name, func(q *fakeQueue) (bool, error) {
		switch {
		case q == nil:
			t.queues[d.Name] = &fakeQueue{declaration: d, keys: map[string]bool{}}
			return true, nil
		case q.declaration != d:
			return false, fmt.Errorf("%w: %q", queue.ErrConflict, d.Name)
		}
		return false, nil
	})
}

// Inspect implements queue.Topology.
func (t *Topology) Inspect(_ context.Context, name string) (s queue.State, err error) {
	err = t.do("inspect", name, func(q *fakeQueue) (bool, error) {
		if q == nil {
			return false, fmt.Errorf("%w: %q", queue.ErrNoQueue, name)
		}
		s = q.state
		return false, nil
	})
	return s, err
}

// Bind implements queue.Topology.
func (t *Topology) Bind(_ context.Context, name, key string) error {
	return t.do("bind "+key, name, func(q *fakeQueue) (bool, error) {
		if q == nil {
			return false, fmt.Errorf("%w: %q", queue.ErrNoQueue, name)
		}
		changed := !q.keys[key]
		q.keys[key] = true
		return changed, nil
	})
}

// Unbind implements queue.Topology.
func (t *Topology) Unbind(_ context.Context, name, key string) error {
	return t.do("unbind "+key, name, func(q *fakeQueue) (bool, error) {
		if q == nil || !q.keys[key] {
			return false, nil
		}
		delete(q.keys, key)
		return true, nil
	})
}

// Delete implements queue.Topology.
func (t *Topology) Delete(_ context.Context, name string) error {
	return t.do("delete", name, func(q *fakeQueue) (bool, error) {
		delete(t.queues, name)
		return q != nil, nil
	})
}
