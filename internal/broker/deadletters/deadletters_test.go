package deadletters

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	keys "github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
)

const name = "lambda.dlq.team.greeter"

var hour = Bounds{TTL: time.Hour, MaxLength: 7, Overflow: "drop-head"}

// rabbit is a RabbitMQ that counts what it is asked.
type rabbit struct {
	queue.Topology

	mu       sync.Mutex
	asked    []string
	err      error // of the connection
	refusal  error // of policies
	policies map[string]management.Policy
	checks   int
}

func (r *rabbit) ask(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, what)
}

// took is what it was asked since the last call.
func (r *rabbit) took() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := strings.Join(r.asked, ", ")
	r.asked = nil
	return all
}

func (r *rabbit) Declare(ctx context.Context, d queue.Declaration) error {
	r.ask("declare")
	return r.Topology.Declare(ctx, d)
}

func (r *rabbit) Delete(ctx context.Context, name string) error {
	r.ask("delete")
	return r.Topology.Delete(ctx, name)
}

type policies struct{ *rabbit }

func (p policies) Set(_ context.Context, name string, policy management.Policy) error {
	p.ask("bound")
	if p.refusal == nil {
		p.policies[name] = policy
	}
	return p.refusal
}

func (p policies) Delete(_ context.Context, name string) error {
	p.ask("unbound")
	delete(p.policies, name)
	return p.refusal
}

func (p policies) Queues(context.Context) ([]string, error) {
	return slices.Collect(maps.Keys(p.policies)), p.refusal
}

func world() (*Queues, *rabbit, *clocktesting.FakePassiveClock) {
	r, clock := &rabbit{Topology: memory.New(), policies: map[string]management.Policy{}}, clocktesting.NewFakePassiveClock(time.Now())
	return New(Options{
		Topology: func() (queue.Topology, error) { return r, r.err },
		Policies: policies{r}, Failed: func() { r.checks++ }, Clock: clock,
	}), r, clock
}

func exists(t *testing.T, r *rabbit, want bool) {
	t.Helper()
	_, err := r.Inspect(t.Context(), name)
	if got := err == nil; got != want {
		t.Errorf("the queue exists: %t, want %t", got, want)
	}
}

// TestEnsure: what has not changed is not sent again, until the connection is new.
func TestEnsure(t *testing.T) {
	t.Parallel()
	q, r, _ := world()
	steps := []struct {
		what   string
		do     func() error
		want   string
		exists bool
	}{
		{"the first time", func() error { return q.Ensure(t.Context(), name, hour) }, "declare, bound", true},
		{"unchanged", func() error { return q.Ensure(t.Context(), name, hour) }, "", true},
		{"other bounds", func() error { return q.Ensure(t.Context(), name, Bounds{time.Minute, 1, "reject-publish"}) }, "bound", true},
		{"a new connection", func() error { q.Reset(); return q.Ensure(t.Context(), name, hour) }, "declare, bound", true},
		{"deleted", func() error { return q.Delete(t.Context(), name) }, "delete, unbound", false},
		{"deleted again", func() error { return q.Delete(t.Context(), name) }, "", false},
		{"wanted again", func() error { return q.Ensure(t.Context(), name, hour) }, "declare, bound", true},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Errorf("%s: %v", s.what, err)
		}
		if got := r.took(); got != s.want {
			t.Errorf("%s: sent %q, want %q", s.what, got, s.want)
		}
		exists(t, r, s.exists)
	}
	want := map[string]management.Policy{name: {Pattern: `^lambda\.dlq\.team\.greeter$`, ApplyTo: "queues", Priority: 1,
		Definition: map[string]any{"message-ttl": int64(3_600_000), "max-length": int64(7), "overflow": "drop-head"}}}
	if diff := cmp.Diff(want, r.policies); diff != "" {
		t.Error("policies (-want, +got):", diff)
	}
}

