package delay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// fixture is a message broker with the delay queues and some Triggers' queues.
type fixture struct {
	t        *testing.T
	engine   *memory.Engine
	consumer *Consumer
	start    time.Time
	triggers map[types.UID]string

	mu  sync.Mutex
	got map[string]time.Duration // by body: when it arrived
}

func bubble(t *testing.T, test func(*testing.T, *fixture)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{t: t, engine: memory.New(), start: time.Now(), triggers: map[types.UID]string{}, got: map[string]time.Duration{}}
		defer func() { _ = f.engine.Close(context.Background()) }()
		for _, name := range Queues() {
			f.must(f.engine.Declare(t.Context(), queue.Declaration{Name: name}))
		}
		f.consumer = f.newConsumer()
		f.must(f.consumer.Start(t.Context()))
		test(t, f)
		f.must(f.consumer.Stop(context.Background()))
	})
}

func (f *fixture) newConsumer() *Consumer {
	return &Consumer{Subscriber: f.engine, Publisher: f.engine, Trigger: func(uid types.UID) (string, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		name, ok := f.triggers[uid]
		return name, ok
	}}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// trigger declares a queue and collects what arrives in it, unless it is limited.
func (f *fixture) trigger(name string, limit int) {
	f.t.Helper()
	f.mu.Lock()
	f.triggers[types.UID(name)] = name
	f.mu.Unlock()
	f.must(f.engine.Declare(f.t.Context(), queue.Declaration{Name: name}))
	if limit > 0 {
		f.must(f.engine.Limit(f.t.Context(), name, limit))
		return
	}
	f.collect(name)
}

func (f *fixture) collect(name string) {
	f.t.Helper()
	_, err := f.engine.Consume(f.t.Context(), queue.Consumer{Queue: name, Scope: "test", Prefetch: 100, Handler: func(_ context.Context, d queue.Delivery) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.got[string(d.Message().Body)] = time.Since(f.start)
		if d.Message().Headers[releaseHeader] != nil {
			f.t.Error("the release time is left in the message")
		}
		_ = d.Ack()
	}})
	f.must(err)
}

func (f *fixture) put(body, trigger string, wait time.Duration) {
	f.t.Helper()
	m := event.EncodeTransit(&queue.Message{Body: []byte(body)}, event.Transit{Due: time.Now().Add(wait), Trigger: types.UID(trigger), Queue: trigger})
	f.must(Put(f.t.Context(), f.engine, m))
}

func (f *fixture) depth() (n int) {
	f.t.Helper()
	for _, name := range Queues() {
		state, err := f.engine.Inspect(f.t.Context(), name)
		f.must(err)
		n += state.Messages
	}
	return n
}

func TestQueues(t *testing.T) {
	t.Parallel()
	if want := []string{"lambda.delay.10s", "lambda.delay.30s", "lambda.delay.2m", "lambda.delay.10m"}; !slices.Equal(Queues(), want) {
		t.Errorf("Queues() = %q, want %q", Queues(), want)
	}
}

// TestDelay: an event arrives at most 10 s before it is due, as the rest can wait in
// hand, and no later than 10 s after.
func TestDelay(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.trigger("a", 0)
		waits := []time.Duration{0, time.Second, 10 * time.Second, 15 * time.Second, 45 * time.Second, 3 * time.Minute, 11 * time.Minute, time.Hour}
		for _, wait := range waits {
			f.put(wait.String(), "a", wait)
		}
		time.Sleep(2 * time.Hour)
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, wait := range waits {
			got, ok := f.got[wait.String()]
			if early := wait - got; !ok || early > Steps[0] || early < -Steps[0] {
				t.Errorf("an event that is due after %s arrived after %s (%t)", wait, got, ok)
			}
		}
	})
}

// TestDelay_WhenTargetFull: 1,000 events for a full queue delay no other Trigger's by
// more than the time of its own place, and none is lost.
func TestDelay_WhenTargetFull(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.trigger("full", 1)
		f.trigger("other", 0)
		for i := range 1_000 {
			f.put(fmt.Sprint("full-", i), "full", 10*time.Second)
		}
		f.put("other", "other", 10*time.Second)
		time.Sleep(11 * time.Second)
		f.mu.Lock()
		got, ok := f.got["other"]
		f.mu.Unlock()
		if !ok || got > 11*time.Second {
			t.Errorf("the other Trigger's event arrived after %s (%t)", got, ok)
		}
		f.must(f.engine.Limit(t.Context(), "full", 0))
		f.collect("full")
		time.Sleep(time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.got) != 1_001 {
			t.Errorf("%d of 1001 events arrived", len(f.got))
		}
	})
}

// TestDelay_WhenDeleted: events of a deleted Trigger are dropped; those of a queue that
// was lost wait until it is declared again; a Trigger with another queue gets its
// events there.
func TestDelay_WhenDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.put("deleted", "deleted", 10*time.Second)
		f.triggers["lost"] = "lost"
		f.put("lost", "lost", 10*time.Second)
		f.trigger("new", 0)
		f.triggers["moved"] = "new"
		f.put("moved", "moved", 10*time.Second)
		time.Sleep(time.Minute)
		f.trigger("lost", 0)
		time.Sleep(time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, deleted := f.got["deleted"]; deleted || len(f.got) != 2 || f.depth() != 0 {
			t.Errorf("%v arrived, %d wait", f.got, f.depth())
		}
	})
}

