package registry

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

var (
	one = types.NamespacedName{Namespace: "n", Name: "one"}
	two = types.NamespacedName{Namespace: "n", Name: "two"}
)

// server is a registry that counts questions for manifests; hold, if not nil,
// keeps them waiting until it is closed.
type server struct {
	*httptest.Server
	asked atomic.Int32
}

func newServer(t *testing.T, hold chan struct{}, status int) (s *server, host string) {
	t.Helper()
	s = &server{}
	actual := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
			s.asked.Add(1)
			if hold != nil {
				<-hold
			}
			if status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		actual.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s, strings.TrimPrefix(s.URL, "http://")
}

// push makes a random image there and returns its digest.
func push(t *testing.T, reference string) string {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// resolver whose answers arrive in the channel.
func resolver() (*Resolver, chan types.NamespacedName, *clocktesting.FakePassiveClock) {
	answers := make(chan types.NamespacedName, 10)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	return NewResolver(func(k types.NamespacedName) { answers <- k }, clock, (&net.Dialer{}).DialContext), answers, clock
}

func await(t *testing.T, answers chan types.NamespacedName) types.NamespacedName {
	t.Helper()
	select {
	case k := <-answers:
		return k
	case <-time.After(time.Minute):
		t.Fatal("nobody was told of an answer")
		return types.NamespacedName{}
	}
}

func TestCheck(t *testing.T) {
	_, host := newServer(t, nil, 0)
	_, refusing := newServer(t, nil, http.StatusUnauthorized)
	_, broken := newServer(t, nil, http.StatusForbidden)
	gone, goneHost := newServer(t, nil, 0)
	gone.Close()
	digest := push(t, host+"/team/python:here")
	for _, tt := range []struct {
		reference string
		digest    string
		err       error
	}{
		{host + "/team/python:here", digest, nil},
		{host + "/team/python:elsewhere", "", ErrNotFound},
		{host + "/nobody/python:here", "", ErrNotFound},
		{refusing + "/team/python:here", "", ErrUnavailable},
		{broken + "/team/python:here", "", ErrUnavailable},
		{goneHost + "/team/python:here", "", ErrUnavailable},
		{"NO REFERENCE", "", ErrUnavailable},
	} {
		r, answers, _ := resolver()
		if _, err := r.Check(one, tt.reference, true); !errors.Is(err, ErrPending) {
			t.Errorf("%s: the first answer is %v, want that it is pending", tt.reference, err)
		}
		if k := await(t, answers); k != one {
			t.Errorf("%s: %s is told, want %s", tt.reference, k, one)
		}
		if got, err := r.Check(one, tt.reference, true); got != tt.digest || !errors.Is(err, tt.err) {
			t.Errorf("Check(%s) = %q, %v, want %q, %v", tt.reference, got, err, tt.digest, tt.err)
		}
	}
}

// TestAskedOnce: whoever asks meanwhile waits for the same answer, and it is good
// for some time.
func TestAskedOnce(t *testing.T) {
	hold := make(chan struct{})
	s, host := newServer(t, hold, 0)
	reference := host + "/team/python:absent"
	r, answers, clock := resolver()
	for _, k := range []types.NamespacedName{one, two, one} {
		if _, err := r.Check(k, reference, true); !errors.Is(err, ErrPending) {
			t.Errorf("Check() = %v, want that it is pending", err)
		}
	}
	close(hold)
	told := map[types.NamespacedName]bool{await(t, answers): true, await(t, answers): true}
	if !told[one] || !told[two] {
		t.Errorf("told of the answer: %v, want both that have asked", told)
	}
	clock.SetTime(clock.Now().Add(notFoundFor - time.Second))
	if _, err := r.Check(two, reference, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("Check() = %v before the answer has expired", err)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("the registry was asked %d times, want once", n)
	}
	clock.SetTime(clock.Now().Add(2 * time.Second))
	if _, err := r.Check(two, reference, true); !errors.Is(err, ErrPending) {
		t.Errorf("Check() = %v after the answer has expired, want that it is asked again", err)
	}
	await(t, answers)
	if n := s.asked.Load(); n != 2 {
		t.Errorf("the registry was asked %d times, want twice", n)
	}
}

func TestForgetAndRemember(t *testing.T) {
	s, host := newServer(t, nil, 0)
	reference := host + "/team/python:later"
	r, answers, _ := resolver()
	ask := func() {
		t.Helper()
		if _, err := r.Check(one, reference, true); !errors.Is(err, ErrPending) {
			t.Fatalf("Check() = %v, want that it is asked", err)
		}
		await(t, answers)
	}
	ask()
	digest := push(t, reference)
	s.asked.Store(1) // pushing asks too
	if _, err := r.Check(one, reference, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("Check() = %v, want the answer of before", err)
	}
	r.Forget(reference)
	ask()
	r.Forget(reference) // what is there is not forgotten, unless it is lost
	if got, err := r.Check(one, reference, true); got != digest || err != nil {
		t.Errorf("Check() = %q, %v, want %q", got, err, digest)
	}

	r.Lost(reference)
	ask()
	if n := s.asked.Load(); n != 3 {
		t.Errorf("the registry was asked %d times, want again after what it had was lost", n)
	}

	other := host + "/team/python:built"
	r.Remember(other, "sha256:abc")
	if got, err := r.Check(two, other, true); got != "sha256:abc" || err != nil {
		t.Errorf("Check() = %q, %v, want what is remembered", got, err)
	}
	if n := s.asked.Load(); n != 3 {
		t.Errorf("the registry was asked %d times, want not for what is remembered", n)
	}
}