// TestEnsure_WithoutManagement: the queue works, the error says that its bounds are not
// set, and the API is not asked in every reconcile.
func TestEnsure_WithoutManagement(t *testing.T) {
	t.Parallel()
	q, r, clock := world()
	r.refusal = management.ErrNotConfigured
	var reported []string
	q.Observe(func(queue string) { reported = append(reported, queue) })
	for _, want := range []string{"declare, bound", ""} {
		var bounds *BoundsError
		if err := q.Ensure(t.Context(), name, hour); !errors.As(err, &bounds) || !errors.Is(err, management.ErrNotConfigured) {
			t.Errorf("error %v, want a BoundsError", err)
		}
		if got := r.took(); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		exists(t, r, true)
	}
	q.Verify(t.Context(), r)
	if !slices.Equal(reported, []string{name}) {
		t.Errorf("reported %v, want the queue without bounds", reported)
	}
	r.refusal = nil
	clock.SetTime(clock.Now().Add(retryInterval))
	if err := q.Ensure(t.Context(), name, hour); err != nil || r.took() != "bound" {
		t.Errorf("with the API: error %v", err)
	}
}

// TestConnectionAway: nothing is asked, and what was to be deleted is when it is back,
// unless it is wanted again.
func TestConnectionAway(t *testing.T) {
	t.Parallel()
	q, r, _ := world()
	away := errors.New("away")
	if err := q.Ensure(t.Context(), name, hour); err != nil {
		t.Fatal(err)
	}
	r.took()
	r.err = away
	if err := q.Delete(t.Context(), name); !errors.Is(err, away) || !q.Known(name) {
		t.Errorf("error %v, known %t", err, q.Known(name))
	}
	r.err = nil
	q.Reset()
	q.Retry(t.Context())
	if got := r.took(); got != "delete, unbound" || q.Known(name) {
		t.Errorf("back: sent %q, known %t", got, q.Known(name))
	}

	r.err = away
	for _, err := range []error{q.Ensure(t.Context(), name, hour), q.Delete(t.Context(), name), q.Ensure(t.Context(), name, hour)} {
		if !errors.Is(err, away) {
			t.Errorf("error %v, want %v", err, away)
		}
	}
	r.err = nil
	var reported []string
	q.Observe(func(queue string) { reported = append(reported, queue) })
	q.Retry(t.Context())
	if got := r.took(); got != "" || !slices.Equal(reported, []string{name}) {
		t.Errorf("wanted: sent %q, reported %v", got, reported)
	}
}

// TestVerify reports a queue that was lost, and declares it again.
func TestVerify(t *testing.T) {
	t.Parallel()
	q, r, _ := world()
	if err := q.Ensure(t.Context(), name, hour); err != nil {
		t.Fatal(err)
	}
	var reported []string
	q.Observe(func(queue string) { reported = append(reported, queue) })
	q.Verify(t.Context(), r)
	if len(reported) > 0 {
		t.Errorf("reported %v of a queue that exists", reported)
	}
	if err := r.Topology.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	q.Verify(t.Context(), r)
	if !slices.Equal(reported, []string{name}) {
		t.Errorf("reported %v, want the lost queue", reported)
	}
	if err := q.Ensure(t.Context(), name, hour); err != nil {
		t.Fatal(err)
	}
	exists(t, r, true)
	if got, want := r.took(), "declare, bound, declare, bound"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestEnsure_Conflict(t *testing.T) {
	t.Parallel()
	q, r, _ := world()
	if err := r.Topology.Declare(t.Context(), queue.Declaration{Name: name, Kind: queue.Classic}); err != nil {
		t.Fatal(err)
	}
	if err := q.Ensure(t.Context(), name, hour); !errors.Is(err, queue.ErrConflict) || r.checks != 1 {
		t.Errorf("error %v, %d checks of the connection", err, r.checks)
	}
}

// TestSweep deletes only queues of dead letters without an owner.
func TestSweep(t *testing.T) {
	t.Parallel()
	q, r, _ := world()
	for _, name := range []string{name, "lambda.dlq.team.agents.bruno", "lambda.dlq.team.agents.left", "lambda.dlq.team.left", "lambda.dlq.team.unclear", "lambda.t.team.greeter.uid"} {
		r.policies[name] = management.Policy{}
	}
	q.Sweep(t.Context(), func(_ context.Context, o Owner) (bool, error) {
		if o.Name == "unclear" {
			return false, errors.New("the API server is away")
		}
		return o.Name != "left", nil
	})
	want := []string{"lambda.dlq.team.agents.bruno", name, "lambda.dlq.team.unclear", "lambda.t.team.greeter.uid"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(r.policies))); diff != "" {
		t.Error("queues (-want, +got):", diff)
	}
}