// away is a message broker that stores nothing for a while.
type away struct {
	queue.Publisher
	until time.Time
}

func (a *away) Put(ctx context.Context, name string, m *queue.Message) error {
	if time.Now().Before(a.until) {
		return queue.ErrUnavailable
	}
	return a.Publisher.Put(ctx, name, m)
}

// TestStop: what waits is back at once and arrives by the next replica, at its time.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.trigger("a", 0)
		for i := range 100 {
			f.put(fmt.Sprint(i), "a", 10*time.Second)
		}
		time.Sleep(time.Second)
		f.must(f.consumer.Stop(t.Context()))
		if n := f.depth(); n != 100 {
			t.Errorf("%d of 100 events are back", n)
		}
		f.consumer = f.newConsumer()
		f.consumer.Publisher = &away{f.engine, time.Now().Add(20 * time.Second)}
		f.must(f.consumer.Start(t.Context()))
		time.Sleep(time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.got) != 100 {
			t.Errorf("%d of 100 events arrived", len(f.got))
		}
	})
}

// TestDelay_WhenReleaseIsFar: a message waits no longer than its queue delays it, whatever
// its header says.
func TestDelay_WhenReleaseIsFar(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.trigger("a", 0)
		m := event.EncodeTransit(&queue.Message{Body: []byte("far")}, event.Transit{Due: time.Now(), Trigger: "a", Queue: "a"})
		m.Headers[releaseHeader] = time.Now().AddDate(100, 0, 0).UnixMilli()
		f.must(f.engine.Put(t.Context(), Queue(Steps[0]), m))
		time.Sleep(Steps[0] + time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if got, ok := f.got["far"]; !ok || got > Steps[0] {
			t.Errorf("the event arrived after %s (%t), want at most %s", got, ok, Steps[0])
		}
	})
}

// TestPrefetch_WhenBudgeted: RabbitMQ sends one message of a queue before any is refused.
func TestPrefetch_WhenBudgeted(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.must(f.consumer.Stop(t.Context()))
		b := budget.New(0, 1_000)
		f.consumer = f.newConsumer()
		f.consumer.Budget = func(n int64) func() { return b.Hold("team", n) }
		f.must(f.consumer.Start(t.Context()))
		for i := range 10 {
			f.put(fmt.Sprintf("event-%04d", i), "a", 10*time.Second)
		}
		time.Sleep(time.Second)
		if _, bytes := b.InHand(); bytes != 10 || f.depth() != 9 {
			t.Errorf("%d bytes are in hand, %d events in the queue; want 10, 9", bytes, f.depth())
		}
	})
}

// TestBudget: no message is in hand for which there is no room; all arrive, and nothing
// stays reserved.
func TestBudget(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.must(f.consumer.Stop(t.Context()))
		b := budget.New(0, 40)
		f.consumer = f.newConsumer()
		f.consumer.Budget = func(n int64) func() { return b.Hold("team", n) }
		f.must(f.consumer.Start(t.Context()))
		f.trigger("a", 0)
		taken := b.Hold("team", 15)
		const count = 20
		for i := range count {
			f.put(fmt.Sprintf("event-%04d", i), "a", 10*time.Second)
		}
		time.Sleep(time.Second)
		if n := f.depth(); n != count {
			t.Errorf("without room %d of %d events are in the queue", n, count)
		}
		taken()
		f.put("event-long", "a", 2*time.Minute)
		time.Sleep(8 * time.Second)
		if _, bytes := b.InHand(); bytes != 10 || f.depth() != count {
			t.Errorf("%d bytes are in hand, %d events in queues; want 10, %d", bytes, f.depth(), count)
		}
		time.Sleep(3 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, bytes := b.InHand(); len(f.got) != count+1 || bytes != 0 {
			t.Errorf("%d of %d events arrived, %d bytes stay reserved", len(f.got), count+1, bytes)
		}
		if got := f.got["event-0019"]; got > 12*time.Second {
			t.Errorf("the last event arrived after %s", got)
		}
	})
}

// TestStop_WhenSuspended: a queue that waits for room is not consumed again.
func TestStop_WhenSuspended(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.must(f.consumer.Stop(t.Context()))
		f.consumer = f.newConsumer()
		f.consumer.Budget = func(int64) func() { return nil }
		f.must(f.consumer.Start(t.Context()))
		f.put("event", "a", 10*time.Second)
		time.Sleep(time.Second)
		f.must(f.consumer.Stop(t.Context()))
		time.Sleep(time.Minute)
		state, err := f.engine.Inspect(t.Context(), Queue(Steps[0]))
		if f.must(err); state.Messages != 1 || state.Consumers != 0 {
			t.Errorf("%+v, want 1 message and no consumer", state)
		}
	})
}

func TestPut_WhenUnavailable(t *testing.T) {
	t.Parallel()
	p := &away{nil, time.Now().Add(time.Hour)}
	if err := Put(t.Context(), p, &queue.Message{}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
}
