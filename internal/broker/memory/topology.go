package memory

import (
	"context"
	"fmt"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// DeclareExchange implements queue.Topology. The exchange always exists.
func (e *Engine) DeclareExchange(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.usable(ctx)
}

// Declare implements queue.Topology.
func (e *Engine) Declare(ctx context.Context, d queue.Declaration) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if d.Kind == "" {
		d.Kind = queue.Quorum
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return err
	}
	if s := e.queues[d.Name]; s == nil {
		e.queues[d.Name] = &store{declaration: d, keys: map[string]bool{}}
		e.wake(d.Name)
	} else if s.declaration != d {
		return fmt.Errorf("%w: %s", queue.ErrConflict, d.Name)
	}
	return nil
}

// Limit a queue to a number of ready messages; 0 is no limit.
func (e *Engine) Limit(_ context.Context, name string, messages int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.find(name)
	if err == nil {
		s.limit = messages
	}
	return err
}

// Inspect implements queue.Topology.
func (e *Engine) Inspect(ctx context.Context, name string) (queue.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return queue.State{}, err
	}
	s, err := e.find(name)
	if err != nil {
		return queue.State{}, err
	}
	return queue.State{Messages: len(s.ready), Consumers: len(e.consumers[name])}, nil
}

// Bind implements queue.Topology.
func (e *Engine) Bind(ctx context.Context, name, key string) error {
	if err := queue.ValidateName("key", key); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return err
	}
	s, err := e.find(name)
	if err != nil {
		return err
	}
	if e.keys[key] == nil {
		e.keys[key] = map[*store]bool{}
	}
	e.keys[key][s], s.keys[key] = true, true
	return nil
}

// Unbind implements queue.Topology.
func (e *Engine) Unbind(ctx context.Context, name, key string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return err
	}
	if s := e.queues[name]; s != nil {
		e.unbind(s, key)
	}
	return nil
}

func (e *Engine) unbind(s *store, key string) {
	delete(s.keys, key)
	delete(e.keys[key], s)
	if len(e.keys[key]) == 0 {
		delete(e.keys, key)
	}
}

// Delete implements queue.Topology.
func (e *Engine) Delete(ctx context.Context, name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return err
	}
	s := e.queues[name]
	if s == nil {
		return nil
	}
	for key := range s.keys {
		e.unbind(s, key)
	}
	delete(e.queues, name)
	for _, c := range e.consumers[name] {
		clear(c.inHand) // of the deleted queue: they no longer count
	}
	e.wake(name)
	return nil
}
