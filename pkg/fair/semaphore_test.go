package fair

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSemaphore: however many of one namespace wait, another gets the next free place,
// and no namespace has more than its bound.
func TestSemaphore(t *testing.T) {
	s := NewSemaphore(3, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	acquire := func(namespace string) func() {
		t.Helper()
		release, err := s.Acquire(ctx, namespace)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	first, second := acquire("a"), acquire("a")
	short, end := context.WithCancel(ctx)
	end()
	if _, err := s.Acquire(short, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a third place of one namespace: %v, want that it waits", err)
	}
	waits := make(chan func(), 1)
	go func() {
		release, err := s.Acquire(ctx, "a")
		if err != nil {
			t.Error(err)
		}
		waits <- release
	}()
	acquire("b")() // is not behind the third of a
	first()
	(<-waits)()
	second()
	second() // gives back one place, not two
	if s.free != 3 || len(s.running) != 0 || s.line.Len() != 0 {
		t.Errorf("free %d, running %v, waiting %d; want 3 free and nothing else", s.free, s.running, s.line.Len())
	}
}

// TestSemaphore_Bound: never more than the places are taken at once, and none is lost
// where callers give up.
func TestSemaphore_Bound(t *testing.T) {
	s := NewSemaphore(4, 2)
	var at, most atomic.Int32
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*time.Millisecond)
			defer cancel()
			release, err := s.Acquire(ctx, string(rune('a'+i%4)))
			if err != nil {
				return
			}
			if n := at.Add(1); n > most.Load() {
				most.Store(n)
			}
			at.Add(-1)
			release()
		})
	}
	all.Wait()
	if most.Load() > 4 || s.free != 4 || s.line.Len() != 0 {
		t.Errorf("%d at once, %d free, %d wait; want at most 4, 4 and 0", most.Load(), s.free, s.line.Len())
	}
}
