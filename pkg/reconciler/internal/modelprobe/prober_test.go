package modelprobe

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

var (
	one = types.NamespacedName{Namespace: "team", Name: "one"}
	two = types.NamespacedName{Namespace: "team", Name: "two"}

	here     = Endpoint{Provider: "ollama", URL: "http://here.test"}
	small    = Model{here, "small"}
	large    = Model{here, "large"}
	settings = Settings{Interval: time.Minute, Timeout: time.Second}
	dead     = Verdict{Reason: ReasonUnreachable, Message: "It is down.", Dead: true}
)

// world is a Prober with endpoints and a clock of the test's.
type world struct {
	*Prober
	clock *clocktesting.FakeClock
	told  chan types.NamespacedName
	asked chan []string

	mu      sync.Mutex
	verdict map[string]Verdict
	leads   bool
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clocktesting.NewFakeClock(time.Unix(1000, 0)), told: make(chan types.NamespacedName, 100), asked: make(chan []string, 100), leads: true}
	w.Prober = New(Options{
		Enqueue: func(k types.NamespacedName) { w.told <- k },
		Leads: func(types.NamespacedName) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.leads
		},
		Clock: w.clock,
		Ask: func(_ context.Context, _ Endpoint, models []string) map[string]Verdict {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked <- models
			verdicts := map[string]Verdict{}
			for _, m := range models {
				verdicts[m] = w.verdict[m]
			}
			return verdicts
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

// says what models are like from now on.
func (w *world) says(verdicts map[string]Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verdict = verdicts
}

func receive[T any](t *testing.T, from chan T, what string) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(time.Minute):
		t.Fatal("waited in vain for", what)
		panic("unreachable")
	}
}

// later lets time pass until the endpoint has been asked again and its verdicts are
// recorded, and tells how long that was.
func (w *world) later(t *testing.T, step time.Duration) time.Duration {
	t.Helper()
	from := w.clock.Now()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		w.clock.Step(step)
		select {
		case <-w.asked:
			w.recorded(t)
			return w.clock.Since(from)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the endpoint was not asked again")
	return 0
}

// recorded waits until the verdicts of the newest probe are in force.
func (w *world) recorded(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		known, ok := w.poller.Peek(here)
		if ok && known.last.Equal(w.clock.Now().Truncate(time.Second)) {
			return
		}
	}
	t.Fatal("the verdicts are not recorded")
}

func (w *world) quiet(t *testing.T) {
	t.Helper()
	select {
	case k := <-w.told:
		t.Errorf("%s was told of no news", k)
	default:
	}
}

func (w *world) check(t *testing.T, key types.NamespacedName, m Model, want Verdict, known bool) {
	t.Helper()
	got := w.Check(key, settings, []Model{m})[0]
	if got.Verdict != want || got.Time.IsZero() == known {
		t.Errorf("Check(%s) = %+v, want %+v, known: %t", m.Name, got, want, known)
	}
}

// TestNews: an outcome is told, another one too, the same again is not; each time to
// those that it is news to.
func TestNews(t *testing.T) {
	w := start(t)
	w.check(t, one, small, Verdict{}, false)
	receive(t, w.asked, "the first probe")
	if k := receive(t, w.told, "the first outcome"); k != one {
		t.Errorf("%s was told", k)
	}
	w.check(t, one, small, Verdict{}, true)

	w.check(t, two, large, Verdict{}, false) // at the same endpoint, soon
	w.later(t, gap)
	if k := receive(t, w.told, "the first outcome of the other model"); k != two {
		t.Errorf("%s was told, want %s only", k, two)
	}
	w.quiet(t)

	w.later(t, 10*time.Second) // the same again
	w.quiet(t)

	w.says(map[string]Verdict{"large": {Reason: ReasonModelNotFound}})
	w.later(t, 10*time.Second)
	if k := receive(t, w.told, "a model that is gone"); k != two {
		t.Errorf("%s was told, want %s only", k, two)
	}
	w.quiet(t)
	w.check(t, one, small, Verdict{}, true)
	w.check(t, two, large, Verdict{Reason: ReasonModelNotFound}, true)
}