func TestOwnerOf(t *testing.T) {
	t.Parallel()
	greeter := types.NamespacedName{Namespace: "team", Name: "greeter"}
	for name, want := range map[string]*Owner{
		"lambda.dlq.team.greeter":        {NamespacedName: greeter},
		"lambda.dlq.team.agents.greeter": {NamespacedName: greeter, Agent: true},
		"lambda.dlq.team.agents":         {NamespacedName: types.NamespacedName{Namespace: "team", Name: "agents"}},
		"lambda.dlq.team.":               nil,
		"lambda.dlq.team":                nil,
		"lambda.dlq..greeter":            nil,
		"lambda.dlq.team.a.b":            nil,
		"lambda.t.team.greeter":          nil,
		"lock.lambda.dlq.team.greeter":   nil,
	} {
		got, ok := OwnerOf(name)
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("OwnerOf(%s) = %v, %t; want %v", name, got, ok, want)
		}
	}
}

// TestRabbitMQ: the bounds of the policy hold, also what a full queue does, and change in
// place.
func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	v := amqptest.New(t)
	dir := v.Secret(t, map[string]string{keys.Management: v.Management()})
	engine := amqp.New(amqp.Options{Credentials: dir, Name: t.Name()})
	t.Cleanup(func() { _ = engine.Close(context.Background()) })
	q := New(Options{Topology: func() (queue.Topology, error) { return engine, nil }, Policies: FromSecret(dir), Failed: func() {}})
	store := func(n int) (refused int) {
		for range n {
			err := engine.Put(t.Context(), name, &queue.Message{Headers: map[string]any{"id": "1"}})
			switch {
			case errors.Is(err, queue.ErrFull):
				refused++
			case err != nil:
				t.Fatal(err)
			}
		}
		return refused
	}
	holds := func(want int) {
		t.Helper()
		var state queue.State
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			var err error
			if state, err = engine.Inspect(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if state.Messages == want {
				return
			}
		}
		t.Errorf("the queue has %d messages, want %d", state.Messages, want)
	}
	ensure := func(b Bounds) {
		t.Helper()
		if err := q.Ensure(t.Context(), name, b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // until the policy is in force
	}
	ensure(Bounds{TTL: time.Hour, MaxLength: 3, Overflow: "drop-head"})
	if refused := store(10); refused > 0 {
		t.Errorf("%d of 10 refused by a queue that drops its head", refused)
	}
	holds(3)
	ensure(Bounds{TTL: time.Hour, MaxLength: 3, Overflow: "reject-publish"})
	if refused := store(10); refused == 0 {
		t.Error("a full queue refuses nothing")
	}
	names, err := FromSecret(dir).Queues(t.Context())
	if err != nil || !slices.Equal(names, []string{name}) {
		t.Errorf("queues %v, %v", names, err)
	}
	ensure(Bounds{TTL: time.Minute, MaxLength: 3, Overflow: "drop-head"})
	var policy management.Policy
	v.Must(t, http.MethodGet, "/api/policies/"+v.Name+"/"+name, nil, &policy)
	want := map[string]any{"message-ttl": 60_000.0, "max-length": 3.0, "overflow": "drop-head"}
	if diff := cmp.Diff(want, policy.Definition); diff != "" {
		t.Error("bounds in RabbitMQ (-want, +got):", diff)
	}
	if err := q.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Inspect(t.Context(), name); !errors.Is(err, queue.ErrNoQueue) {
		t.Errorf("Inspect() after Delete() = %v", err)
	}
}
