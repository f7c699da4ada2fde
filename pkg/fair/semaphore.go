package fair

import (
	"context"
	"sync"
)

// Semaphore has a number of places, which it shares out fairly between namespaces: a
// place that becomes free goes to the namespace that has the fewest, and none has more
// than its bound.
type Semaphore struct {
	perNamespace int

	mu      sync.Mutex
	free    int
	running map[string]int
	line    Line[*claim]
}

type claim struct {
	namespace string
	granted   chan struct{}
}

// NewSemaphore returns a Semaphore with that many places, of which one namespace has at
// most perNamespace.
func NewSemaphore(places, perNamespace int) *Semaphore {
	return &Semaphore{perNamespace: perNamespace, free: places, running: map[string]int{}}
}

// Acquire waits for a place and returns what gives it back, which must be called once.
// It returns ctx's error if ctx ends first.
func (s *Semaphore) Acquire(ctx context.Context, namespace string) (release func(), err error) {
	c := &claim{namespace, make(chan struct{})}
	s.mu.Lock()
	s.line.Join(c, namespace)
	s.grant()
	s.mu.Unlock()
	select {
	case <-c.granted:
	case <-ctx.Done():
		s.mu.Lock()
		waited := s.line.Leave(c)
		s.mu.Unlock()
		if waited {
			return nil, ctx.Err()
		}
		// The place was granted at the same moment.
	}
	return sync.OnceFunc(func() { s.giveBack(namespace) }), nil
}

// grant gives free places to those whose turn it is.
func (s *Semaphore) grant() {
	for s.free > 0 {
		c, ok := s.line.Next(s.running, s.perNamespace)
		if !ok {
			return
		}
		s.free--
		s.running[c.namespace]++
		close(c.granted)
	}
}

func (s *Semaphore) giveBack(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	if s.running[namespace]--; s.running[namespace] == 0 {
		delete(s.running, namespace)
	}
	s.grant()
}
