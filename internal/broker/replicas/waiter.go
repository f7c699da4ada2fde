// Package replicas finds out which generation of a Trigger every replica of the event
// plane serves. A replica with an old filter acknowledges events that only the new
// filter passes, so a Trigger's queue gets these only when no such replica is left.
package replicas

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// collect is how long a round waits for more Triggers before it asks for all at once.
	collect = 20 * time.Millisecond
	// minBackoff and maxBackoff are between rounds while a replica lags behind.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// Generations are the generations that a replica serves, by the UIDs of Triggers. Those
// that it does not know are missing.
type Generations map[types.UID]int64

// Options of a Waiter.
type Options struct {
	// Addresses of the replicas that are ready, host:port.
	Addresses func() []string
	// Ask one replica.
	Ask func(ctx context.Context, address string, triggers []types.UID) (Generations, error)
	// Enqueue is called when every replica serves what Serves was asked for.
	Enqueue func(types.NamespacedName)
	// Report is called with each error of Ask.
	Report func(address string, err error)
}

// Waiter waits for replicas to serve generations of Triggers.
type Waiter struct {
	options Options
	wake    chan struct{}

	mu      sync.Mutex
	pending map[types.NamespacedName]version
	served  map[types.NamespacedName]version
}

// version of a Trigger.
type version struct {
	uid        types.UID
	generation int64
}

// NewWaiter returns a Waiter; see Run.
func NewWaiter(o Options) *Waiter {
	return &Waiter{options: o, wake: make(chan struct{}, 1), pending: map[types.NamespacedName]version{}, served: map[types.NamespacedName]version{}}
}

// Serves says whether every replica that was ready has served this generation or a
// later one. If not, the Trigger is enqueued when they do.
func (w *Waiter) Serves(trigger types.NamespacedName, uid types.UID, generation int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.served[trigger]; s.uid == uid && s.generation >= generation {
		return true
	}
	w.pending[trigger] = version{uid, generation}
	w.poke()
	return false
}

// Forget a Trigger that was deleted.
func (w *Waiter) Forget(trigger types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pending, trigger)
	delete(w.served, trigger)
}

// Changed is to be called when other replicas are ready: they are asked at once.
func (w *Waiter) Changed() { w.poke() }

func (w *Waiter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run until the context ends.
func (w *Waiter) Run(ctx context.Context) {
	backoff := minBackoff
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			backoff = minBackoff
			timer.Reset(collect)
			continue
		case <-timer.C:
		}
		switch waiting, progress := w.round(ctx); {
		case waiting == 0: // Serves wakes it
			continue
		case progress:
			backoff = minBackoff
		}
		timer.Reset(backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// round asks every replica for all that is pending.
func (w *Waiter) round(ctx context.Context) (waiting int, progress bool) {
	pending, uids := w.snapshot()
	if len(pending) == 0 {
		return 0, false
	}
	lowest := w.ask(ctx, uids)
	for key, v := range pending {
		if lowest[v.uid] >= v.generation && w.settle(key, v) {
			progress = true
			w.options.Enqueue(key)
			continue
		}
		waiting++
	}
	return waiting, progress
}

func (w *Waiter) snapshot() (map[types.NamespacedName]version, []types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending := make(map[types.NamespacedName]version, len(w.pending))
	uids := make([]types.UID, 0, len(w.pending))
	for key, v := range w.pending {
		pending[key] = v
		uids = append(uids, v.uid)
	}
	return pending, uids
}

// settle a Trigger, unless a later generation is asked for by now.
func (w *Waiter) settle(key types.NamespacedName, v version) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending[key] != v {
		return false
	}
	delete(w.pending, key)
	w.served[key] = v
	return true
}

// ask all replicas at once, and return the lowest generation of each Trigger. It is
// empty if there is no replica, or one did not answer.
func (w *Waiter) ask(ctx context.Context, uids []types.UID) Generations {
	addresses := w.options.Addresses()
	answers := make([]Generations, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			answer, err := w.options.Ask(ctx, address, uids)
			if err != nil {
				w.options.Report(address, err)
				return
			}
			answers[i] = answer
		})
	}
	asking.Wait()
	lowest := Generations{}
	for _, uid := range uids {
		for i, answer := range answers {
			generation, ok := answer[uid]
			if !ok {
				delete(lowest, uid)
				break
			}
			if before, ok := lowest[uid]; i == 0 || (ok && generation < before) {
				lowest[uid] = generation
			}
		}
	}
	return lowest
}
