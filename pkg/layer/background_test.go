package layer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

// workshop is a Background whose images are made when the test says so.
type workshop struct {
	*Background
	t        *testing.T
	begun    chan *Request
	finish   chan build.Outcome
	enqueued chan types.NamespacedName
}

// inWorkshop runs a test in a bubble of synctest, whose time is fake.
func inWorkshop(t *testing.T, test func(t *testing.T, w *workshop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{t: t, begun: make(chan *Request, 100), finish: make(chan build.Outcome), enqueued: make(chan types.NamespacedName, 100)}
		maker := newMaker(noSecrets)
		all := func(types.NamespacedName) bool { return true }
		w.Background = NewBackground(maker, func(k types.NamespacedName) { w.enqueued <- k }, all, clock.RealClock{})
		w.make = func(_ context.Context, r *Request) (build.Outcome, bool) {
			w.begun <- r
			return <-w.finish, false
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		test(t, w)
		cancel()
		<-done
	})
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("it did not come")
		panic("unreachable")
	}
}

func (w *workshop) pending(k types.NamespacedName, r *Request) {
	w.t.Helper()
	if _, err := w.Build(k, r); !errors.Is(err, ErrPending) {
		w.t.Fatalf("Build(%s) = %v, want ErrPending", k, err)
	}
}

func TestBackgroundSharesEqualBuilds(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		r := &Request{Namespace: "a", Reference: "i:1", Attempt: 1}
		w.pending(key("a", "1"), r)
		w.pending(key("a", "2"), &Request{Namespace: "a", Reference: "i:1", Attempt: 1})
		w.pending(key("a", "1"), r)
		next(t, w.begun)
		w.finish <- build.Outcome{Digest: "sha256:1"}
		if one, two := next(t, w.enqueued), next(t, w.enqueued); one == two {
			t.Errorf("enqueued %s twice, want both functions", one)
		}
		if got, err := w.Build(key("a", "2"), r); err != nil || got.Digest != "sha256:1" {
			t.Errorf("Build() = %+v, %v, want the image", got, err)
		}
		if len(w.begun) > 0 {
			t.Error("the image is made twice")
		}
		w.Lost("i:1")
		w.pending(key("a", "1"), r)
		next(t, w.begun)
		w.finish <- build.Outcome{Digest: "sha256:1"}
		next(t, w.enqueued)
		// Another namespace has other rights, another Secret too.
		w.pending(key("b", "1"), &Request{Namespace: "b", Reference: "i:1", Attempt: 1})
		w.pending(key("a", "3"), &Request{Namespace: "a", Reference: "i:1", PushSecret: "s", Attempt: 1})
		next(t, w.begun)
		next(t, w.begun)
		w.finish <- build.Outcome{}
		w.finish <- build.Outcome{}
		next(t, w.enqueued)
		next(t, w.enqueued)
	})
}

func TestBackgroundTriesAgain(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		w.pending(key("a", "1"), &Request{Namespace: "a", Reference: "i:1", Attempt: 1})
		next(t, w.begun)
		w.finish <- build.Outcome{Reason: build.ReasonRegistryUnreachable}
		next(t, w.enqueued)
		if got, err := w.Build(key("a", "1"), &Request{Namespace: "a", Reference: "i:1", Attempt: 1}); err != nil || got.Reason != build.ReasonRegistryUnreachable {
			t.Errorf("Build() = %+v, %v, want the failure told as long as it may not be recorded yet", got, err)
		}
		w.pending(key("a", "1"), &Request{Namespace: "a", Reference: "i:1", Attempt: 2})
		next(t, w.begun)
		w.finish <- build.Outcome{}
		next(t, w.enqueued)
		time.Sleep(failedFor) // of the bubble's clock
		w.pending(key("a", "1"), &Request{Namespace: "a", Reference: "i:1", Attempt: 2})
		next(t, w.begun)
		w.finish <- build.Outcome{}
		next(t, w.enqueued)
	})
}

// TestBackgroundIsFair: a namespace with many builds leaves room for others, and
// all together are bounded.
func TestBackgroundIsFair(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		for i := range 20 {
			w.pending(key("crowd", fmt.Sprint(i)), &Request{Namespace: "crowd", Reference: fmt.Sprint("i:", i), Attempt: 1})
		}
		w.pending(key("one", "1"), &Request{Namespace: "one", Reference: "i:1", Attempt: 1})
		running := map[string]int{}
		for range perNamespace + 1 {
			running[next(t, w.begun).Namespace]++
		}
		if running["crowd"] != perNamespace || running["one"] != 1 || len(w.begun) > 0 {
			t.Errorf("running: %v, want %d of the crowd beside the one", running, perNamespace)
		}
		for range 21 {
			w.finish <- build.Outcome{Digest: "sha256:1"}
			next(t, w.enqueued)
		}
		if synctest.Wait(); w.Depth() != 0 {
			t.Errorf("%d wait when all is done", w.Depth())
		}
	})
}

func TestCacheMakesOnce(t *testing.T) {
	c := newCache[int](clocktesting.NewFakePassiveClock(time.Unix(1, 0)), 2)
	made := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, _ = c.get("a", time.Minute, func() (int, error) {
				mu.Lock()
				defer mu.Unlock()
				made++
				return made, nil
			})
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("made %d times, want once", made)
	}
	if _, err := c.get("failing", time.Minute, func() (int, error) { return 0, errors.New("no") }); err == nil {
		t.Error("no error from what failed")
	}
	c.put("b", 2, time.Hour)
	c.put("c", 3, time.Hour)
	if _, ok := c.look("a"); ok {
		t.Error("what expires first is kept over the bound")
	}
}

// TestLineIsMeasured: how many wait, and how long each has.
func TestLineIsMeasured(t *testing.T) {
	inWorkshop(t, func(t *testing.T, w *workshop) {
		waits := make(chan time.Duration, 100)
		w.Waited = func(d time.Duration) { waits <- d }
		for i := range perNamespace + 1 {
			w.pending(key("team", fmt.Sprint(i)), &Request{Namespace: "team", Reference: fmt.Sprint(i)})
		}
		for range perNamespace {
			if d := next(t, waits); d != 0 {
				t.Errorf("one that need not wait did so for %v", d)
			}
			next(t, w.begun)
		}
		synctest.Wait()
		if got := w.Depth(); got != 1 {
			t.Errorf("%d wait, want 1", got)
		}
		time.Sleep(2 * time.Second) // of the bubble's clock
		w.finish <- build.Outcome{Digest: "sha256:x"}
		if d := next(t, waits); d != 2*time.Second || w.Depth() != 0 {
			t.Errorf("it waited for %v, and %d do; want 2s and none", d, w.Depth())
		}
		for range perNamespace {
			w.finish <- build.Outcome{Digest: "sha256:x"}
		}
	})
}
