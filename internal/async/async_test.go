package async

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

var (
	one = Key{Namespace: "team", Name: "one"}
	two = Key{Namespace: "other", Name: "two"}
)

// answer of the test's calls.
type answer struct {
	text string
	err  error
}

// fixture is a Poller in a bubble of synctest, whose time is fake.
type fixture struct {
	*Poller[string, string, answer]
	mu       sync.Mutex
	calls    map[string][]time.Duration // when each call began
	enqueued map[Key]int
	answers  map[string]answer
	takes    map[string]time.Duration
	notLed   map[Key]bool
	most     int // calls at once, of those that take time
	atOnce   int
	began    time.Time
	then     Then
}

const interval = time.Minute

// bubble runs a test with a Poller of 8 places, 4 for a namespace and 6 for a host.
func bubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{calls: map[string][]time.Duration{}, enqueued: map[Key]int{}, answers: map[string]answer{}, takes: map[string]time.Duration{}, notLed: map[Key]bool{}, began: time.Now(), then: Repeat}
		f.Poller = New(Options[string, string, answer]{
			Name: "test", Clock: clock.RealClock{}, Parallel: 8, PerNamespace: 4, PerHost: 6,
			Call:    f.call,
			Host:    func(id string) string { return map[bool]string{true: "shared"}[id[0] == '@'] },
			Failed:  func(a answer) bool { return a.err != nil },
			Changed: func(_ string, before *answer, after answer) bool { return before == nil || *before != after },
			Next: func(_ []string, a answer, failures int) (Then, time.Duration) {
				if a.err != nil {
					return Repeat, min(time.Second<<failures, interval)
				}
				return f.then, interval
			},
			Enqueue: func(k Key) { f.mu.Lock(); f.enqueued[k]++; f.mu.Unlock() },
			Leads:   func(k Key) bool { f.mu.Lock(); defer f.mu.Unlock(); return !f.notLed[k] },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.Run(ctx) }()
		test(t, f)
		cancel()
		<-done
	})
}

func (f *fixture) call(ctx context.Context, id string, _ []string) answer {
	f.mu.Lock()
	f.calls[id] = append(f.calls[id], time.Since(f.began))
	f.atOnce++
	f.most = max(f.most, f.atOnce)
	a, takes := f.answers[id], f.takes[id]
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	f.mu.Lock()
	f.atOnce--
	f.mu.Unlock()
	return a
}

func (f *fixture) slow(id string, takes time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takes[id], f.answers[id] = takes, answer{err: err}
}

func (f *fixture) times(id string) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Duration(nil), f.calls[id]...)
}

func (f *fixture) count(k Key) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.enqueued[k]
}

// after lets fake time pass.
func after(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// TestCheck: pending at first, then the result; equal calls are made once, repeated on
// the interval, and news is for all that want it.
func TestCheck(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.answers["a"] = answer{text: "1"}
		for _, k := range []Key{one, two} {
			if _, ok := f.Check(k, "a", ""); ok {
				t.Error("a result before the call")
			}
		}
		after(time.Second)
		if got, ok := f.Check(one, "a", ""); !ok || got.text != "1" || f.count(one) != 1 || f.count(two) != 1 || len(f.times("a")) != 1 {
			t.Errorf("Check() = %v, %t; enqueued %v, called at %v", got, ok, f.enqueued, f.times("a"))
		}
		after(interval)
		if len(f.times("a")) != 2 || f.count(one) != 1 {
			t.Errorf("called at %v, enqueued %d times; want twice and once", f.times("a"), f.count(one))
		}
		f.mu.Lock()
		f.answers["a"] = answer{text: "2"}
		f.mu.Unlock()
		after(interval)
		if got, _ := f.Check(one, "a", ""); got.text != "2" || f.count(one) != 2 || f.count(two) != 2 {
			t.Errorf("Check() = %v, enqueued %v", got, f.enqueued)
		}
	})
}

// TestBackoff: failures in a row are retried with growing delays.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.slow("a", 0, errors.New("down"))
		f.Check(one, "a", "")
		after(31 * time.Second) // at 0, 2, 6, 14 and 30 s
		if n := len(f.times("a")); n != 5 || f.count(one) != 1 {
			t.Errorf("called at %v and enqueued %d times, want 5 calls and the failure reported once", f.times("a"), f.count(one))
		}
	})
}

// TestForget: what nobody wants, or another replica is responsible for, is not called.
func TestForget(t *testing.T) {
	for name, leave := range map[string]func(*fixture){
		"forgotten":      func(f *fixture) { f.Forget(one) },
		"another's":      func(f *fixture) { f.mu.Lock(); f.notLed[one] = true; f.mu.Unlock() },
		"another call":   func(f *fixture) { f.Check(one, "b", ""); f.Retain(one, "b") },
		"while it waits": func(f *fixture) { f.Check(two, "a", ""); f.Forget(one); f.Forget(two) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.Check(one, "a", "")
				after(time.Second)
				leave(f)
				after(10 * interval)
				left := f.Wanted("a")
				if n := len(f.times("a")); n != 1 || left {
					t.Errorf("called %d times, kept: %t", n, left)
				}
			})
		})
	}
}

