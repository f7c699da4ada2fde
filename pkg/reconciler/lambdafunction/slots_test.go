package lambdafunction

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// world of slots: the Jobs that the cache has, and who was enqueued.
type world struct {
	*slots
	clock    *clocktesting.FakePassiveClock
	cache    []*batchv1.Job
	enqueued []string
}

func newWorld() *world {
	w := &world{clock: clocktesting.NewFakePassiveClock(time.Unix(1, 0))}
	w.slots = newSlots(func(k types.NamespacedName) { w.enqueued = append(w.enqueued, k.String()) },
		func() ([]*batchv1.Job, error) { return w.cache, nil }, w.clock)
	return w
}

// appears puts a Job into the cache.
func (w *world) appears(namespace, name, image string) {
	w.cache = append(w.cache, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
		Annotations: map[string]string{lambda.ImageAnnotationKey: image}}})
}

// ends takes a Job out of the cache and tells the slots.
func (w *world) ends(namespace, name string) {
	for i, j := range w.cache {
		if j.Namespace == namespace && j.Name == name {
			w.cache = append(w.cache[:i:i], w.cache[i+1:]...)
		}
	}
	w.freed(types.NamespacedName{Namespace: namespace, Name: name})
}

// asks for a slot for a function's Job of the same name.
func (w *world) asks(t *testing.T, namespace, name, image string, most, mostPerNamespace int) grant {
	t.Helper()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	g, err := w.take(claim{function: key, job: key, reference: image}, &config.Build{MaxParallel: most, MaxParallelPerNamespace: mostPerNamespace})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// wantEnqueued since the last time this was asked.
func (w *world) wantEnqueued(t *testing.T, want ...string) {
	t.Helper()
	got := slices.Compact(slices.Sorted(slices.Values(w.enqueued)))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("enqueued %v, want %v", got, want)
	}
	w.enqueued = nil
}

func want(t *testing.T, got, want grant) {
	t.Helper()
	if got != want {
		t.Errorf("take() = %+v, want %+v", got, want)
	}
}

func TestSlotsAreBounded(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 2, 2), grant{ok: true})
	want(t, w.asks(t, "a", "1", "i1", 2, 2), grant{ok: true}) // the same Job again
	want(t, w.asks(t, "b", "1", "i2", 2, 2), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i3", 2, 2), grant{before: 0})
	want(t, w.asks(t, "a", "3", "i4", 2, 2), grant{before: 1})
	want(t, w.asks(t, "a", "2", "i3", 2, 2), grant{before: 0}) // asking again keeps the place
	w.appears("a", "1", "i1")
	want(t, w.asks(t, "a", "3", "i4", 2, 2), grant{before: 1}) // what the cache has is counted once
	w.wantEnqueued(t)
	w.ends("a", "1")
	w.wantEnqueued(t, "a/2", "a/3")                            // the one has the slot, the other is the next
	want(t, w.asks(t, "a", "4", "i5", 2, 2), grant{before: 1}) // nobody overtakes
	want(t, w.asks(t, "a", "2", "i3", 2, 2), grant{ok: true})
	want(t, w.asks(t, "a", "3", "i4", 2, 2), grant{before: 0})
	w.forget(types.NamespacedName{Namespace: "a", Name: "3"})
	w.wantEnqueued(t, "a/4")
	want(t, w.asks(t, "a", "4", "i5", 2, 2), grant{before: 0})
	want(t, w.asks(t, "a", "4", "i5", 3, 3), grant{ok: true}) // with another configuration
}