// TestTimeIsTold: not of each probe, and yet now and then.
func TestTimeIsTold(t *testing.T) {
	w := start(t)
	w.check(t, one, small, Verdict{}, false)
	receive(t, w.asked, "the first probe")
	receive(t, w.told, "the first outcome")
	first := w.Check(one, settings, []Model{small})[0].Time
	for since := time.Duration(0); since < tellEvery-3*time.Minute; {
		since += w.later(t, time.Minute)
	}
	w.quiet(t)
	if got := w.Check(one, settings, []Model{small})[0].Time; !got.Equal(first) {
		t.Errorf("time = %v, want %v still", got, first)
	}
	for range 8 {
		w.later(t, time.Minute)
	}
	receive(t, w.told, "the time of the last probe")
	w.quiet(t)
	if got := w.Check(one, settings, []Model{small})[0].Time; got.Sub(first) < tellEvery {
		t.Errorf("time = %v, want later than %v", got, first)
	}
}

// TestBackoff: who is dead is asked less and less often, and as often as before when
// it is back.
func TestBackoff(t *testing.T) {
	w := start(t)
	w.says(map[string]Verdict{"small": dead})
	w.check(t, one, small, Verdict{}, false)
	receive(t, w.asked, "the first probe")
	receive(t, w.told, "the first outcome")
	for i, least := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, maxBackoff, maxBackoff} {
		if waited, almost := w.later(t, 5*time.Second), least*9/10; waited < almost-10*time.Second {
			t.Errorf("asked again %v after failure %d, want %v or more", waited, i+1, almost)
		}
	}
	w.says(nil)
	w.later(t, 5*time.Second)
	receive(t, w.told, "that it is back")
	if waited := w.later(t, 5*time.Second); waited > 2*time.Minute {
		t.Errorf("asked again after %v, want the interval again", waited)
	}
}

// TestNobody: probes end with the last who uses an endpoint, and with the
// responsibility for it; a spec that names another model changes it.
func TestNobody(t *testing.T) {
	for name, end := range map[string]func(*world){
		"forgotten":       func(w *world) { w.Forget(one); w.Forget(one) },
		"another's":       func(w *world) { w.mu.Lock(); w.leads = false; w.mu.Unlock() },
		"probes are off":  func(w *world) { w.Check(one, Settings{}, []Model{small}) },
		"another address": func(w *world) { w.Check(one, settings, []Model{{Endpoint{"ollama", "http://there.test"}, "small"}}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.check(t, one, small, Verdict{}, false)
			receive(t, w.asked, "the first probe")
			receive(t, w.told, "the first outcome")
			end(w)
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				w.clock.Step(time.Minute)
				if !w.poller.Wanted(here) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("the endpoint is probed still")
				}
			}
		})
	}
}

// TestShorterInterval: it does not wait for the end of the old one.
func TestShorterInterval(t *testing.T) {
	w := start(t)
	slow := Settings{Interval: 24 * time.Hour, Timeout: time.Second}
	w.Check(one, slow, []Model{small})
	receive(t, w.asked, "the first probe")
	receive(t, w.told, "the first outcome")
	w.check(t, one, small, Verdict{}, true)
	if waited := w.later(t, 5*time.Second); waited > 2*time.Minute {
		t.Errorf("asked again after %v, want the new interval", waited)
	}
}

// TestOneTenantIsSlow: endpoints of one tenant that never answer do not delay the probe
// of another's.
func TestOneTenantIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Duration
		began := time.Now()
		p := New(Options{
			Enqueue: func(types.NamespacedName) {}, Leads: func(types.NamespacedName) bool { return true }, Clock: clock.RealClock{},
			Ask: func(ctx context.Context, e Endpoint, models []string) map[string]Verdict {
				if e == here {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, time.Since(began))
					return map[string]Verdict{models[0]: {}}
				}
				<-ctx.Done()
				return map[string]Verdict{models[0]: dead}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(ctx) }()
		slow := Settings{Interval: time.Minute, Timeout: 10 * time.Second}
		for i := range 96 {
			p.Check(types.NamespacedName{Namespace: "slow", Name: fmt.Sprint(i)}, slow, []Model{{Endpoint{"ollama", fmt.Sprintf("http://slow-%d.test", i)}, "m"}})
		}
		time.Sleep(time.Second) // of the bubble's clock
		p.Check(one, slow, []Model{small})
		time.Sleep(10 * time.Minute)
		cancel()
		<-done
		if len(asked) < 8 || asked[0] > slow.Timeout {
			t.Errorf("asked at %v, want at once and then each minute", asked)
		}
	})
}
