// Package memory implements package queue in the memory of one process. It runs
// functions on a laptop, and tests of what lies above the message broker. Nothing
// outlives the process.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

var (
	_ queue.Publisher  = (*Engine)(nil)
	_ queue.Subscriber = (*Engine)(nil)
	_ queue.Topology   = (*Engine)(nil)
)

// Engine is a message broker.
type Engine struct {
	mu     sync.Mutex // guards everything below, and what is in it
	closed bool
	queues map[string]*store
	// keys hold the queues that are bound to each key of the exchange.
	keys map[string]map[*store]bool
	// consumers of each queue by its name, whether it exists or not, in the order in
	// which they subscribed.
	consumers map[string][]*consumption
}

// New returns an empty Engine.
func New() *Engine {
	return &Engine{queues: map[string]*store{}, keys: map[string]map[*store]bool{}, consumers: map[string][]*consumption{}}
}

// Close ends every consumption and refuses what comes later.
func (e *Engine) Close(context.Context) error {
	e.mu.Lock()
	e.closed = true
	var all []*consumption
	for _, consumers := range e.consumers {
		all = append(all, consumers...)
	}
	e.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
	return nil
}

// Publish implements queue.Publisher.
func (e *Engine) Publish(ctx context.Context, keys []string, m *queue.Message) error {
	if err := queue.ValidateKeys(keys); err != nil {
		return err
	}
	return e.publish(ctx, m, func() ([]*store, error) {
		bound := map[*store]bool{}
		for _, key := range keys {
			maps.Copy(bound, e.keys[key])
		}
		if len(bound) == 0 {
			return nil, queue.ErrUnrouted
		}
		return slices.Collect(maps.Keys(bound)), nil
	})
}

// Put implements queue.Publisher.
func (e *Engine) Put(ctx context.Context, name string, m *queue.Message) error {
	if err := queue.ValidateName("queue", name); err != nil {
		return err
	}
	return e.publish(ctx, m, func() ([]*store, error) {
		s, err := e.find(name)
		return []*store{s}, err
	})
}

// publish stores a message in every queue that route finds. A full queue keeps no
// other from storing it, as in RabbitMQ.
func (e *Engine) publish(ctx context.Context, m *queue.Message, route func() ([]*store, error)) error {
	if err := m.Validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(ctx); err != nil {
		return err
	}
	stores, err := route()
	if err != nil {
		return err
	}
	for _, s := range stores {
		if s.limit > 0 && len(s.ready) >= s.limit {
			err = fmt.Errorf("%w: %s holds %d messages", queue.ErrFull, s.declaration.Name, len(s.ready))
			continue
		}
		s.append(clone(m))
		e.wake(s.declaration.Name)
	}
	return err
}

// usable is called with the lock held.
func (e *Engine) usable(ctx context.Context) error {
	if e.closed {
		return fmt.Errorf("%w: it is closed", queue.ErrUnavailable)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	return nil
}

// find a queue. It is called with the lock held.
func (e *Engine) find(name string) (*store, error) {
	if s := e.queues[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
}

// wake the consumers of a queue. It is called with the lock held.
func (e *Engine) wake(name string) {
	for _, c := range e.consumers[name] {
		select {
		case c.woken <- struct{}{}:
		default: // it has not looked since
		}
	}
}

// clone keeps a message apart from its sender's. Times have the precision of AMQP.
func clone(m *queue.Message) *queue.Message {
	headers := make(map[string]any, len(m.Headers))
	for name, value := range m.Headers {
		switch v := value.(type) {
		case []byte:
			value = append([]byte{}, v...)
		case time.Time:
			value = v.UTC().Truncate(time.Second)
		}
		headers[name] = value
	}
	return &queue.Message{Headers: headers, Body: slices.Clone(m.Body)}
}

// store is a queue.
type store struct {
	declaration queue.Declaration
	keys        map[string]bool
	limit       int // of ready messages; 0 is none
	next        uint64
	ready       []*item // by position
}

// item is a message in a queue.
type item struct {
	message     *queue.Message
	position    uint64
	redelivered bool
	stored      time.Time
}

func (s *store) append(m *queue.Message) {
	s.next++
	now := time.Now()
	s.ready = append(s.ready, &item{message: m, position: s.next, stored: now})
	if s.isStream() {
		s.ready = slices.DeleteFunc(s.ready, func(i *item) bool { return now.Sub(i.stored) > s.declaration.MaxAge })
	}
}

func (s *store) isStream() bool { return s.declaration.Kind == queue.Stream }

// after a position, the first message of a stream that is not older than since.
func (s *store) after(position uint64, since time.Time) *item {
	at := slices.IndexFunc(s.ready, func(i *item) bool { return i.position > position && !i.stored.Before(since) })
	if at < 0 {
		return nil
	}
	return s.ready[at]
}

// take the first message.
func (s *store) take() *item {
	i := s.ready[0]
	s.ready[0] = nil // the array may live on
	s.ready = s.ready[1:]
	return i
}

// giveBack puts a message where it was.
func (s *store) giveBack(i *item) {
	if s.isStream() {
		return // it is there
	}
	i.redelivered = true
	at, _ := slices.BinarySearchFunc(s.ready, i.position, func(other *item, position uint64) int {
		return cmp.Compare(other.position, position)
	})
	s.ready = slices.Insert(s.ready, at, i)
}