// TestSlotsAreFair: the namespace with the fewest builds comes first, and who has
// to wait longer by that is told.
func TestSlotsAreFair(t *testing.T) {
	w := newWorld()
	for _, name := range []string{"1", "2"} {
		want(t, w.asks(t, "crowd", name, "i"+name, 3, 3), grant{ok: true})
	}
	want(t, w.asks(t, "one", "1", "i", 3, 3), grant{ok: true})
	for i, name := range []string{"3", "4", "5"} {
		want(t, w.asks(t, "crowd", name, "i"+name, 3, 3), grant{before: i})
	}
	want(t, w.asks(t, "one", "2", "j", 3, 3), grant{before: 0})
	w.wantEnqueued(t, "crowd/3", "crowd/4", "crowd/5")
	want(t, w.asks(t, "crowd", "3", "i3", 3, 3), grant{before: 1})
	w.ends("crowd", "1") // one each: the crowd's turn is longer ago
	w.wantEnqueued(t, "crowd/3", "crowd/4", "crowd/5")
	w.ends("crowd", "2") // one each again
	w.wantEnqueued(t, "one/2", "crowd/4", "crowd/5")
	want(t, w.asks(t, "one", "2", "j", 3, 3), grant{ok: true})
	want(t, w.asks(t, "crowd", "3", "i3", 3, 3), grant{ok: true})
	want(t, w.asks(t, "crowd", "4", "i4", 3, 3), grant{before: 0})
}

// TestSlotsThatAreNotTaken: a function that has its turn and wants no build any
// more, or another one, keeps no slot.
func TestSlotsThatAreNotTaken(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 1, 1), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i2", 1, 1), grant{before: 0})
	want(t, w.asks(t, "b", "3", "i3", 1, 1), grant{before: 0})
	w.ends("a", "1")
	w.forget(types.NamespacedName{Namespace: "b", Name: "3"})
	want(t, w.asks(t, "a", "2", "i2", 1, 1), grant{ok: true})

	edited := claim{function: types.NamespacedName{Namespace: "a", Name: "2"}, job: types.NamespacedName{Namespace: "a", Name: "2-edited"}, reference: "i4"}
	if g, err := w.take(edited, &config.Build{MaxParallel: 1, MaxParallelPerNamespace: 1}); err != nil || !g.ok {
		t.Errorf("take() = %+v, %v for the newer spec, want its slot of before", g, err)
	}
}

func TestSlotsOfANamespace(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 8, 1), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i2", 8, 1), grant{before: 0})
	want(t, w.asks(t, "b", "1", "i3", 8, 1), grant{ok: true})
	w.cancel(types.NamespacedName{Namespace: "a", Name: "1"}) // its Job could not be made
	w.wantEnqueued(t, "a/2")
	want(t, w.asks(t, "a", "2", "i2", 8, 1), grant{ok: true})
}

// TestALongLine: however many wait, a build that ends makes a bounded number of
// them be told something new.
func TestALongLine(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "0", "i0", 1, 1), grant{ok: true})
	const many = 1000
	for i := range many {
		got := w.asks(t, "a", fmt.Sprint(i+1), fmt.Sprint("i", i+1), 1, 1)
		want(t, got, grant{before: coarse(i)})
	}
	w.wantEnqueued(t)
	w.ends("a", "0")
	if n := len(w.enqueued); n < fewBuilds || n > 2*fewBuilds {
		t.Errorf("%d of %d were enqueued by one build that ended: %v", n, many, w.enqueued)
	}
}

func TestCoarse(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 9: 9, 10: 10, 19: 10, 20: 20, 49: 20, 50: 50, 99: 50, 100: 100, 199: 100, 200: 200, 999: 500, 1000: 1000, 54321: 50000} {
		if got := coarse(n); got != want {
			t.Errorf("coarse(%d) = %d, want %d", n, got, want)
		}
	}
	cfg := &config.Build{MaxParallel: 8, MaxParallelPerNamespace: 4}
	for before, want := range map[int]string{0: "This build is the next; ", 1: "1 build is before this one; ", 3: "3 builds are before this one; ", 20: "At least 20 builds are before this one; "} {
		if got := queued(before, cfg); got != want+"8 build at once, 4 of them in one namespace." {
			t.Errorf("queued(%d) = %q, want it to begin with %q", before, got, want)
		}
	}
}

