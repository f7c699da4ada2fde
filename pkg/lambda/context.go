package lambda

import (
	"context"
	"sync"
	"time"
)

// invocationContext is the context of an invocation: it ends with it, or at its
// deadline. What that takes is made when the handler asks for it, for many never
// do.
type invocationContext struct {
	context.Context // of the request
	call            *Context

	mu     sync.Mutex
	limit  context.Context // with the deadline
	cancel context.CancelFunc
	ended  bool
}

// Deadline implements context.Context.
func (c *invocationContext) Deadline() (time.Time, bool) {
	if earlier, ok := c.Context.Deadline(); ok && earlier.Before(c.call.deadline) {
		return earlier, true
	}
	return c.call.deadline, true
}

// Done implements context.Context.
func (c *invocationContext) Done() <-chan struct{} { return c.limited().Done() }

// Err implements context.Context.
func (c *invocationContext) Err() error { return c.limited().Err() }

// AfterFunc saves contexts that are made of this one a goroutine.
func (c *invocationContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.limited(), f)
}

// Value implements context.Context.
func (c *invocationContext) Value(key any) any {
	if key == (contextKey{}) {
		return c.call
	}
	return c.Context.Value(key)
}

func (c *invocationContext) limited() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == nil {
		c.limit, c.cancel = context.WithDeadline(c.Context, c.call.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.limit
}

// end ends the context with its invocation.
func (c *invocationContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}
