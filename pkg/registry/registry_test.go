package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
)

var (
	one = types.NamespacedName{Namespace: "n", Name: "one"}
	two = types.NamespacedName{Namespace: "n", Name: "two"}

	image = Image{Namespace: "n", Reference: "r.test/n/python:1"}
)

// asker is a registry that answers when the test lets it.
type asker struct {
	mu sync.Mutex
	// images by namespace, credentials and reference.
	images  map[Image]string
	outcome build.Outcome
	asked   map[string]int // by namespace
	// hold keeps questions waiting until it is closed.
	hold chan struct{}
}

func (a *asker) Find(_ context.Context, i Image) (string, error) {
	a.wait(i)
	a.mu.Lock()
	defer a.mu.Unlock()
	digest, ok := a.images[i]
	if !ok {
		return "", ErrNotFound
	}
	return digest, nil
}

func (a *asker) Exists(ctx context.Context, i Image) error {
	_, err := a.Find(ctx, i)
	return err
}

func (a *asker) Confirm(_ context.Context, i Image, _ string) build.Outcome {
	a.wait(i)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.outcome
}

func (a *asker) wait(i Image) {
	a.mu.Lock()
	if a.asked == nil {
		a.asked = map[string]int{}
	}
	a.asked[i.Namespace]++
	hold := a.hold
	a.mu.Unlock()
	if hold != nil {
		<-hold
	}
}

func (a *asker) count(namespace string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[namespace]
}

// withResolver runs a test in a bubble of synctest, whose time is fake, with a Resolver
// whose answers arrive in the channel.
func withResolver(t *testing.T, a Asker, test func(t *testing.T, r *Resolver, answers chan types.NamespacedName)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan types.NamespacedName, 1000)
		all := func(types.NamespacedName) bool { return true }
		r := NewResolver(a, func(k types.NamespacedName) { answers <- k }, all, clock.RealClock{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		test(t, r, answers)
		cancel()
		<-done
	})
}

func await(t *testing.T, answers chan types.NamespacedName) types.NamespacedName {
	t.Helper()
	select {
	case k := <-answers:
		return k
	case <-time.After(time.Minute):
		t.Fatal("no key was enqueued")
		return types.NamespacedName{}
	}
}

func pending(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrPending) {
		t.Fatalf("%v, want that the registry is being asked", err)
	}
}

// TestAskedOnce: others that ask meanwhile wait for the same answer, and it is good for
// some time.
func TestAskedOnce(t *testing.T) {
	a := &asker{}
	withResolver(t, a, func(t *testing.T, r *Resolver, answers chan types.NamespacedName) {
		a.hold = make(chan struct{})
		for _, k := range []types.NamespacedName{one, two, one} {
			_, err := r.Find(k, image)
			pending(t, err)
		}
		close(a.hold)
		enqueued := map[types.NamespacedName]bool{await(t, answers): true, await(t, answers): true}
		if !enqueued[one] || !enqueued[two] {
			t.Errorf("enqueued %v, want both that have asked", enqueued)
		}
		time.Sleep(notFoundFor - time.Second) // of the bubble's clock
		if _, err := r.Find(two, image); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find() = %v before the answer has expired", err)
		}
		if n := a.count("n"); n != 1 {
			t.Errorf("the registry was asked %d times, want once", n)
		}
		time.Sleep(2 * time.Second) // of the bubble's clock
		_, err := r.Find(two, image)
		pending(t, err)
		await(t, answers)
		if n := a.count("n"); n != 2 {
			t.Errorf("the registry was asked %d times, want again after the answer has expired", n)
		}
	})
}

// TestKnownToWhoAsked: what one namespace knows of an image, with its credentials, no
// other knows.
func TestKnownToWhoAsked(t *testing.T) {
	confirmed := Image{Namespace: "n", Reference: "r.test/shared:1", PushSecret: "push"}
	a := &asker{outcome: build.Outcome{Digest: "sha256:1"}}
	withResolver(t, a, func(t *testing.T, r *Resolver, answers chan types.NamespacedName) {
		_, err := r.Confirm(one, confirmed, "sha256:1")
		pending(t, err)
		await(t, answers)
		if digest, err := r.Find(two, confirmed); err != nil || digest != "sha256:1" {
			t.Errorf("Find() = %q, %v, want what the same namespace has confirmed", digest, err)
		}
		for name, change := range map[string]func(*Image){
			"another namespace":   func(i *Image) { i.Namespace = "other" },
			"another push Secret": func(i *Image) { i.PushSecret = "mine" },
			"no push Secret":      func(i *Image) { i.PushSecret = "" },
			"a pull Secret":       func(i *Image) { i.PullSecret = "pull" },
		} {
			other := confirmed
			change(&other)
			k := types.NamespacedName{Namespace: other.Namespace, Name: "f"}
			if _, err := r.Find(k, other); !errors.Is(err, ErrPending) {
				t.Errorf("%s: Find() = %v, want that the registry is asked", name, err)
			}
			await(t, answers)
			if _, err := r.Find(k, other); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: Find() = %v, want what the registry says", name, err)
			}
		}
	})
}