// TestExpire: a result that expires is asked for again when somebody wants it, and not
// before; one that is kept stays.
func TestExpire(t *testing.T) {
	for then, want := range map[Then]int{Expire: 2, Keep: 1} {
		bubble(t, func(t *testing.T, f *fixture) {
			f.then = then
			f.Check(one, "a", "")
			after(10 * interval)
			if n := len(f.times("a")); n != 1 {
				t.Errorf("%d: called %d times before anybody asked", then, n)
			}
			_, ok := f.Check(one, "a", "")
			after(time.Second)
			if _, again := f.Check(one, "a", ""); ok != (then == Keep) || !again || len(f.times("a")) != want {
				t.Errorf("%d: kept %t, called at %v, want %d calls", then, ok, f.times("a"), want)
			}
		})
	}
}

// TestOneTenantIsSlow: 96 slow calls of one tenant, to hosts of their own or to one, do
// not delay another's first call, nor its interval.
func TestOneTenantIsSlow(t *testing.T) {
	const takes = 20 * time.Second
	for name, id := range map[string]string{"hosts of their own": "slow-%d", "one host": "@slow-%d"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				for i := range 96 {
					id := fmt.Sprintf(id, i)
					f.slow(id, takes, context.DeadlineExceeded)
					f.Check(Key{Namespace: "slow", Name: id}, id, "")
				}
				after(time.Second)
				f.Check(two, "mine", "")
				after(20 * time.Minute)
				times := f.times("mine")
				if len(times) < 19 || times[0] > takes {
					t.Fatalf("called at %v, want within %v and each %v", times, takes, interval)
				}
				for i := 1; i < len(times); i++ {
					if gap := times[i] - times[i-1]; gap > interval+time.Second {
						t.Errorf("a gap of %v before call %d, want %v", gap, i, interval)
					}
				}
				if f.most > 5 {
					t.Errorf("%d calls at once, want 4 of the slow tenant and one", f.most)
				}
			})
		})
	}
}

// TestManyTenantsAreSlow: also where all places are taken by slow calls, a first call
// waits for one of them at most; and what failed before has half of the places.
func TestManyTenantsAreSlow(t *testing.T) {
	const takes = 20 * time.Second
	bubble(t, func(t *testing.T, f *fixture) {
		for i := range 96 {
			id := fmt.Sprintf("slow-%d", i)
			f.slow(id, takes, context.DeadlineExceeded)
			f.Check(Key{Namespace: fmt.Sprintf("slow-%d", i%12), Name: id}, id, "")
		}
		after(time.Second)
		f.Check(two, "early", "")
		after(30 * time.Minute) // all have failed by now
		f.mu.Lock()
		f.most = f.atOnce
		f.mu.Unlock()
		now := time.Since(f.began)
		f.Check(two, "late", "")
		after(10 * time.Minute)
		if at := f.times("early"); len(at) == 0 || at[0] > takes+time.Second {
			t.Errorf("called at %v, want within one call's time", at)
		}
		if at := f.times("late"); len(at) == 0 || at[0] != now {
			t.Errorf("called at %v, want at once, at %v: half of the places are free", at, now)
		}
		if f.most > 5 {
			t.Errorf("%d calls at once, want 4 that failed before and one", f.most)
		}
	})
}

// TestSharedCall: a call that two namespaces want is on account of the one with fewer
// calls: another tenant's line does not delay it.
func TestSharedCall(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		for i := range 40 {
			id := fmt.Sprintf("slow-%d", i)
			f.slow(id, 20*time.Second, nil)
			f.Check(Key{Namespace: "slow", Name: id}, id, "")
		}
		f.Check(Key{Namespace: "slow", Name: "shared"}, "shared", "")
		after(time.Second)
		f.Check(two, "shared", "")
		f.Check(two, "mine", "") // its turn makes the line move
		after(time.Second)
		if at := f.times("shared"); len(at) != 1 {
			t.Errorf("called at %v, want at once", at)
		}
	})
}

// TestHost: one host that all use does not have all places.
func TestHost(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		for i := range 24 {
			id := fmt.Sprintf("@%d", i)
			f.slow(id, 20*time.Second, nil)
			f.Check(Key{Namespace: fmt.Sprint(i), Name: id}, id, "")
		}
		after(time.Second)
		f.mu.Lock()
		most := f.most
		f.mu.Unlock()
		f.Check(two, "elsewhere", "")
		after(time.Second)
		if at := f.times("elsewhere"); most != 6 || len(at) != 1 {
			t.Errorf("%d calls at once to the host, want 6; another called at %v, want at once", most, at)
		}
	})
}
