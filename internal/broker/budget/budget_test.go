package budget

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestAcquire(t *testing.T) {
	t.Parallel()
	b := New(10, 100)
	var held []func()
	for range 5 {
		release := b.Acquire("greedy")
		if release == nil {
			t.Fatal("a namespace that is alone gets less than half")
		}
		held = append(held, release)
	}
	if b.Acquire("greedy") != nil {
		t.Error("one namespace got more than half")
	}
	other := b.Acquire("other")
	if other == nil {
		t.Fatal("a greedy namespace leaves nothing for another")
	}
	other()
	other() // counts once
	if requests, _ := b.InHand(); requests != 5 {
		t.Errorf("%d requests in hand, want 5", requests)
	}
	held[0]()
	if b.Acquire("greedy") == nil {
		t.Error("a request that ended makes no room")
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	b := New(10, 100)
	small, large := b.Hold("small", 10), b.Hold("large", 45)
	if small == nil || large == nil || b.Hold("large", 1) != nil {
		t.Error("want half of what the other leaves free, and no more")
	}
	if namespace, n := b.Largest(); namespace != "large" || n != 45 {
		t.Errorf("Largest() = %s, %d", namespace, n)
	}
	if _, bytes := b.InHand(); bytes != 55 || b.Bodies().Used() != 55 {
		t.Errorf("%d bytes in hand, want 55", bytes)
	}
}

// TestBudget_WhenMany: many namespaces at once never get more than there is, and nothing
// stays reserved.
func TestBudget_WhenMany(t *testing.T) {
	t.Parallel()
	b := New(20, 1000)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 2_000 {
				namespace := fmt.Sprint(r.IntN(4))
				release, bytes := b.Acquire(namespace), b.Hold(namespace, r.Int64N(300))
				if requests, held := b.InHand(); requests > 20 || held > 1000 {
					t.Errorf("%d requests and %d bytes in hand", requests, held)
				}
				for _, f := range []func(){release, bytes} {
					if f != nil {
						f()
					}
				}
			}
		})
	}
	group.Wait()
	if requests, bytes := b.InHand(); requests != 0 || bytes != 0 {
		t.Errorf("%d requests and %d bytes stay reserved", requests, bytes)
	}
}