// TestConfirm: another digest is another question, a failure is asked again soon, and
// who looks for an image that is being confirmed waits for that.
func TestConfirm(t *testing.T) {
	a := &asker{outcome: build.Outcome{Reason: build.ReasonRegistryUnreachable}}
	withResolver(t, a, func(t *testing.T, r *Resolver, answers chan types.NamespacedName) {
		a.hold = make(chan struct{})
		_, err := r.Confirm(one, image, "sha256:1")
		pending(t, err)
		_, err = r.Find(two, image)
		pending(t, err)
		close(a.hold)
		if first, second := await(t, answers), await(t, answers); first == second {
			t.Errorf("%s was enqueued twice, want both", first)
		}
		if o, err := r.Confirm(one, image, "sha256:1"); err != nil || o.Reason != build.ReasonRegistryUnreachable {
			t.Errorf("Confirm() = %+v, %v, want the failure", o, err)
		}
		time.Sleep(unconfirmedFor) // of the bubble's clock
		a.mu.Lock()
		a.outcome = build.Outcome{Digest: "sha256:1"}
		a.mu.Unlock()
		_, err = r.Confirm(one, image, "sha256:1")
		pending(t, err)
		await(t, answers)
		if o, err := r.Confirm(one, image, "sha256:1"); err != nil || o.Digest != "sha256:1" {
			t.Errorf("Confirm() = %+v, %v, want it confirmed", o, err)
		}
		_, err = r.Confirm(one, image, "sha256:2")
		pending(t, err)
		await(t, answers)
	})
}

func TestForgetAndLost(t *testing.T) {
	a := &asker{images: map[Image]string{}}
	withResolver(t, a, func(t *testing.T, r *Resolver, answers chan types.NamespacedName) {
		ask := func() {
			t.Helper()
			_, err := r.Find(one, image)
			pending(t, err)
			await(t, answers)
		}
		ask()
		a.images[image] = "sha256:1"
		if _, err := r.Find(one, image); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find() = %v, want the answer of before", err)
		}
		r.Forget(image.Reference)
		ask()
		r.Forget(image.Reference) // what is there is not forgotten, unless it is lost
		if got, err := r.Find(one, image); got != "sha256:1" || err != nil {
			t.Errorf("Find() = %q, %v, want what is there", got, err)
		}
		r.Lost(image.Reference)
		ask()
		pending(t, r.Exists(one, image)) // another question
		await(t, answers)
		if err := r.Exists(one, image); err != nil {
			t.Errorf("Exists() = %v, want that it is there", err)
		}
	})
}

// TestQuestionsAreFair: a namespace whose registry does not answer leaves room for
// others.
func TestQuestionsAreFair(t *testing.T) {
	a := &asker{}
	withResolver(t, a, func(t *testing.T, r *Resolver, answers chan types.NamespacedName) {
		a.hold = make(chan struct{})
		for n := range 3 * parallel {
			_, err := r.Find(types.NamespacedName{Namespace: "crowd", Name: "f"}, Image{Namespace: "crowd", Reference: strings.Repeat("x", n+1)})
			pending(t, err)
		}
		_, err := r.Find(one, image)
		pending(t, err)
		if synctest.Wait(); a.count("n") == 0 {
			t.Fatal("one namespace's registry keeps all others waiting")
		}
		if n := a.count("crowd"); n > perNamespace {
			t.Errorf("%d questions of one namespace at once, want at most %d", n, perNamespace)
		}
		close(a.hold)
		for range 3*parallel + 1 {
			await(t, answers)
		}
	})
}

// slowTenant has a registry that never answers within the time of a question.
type slowTenant struct{ asker }

func (s *slowTenant) Find(ctx context.Context, i Image) (string, error) {
	if i.Namespace == "n" {
		return s.asker.Find(ctx, i)
	}
	<-ctx.Done()
	return "", fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
}

// TestResolver_OneTenantIsSlow: 200 questions of one tenant to registries that do not
// answer delay another tenant's first question by at most one question's time, and not
// at all where a bound holds.
func TestResolver_OneTenantIsSlow(t *testing.T) {
	for name, tt := range map[string]struct {
		namespaces, registries int
		failedBefore           bool
		atMost                 time.Duration
	}{
		"in one namespace":                          {1, 200, false, 0},
		"in ten namespaces, of one registry":        {10, 1, false, 0},
		"in ten namespaces":                         {10, 200, false, timeout},
		"in ten namespaces, whose questions failed": {10, 200, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := &slowTenant{asker{images: map[Image]string{image: "sha256:1"}}}
			withResolver(t, a, func(t *testing.T, r *Resolver, answers chan types.NamespacedName) {
				ask := func() {
					for i := range 200 {
						slow := Image{Namespace: fmt.Sprint("slow-", i%tt.namespaces), Reference: fmt.Sprintf("slow-%d.test/i:%d", i%tt.registries, i)}
						_, _ = r.Find(types.NamespacedName{Namespace: slow.Namespace, Name: fmt.Sprint(i)}, slow)
					}
					time.Sleep(time.Second) // of the bubble's clock
				}
				ask()
				if tt.failedBefore {
					time.Sleep(200/parallel*timeout + timeout + notFoundFor)
					ask()
				}
				for len(answers) > 0 {
					<-answers
				}
				asked := time.Now()
				_, err := r.Find(one, image)
				pending(t, err)
				for await(t, answers) != one {
				}
				if waited := time.Since(asked); waited > tt.atMost {
					t.Errorf("waited for %v, want at most %v", waited, tt.atMost)
				}
				if digest, err := r.Find(one, image); digest != "sha256:1" || err != nil {
					t.Errorf("Find() = %q, %v", digest, err)
				}
			})
		})
	}
}
