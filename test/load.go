package test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"knative.dev/pkg/apis"
)

// loadRate is how many requests a Load begins in a second: enough that no change
// of revisions falls between two, few enough to leave the machine to the change.
const loadRate = 50

// maxFailures that a Load remembers.
const maxFailures = 10

// Load is a steady stream of requests to a function.
type Load struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	requests int
	failed   int
	failures []string
	seen     map[string]chan struct{}
}

// StartLoad calls a function until Stop. Anything but 200 is a failure.
func (c *Clients) StartLoad(ctx context.Context, url *apis.URL) *Load {
	ctx, stop := context.WithCancel(ctx)
	l := &Load{stop: stop, seen: map[string]chan struct{}{}}
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		ticker := time.NewTicker(time.Second / loadRate)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				l.done.Add(1)
				go l.call(context.WithoutCancel(ctx), c, url) // what has begun is answered
			}
		}
	}()
	return l
}

func (l *Load) call(ctx context.Context, c *Clients, url *apis.URL) {
	defer l.done.Done()
	start := time.Now()
	answer, err := c.Call(ctx, url, "{}")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if err == nil && answer.Status == http.StatusOK {
		l.arrive(answer.Body)
		return
	}
	l.failed++
	if len(l.failures) < maxFailures {
		l.failures = append(l.failures, fmt.Sprintf("after %v: %v %v", time.Since(start).Round(time.Millisecond), answer, err))
	}
}

// arrive tells those who wait for the body that it came.
func (l *Load) arrive(body string) {
	ch, ok := l.seen[body]
	if !ok {
		ch = make(chan struct{})
		l.seen[body] = ch
	}
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// Await waits until a body has been answered.
func (l *Load) Await(ctx context.Context, body string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	l.mu.Lock()
	ch, ok := l.seen[body]
	if !ok {
		ch = make(chan struct{})
		l.seen[body] = ch
	}
	l.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no request was answered with %s: %w", body, ctx.Err())
	}
}

// Stop ends the load and tells how many requests were answered and what of them
// failed.
func (l *Load) Stop() (requests, failed int, failures []string) {
	l.stop()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests, l.failed, l.failures
}