// TestKueueTakesNoSlot: what Kueue queues is not queued twice, but an image is
// built once still.
func TestKueueTakesNoSlot(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 1, 1), grant{ok: true})
	cfg := &config.Build{MaxParallel: 1, MaxParallelPerNamespace: 1}
	for _, tt := range []struct {
		name, reference string
		want            grant
	}{{"2", "i2", grant{ok: true}}, {"3", "i3", grant{ok: true}}, {"4", "i2", grant{shared: "2"}}} {
		key := types.NamespacedName{Namespace: "a", Name: tt.name}
		g, err := w.take(claim{function: key, job: key, reference: tt.reference, kueue: true}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		want(t, g, tt.want)
	}
	w.appears("a", "2", "i2")
	w.cache[0].Labels = map[string]string{lambda.KueueQueueLabelKey: "q"}
	want(t, w.asks(t, "a", "5", "i5", 2, 2), grant{ok: true}) // beside the first
}

// TestALineOfTheSameImage: who waits for what another builds by now is told so.
func TestALineOfTheSameImage(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 1, 1), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i2", 1, 1), grant{before: 0})
	want(t, w.asks(t, "a", "3", "i2", 1, 1), grant{before: 1})
	w.ends("a", "1")
	want(t, w.asks(t, "a", "2", "i2", 1, 1), grant{ok: true})
	want(t, w.asks(t, "a", "3", "i2", 1, 1), grant{shared: "2"})
}

func TestOneBuildOfAnImage(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i", 8, 8), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i", 8, 8), grant{shared: "1"}) // before the cache has the Job
	w.appears("a", "1", "i")
	want(t, w.asks(t, "a", "2", "i", 8, 8), grant{shared: "1"}) // and after
	want(t, w.asks(t, "b", "2", "i", 8, 8), grant{ok: true})    // other namespaces have other rights
	w.ends("a", "1")
	want(t, w.asks(t, "a", "2", "i", 8, 8), grant{ok: true})
}

func TestSlotsAtOnce(t *testing.T) {
	w := newWorld()
	var wg sync.WaitGroup
	granted := make(chan bool, 50)
	for i := range 50 {
		wg.Go(func() { granted <- w.asks(t, "a", fmt.Sprint(i), "i", 50, 50).ok })
	}
	wg.Wait()
	close(granted)
	builds := 0
	for ok := range granted {
		if ok {
			builds++
		}
	}
	if builds != 1 {
		t.Errorf("%d of 50 functions build the same image at once, want one", builds)
	}
}

// TestSlotsAreMeasured: how many wait, and how long each has.
func TestSlotsAreMeasured(t *testing.T) {
	var waits []time.Duration
	w := newWorld()
	w.waited = func(d time.Duration) { waits = append(waits, d) }
	w.asks(t, "a", "one", "1", 1, 1)
	w.appears("a", "one", "1")
	w.asks(t, "a", "two", "2", 1, 1)
	w.clock.SetTime(w.clock.Now().Add(3 * time.Second))
	w.asks(t, "a", "two", "2", 1, 1) // it waits on
	w.asks(t, "b", "three", "3", 1, 1)
	if got := w.depth(); got != 2 {
		t.Errorf("%d builds wait, want 2", got)
	}
	w.clock.SetTime(w.clock.Now().Add(4 * time.Second))
	w.ends("a", "one")
	if want := []time.Duration{0, 7 * time.Second}; w.depth() != 1 || !slices.Equal(waits, want) {
		t.Errorf("waited %v, and %d do; want %v and 1", waits, w.depth(), want)
	}
	w.ends("a", "two")
	if want := []time.Duration{0, 7 * time.Second, 4 * time.Second}; w.depth() != 0 || !slices.Equal(waits, want) {
		t.Errorf("waited %v, and %d do; want %v and none", waits, w.depth(), want)
	}
}

func TestSlotsWithoutCache(t *testing.T) {
	broken := errors.New("the cache is broken")
	s := newSlots(func(types.NamespacedName) {}, func() ([]*batchv1.Job, error) { return nil, broken }, clocktesting.NewFakePassiveClock(time.Unix(1, 0)))
	if g, err := s.take(claim{reference: "i"}, &config.Build{MaxParallel: 1, MaxParallelPerNamespace: 1}); !errors.Is(err, broken) || g.ok {
		t.Errorf("take() = %+v, %v, want the cache's error", g, err)
	}
}
