package sourcewatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

var (
	one = types.NamespacedName{Namespace: "team", Name: "one"}
	two = types.NamespacedName{Namespace: "team", Name: "two"}
)

// world is a Watcher with sources, Secrets and a clock of the test's.
type world struct {
	*Watcher
	clock  *clocktesting.FakeClock
	told   chan types.NamespacedName
	asked  chan source.Credentials
	mu     sync.Mutex
	answer func(source.Request) (*source.Resolved, error)
	leads  bool
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clocktesting.NewFakeClock(time.Unix(1000, 0)), told: make(chan types.NamespacedName, 100), asked: make(chan source.Credentials, 100), leads: true}
	w.says("a", nil)
	w.Watcher = New(Options{
		Enqueue: func(k types.NamespacedName) { w.told <- k },
		Leads: func(types.NamespacedName) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.leads
		},
		Secret: func(_ context.Context, _, name string) (*corev1.Secret, error) {
			if name == "missing" {
				return nil, apierrs.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
			}
			return &corev1.Secret{Data: map[string][]byte{"name": []byte(name)}}, nil
		},
		Clock: w.clock,
		Resolve: func(_ context.Context, r source.Request, c source.Credentials) (*source.Resolved, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked <- c
			return w.answer(r)
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

// says what every source answers from now on.
func (w *world) says(commit string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = func(r source.Request) (*source.Resolved, error) {
		if err != nil {
			return nil, err
		}
		return &source.Resolved{Request: r, Digest: "sha256:" + commit, Commit: commit}, nil
	}
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

// quiet checks that nobody was told of anything, once the workers have come to
// rest: whoever waits for the clock has put a timer on it.
func (w *world) quiet(t *testing.T) {
	t.Helper()
	select {
	case k := <-w.told:
		t.Errorf("%s was told of no news", k)
	default:
	}
}

// later lets time pass once the source waits to be asked again, until it is.
func (w *world) later(t *testing.T, d time.Duration) source.Credentials {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		w.clock.Step(d)
		select {
		case c := <-w.asked:
			return c
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the source was not asked again")
	return nil
}

func query(secret string) Query {
	return Query{Request: source.Request{Git: &source.Git{URL: "https://git.example/a.git", Ref: "main"}}, Namespace: "team", Secret: secret, Interval: time.Minute}
}

func (w *world) check(t *testing.T, key types.NamespacedName, q Query, commit string, want error) {
	t.Helper()
	got, err := w.Check(key, q)
	if (want == nil) != (err == nil) || want != nil && !errors.Is(err, want) && err.Error() != want.Error() {
		t.Errorf("Check() = %v, want %v", err, want)
	}
	switch {
	case commit == "" && got != nil:
		t.Errorf("Check() = %+v, want nothing yet", got)
	case commit != "" && (got == nil || got.Commit != commit):
		t.Errorf("Check() = %+v, want commit %s", got, commit)
	}
}

// TestNews: an answer is told, a new one too, the same again is not.
func TestNews(t *testing.T) {
	w := start(t)
	w.check(t, one, query(""), "", ErrPending)
	if k := receive(t, w.told, "the first answer"); k != one {
		t.Errorf("%s was told", k)
	}
	receive(t, w.asked, "the first question")
	w.check(t, one, query(""), "a", nil)

	w.later(t, 70*time.Second)
	w.check(t, one, query(""), "a", nil)
	w.says("b", nil)
	w.later(t, 70*time.Second)
	receive(t, w.told, "the new commit")
	w.check(t, one, query(""), "b", nil)
	w.quiet(t)
}

// TestFaults: what is wrong is told once, and the last good answer is kept.
func TestFaults(t *testing.T) {
	w := start(t)
	if _, err := w.Check(one, query("")); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	receive(t, w.told, "the first answer")
	receive(t, w.asked, "the first question")

	away := errors.New("the server is away")
	w.says("", away)
	w.later(t, 70*time.Second)
	receive(t, w.told, "that the server is away")
	w.check(t, one, query(""), "a", away)
	w.says("", errors.New("the server is away: another port"))
	w.later(t, 10*time.Second)
	gone := &source.InvalidError{Reason: source.ReasonRefNotFound, Message: "no branch main"}
	w.says("", gone)
	w.later(t, 10*time.Second)
	receive(t, w.told, "that the branch is gone")
	w.check(t, one, query(""), "a", gone)
	w.says("a", nil)
	w.later(t, 70*time.Second)
	receive(t, w.told, "that the branch is back")
	w.check(t, one, query(""), "a", nil)
	w.quiet(t)
}

// TestShared: equal questions are asked once, of different Secrets twice, and a
// Secret that is not there is told.
func TestShared(t *testing.T) {
	w := start(t)
	for _, k := range []types.NamespacedName{one, two} {
		if _, err := w.Check(k, query("s")); err != nil && !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
	}
	told := map[types.NamespacedName]bool{receive(t, w.told, "an answer"): true}
	if c := receive(t, w.asked, "a question"); string(c["name"]) != "s" {
		t.Errorf("asked with %v, want the Secret's data", c)
	}
	if len(w.told) > 0 {
		told[<-w.told] = true
	}
	w.check(t, one, query("s"), "a", nil)
	w.check(t, two, query("s"), "a", nil)
	if len(w.asked) > 0 {
		t.Error("the same question was asked twice")
	}

	w.check(t, two, query("missing"), "", ErrPending)
	receive(t, w.told, "that there is no Secret")
	_, err := w.Check(two, query("missing"))
	if reason, users := source.Reason(err); !users || reason != source.ReasonSecretNotFound {
		t.Errorf("Check() = %v, want %s", err, source.ReasonSecretNotFound)
	}
	other := query("s")
	other.Namespace = "another"
	if query("s").id() == other.id() {
		t.Error("the Secrets of two namespaces are taken for one")
	}
	other.Secret = ""
	if query("").id() != other.id() {
		t.Error("a public source is asked once for each namespace")
	}
}

// TestForgotten: nobody's source is asked no more, nor one that another replica is
// responsible for.
func TestForgotten(t *testing.T) {
	for name, leave := range map[string]func(*world){
		"forgotten":         func(w *world) { w.Forget(one) },
		"another's":         func(w *world) { w.mu.Lock(); w.leads = false; w.mu.Unlock() },
		"of another source": func(w *world) { _, _ = w.Check(one, Query{Request: source.Request{Git: &source.Git{Ref: pinned}}}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			_, _ = w.Check(one, query(""))
			receive(t, w.told, "the first answer")
			receive(t, w.asked, "the first question")
			leave(w)
			watched := func() bool { return w.poller.Wanted(query("").id()) }
			for deadline := time.Now().Add(time.Minute); watched() && time.Now().Before(deadline); <-time.After(time.Millisecond) {
				w.clock.Step(time.Minute)
			}
			if watched() {
				t.Error("the source is still watched")
			}
			if most := map[bool]int{true: 1}[name == "of another source"]; len(w.asked) > most {
				t.Errorf("asked %d times more", len(w.asked))
			}
		})
	}
}

const pinned = "0123456789012345678901234567890123456789"

func TestWait(t *testing.T) {
	var failure error
	failures := 0
	within := func(what string, least, most time.Duration) {
		t.Helper()
		for range 100 {
			if d := delay(time.Minute, failure, failures); d < least || d > most {
				t.Fatalf("%s: %v, want from %v to %v", what, d, least, most)
			}
		}
	}
	within("after an answer", 54*time.Second, 65*time.Second)
	failure = &source.InvalidError{}
	within("the user's fault", 54*time.Second, 65*time.Second)
	failure, failures = errors.New("away"), 1
	within("the first retry", 1800*time.Millisecond, 2200*time.Millisecond)
	failures = 4
	within("the fourth retry", 14*time.Second, 18*time.Second)
	failures = 100
	within("the last retry", 4*time.Minute, 6*time.Minute)
}

// TestOneTenantIsSlow: 96 functions of one tenant whose sources take as long as they may
// do not delay the source of another: it is asked at once and then on its interval.
func TestOneTenantIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Duration
		began := time.Now()
		w := New(Options{
			Enqueue: func(types.NamespacedName) {}, Leads: func(types.NamespacedName) bool { return true }, Clock: clock.RealClock{},
			Resolve: func(ctx context.Context, r source.Request, _ source.Credentials) (*source.Resolved, error) {
				if r.Git.URL == "https://git.example/mine.git" {
					mu.Lock()
					defer mu.Unlock()
					asked = append(asked, time.Since(began))
					return &source.Resolved{Request: r, Commit: pinned}, nil
				}
				select {
				case <-time.After(source.ResolveTimeout):
					return nil, context.DeadlineExceeded
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		check := func(namespace, name, url string) {
			_, _ = w.Check(types.NamespacedName{Namespace: namespace, Name: name}, Query{Request: source.Request{Git: &source.Git{URL: url}}, Interval: time.Minute})
		}
		for i := range 96 {
			check("slow", fmt.Sprint(i), fmt.Sprintf("https://slow-%d.example/a.git", i))
		}
		time.Sleep(time.Second) // of the bubble's clock
		check("mine", "mine", "https://git.example/mine.git")
		time.Sleep(20 * time.Minute)
		cancel()
		<-done
		if len(asked) < 17 || asked[0] > source.ResolveTimeout {
			t.Fatalf("asked at %v, want within %v and then each minute", asked, source.ResolveTimeout)
		}
		for i := 1; i < len(asked); i++ {
			if gap := asked[i] - asked[i-1]; gap > 67*time.Second {
				t.Errorf("a gap of %v, want a minute", gap)
			}
		}
	})
}
