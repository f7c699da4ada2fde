package registry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

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

// resolver whose answers arrive in the channel.
func resolver(a *asker) (*Resolver, chan types.NamespacedName, *clocktesting.FakePassiveClock) {
	answers := make(chan types.NamespacedName, 100)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	return NewResolver(a, func(k types.NamespacedName) { answers <- k }, clock), answers, clock
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

// TestAskedOnce: whoever asks meanwhile waits for the same answer, and it is good for
// some time.
func TestAskedOnce(t *testing.T) {
	a := &asker{hold: make(chan struct{})}
	r, answers, clock := resolver(a)
	for _, k := range []types.NamespacedName{one, two, one} {
		_, err := r.Find(k, image)
		pending(t, err)
	}
	close(a.hold)
	enqueued := map[types.NamespacedName]bool{await(t, answers): true, await(t, answers): true}
	if !enqueued[one] || !enqueued[two] {
		t.Errorf("enqueued %v, want both that have asked", enqueued)
	}
	clock.SetTime(clock.Now().Add(notFoundFor - time.Second))
	if _, err := r.Find(two, image); !errors.Is(err, ErrNotFound) {
		t.Errorf("Find() = %v before the answer has expired", err)
	}
	if n := a.count("n"); n != 1 {
		t.Errorf("the registry was asked %d times, want once", n)
	}
	clock.SetTime(clock.Now().Add(2 * time.Second))
	_, err := r.Find(two, image)
	pending(t, err)
	await(t, answers)
	if n := a.count("n"); n != 2 {
		t.Errorf("the registry was asked %d times, want again after the answer has expired", n)
	}
}

// TestKnownToWhoAsked: what one namespace knows of an image, with its credentials, no
// other knows.
func TestKnownToWhoAsked(t *testing.T) {
	confirmed := Image{Namespace: "n", Reference: "r.test/shared:1", PushSecret: "push"}
	a := &asker{outcome: build.Outcome{Digest: "sha256:1"}}
	r, answers, _ := resolver(a)
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
}

// TestConfirm: another digest is another question, a failure is asked again soon, and
// who looks for an image that is being confirmed waits for that.
func TestConfirm(t *testing.T) {
	a := &asker{outcome: build.Outcome{Reason: build.ReasonRegistryUnreachable}, hold: make(chan struct{})}
	r, answers, clock := resolver(a)
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
	clock.SetTime(clock.Now().Add(unconfirmedFor))
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
}

func TestForgetAndLost(t *testing.T) {
	a := &asker{images: map[Image]string{}}
	r, answers, _ := resolver(a)
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
}

// TestQuestionsAreFair: a namespace whose registry does not answer leaves room for
// others.
func TestQuestionsAreFair(t *testing.T) {
	a := &asker{hold: make(chan struct{})}
	r, answers, _ := resolver(a)
	for n := range 3 * parallel {
		_, err := r.Find(types.NamespacedName{Namespace: "crowd", Name: "f"}, Image{Namespace: "crowd", Reference: strings.Repeat("x", n+1)})
		pending(t, err)
	}
	_, err := r.Find(one, image)
	pending(t, err)
	for deadline := time.Now().Add(time.Minute); a.count("n") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("one namespace's registry keeps all others waiting")
		}
		time.Sleep(time.Millisecond)
	}
	if n := a.count("crowd"); n > parallelPerNamespace {
		t.Errorf("%d questions of one namespace at once, want at most %d", n, parallelPerNamespace)
	}
	close(a.hold)
	for range 3*parallel + 1 {
		await(t, answers)
	}
}
