package amqp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const patience = 30 * time.Second

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// aQueue that a direct engine declares.
func aQueue(t testing.TB, e *Engine, ordered bool) string {
	t.Helper()
	name := fmt.Sprintf("lambda.fault.%d", rand.Uint64())
	must(t, e.Declare(t.Context(), queue.Declaration{Name: name, Ordered: ordered}))
	t.Cleanup(func() { _ = e.Delete(context.WithoutCancel(t.Context()), name) })
	return name
}

func quick(o *Options) {
	o.Timeout, o.Heartbeat, o.Rotation = 2*time.Second, 2*time.Second, quickRotation
}

// drain a queue until it has nothing ready or in hand, and count each message.
func drain(t testing.TB, e *Engine, name string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	last, seen := time.Now(), map[string]int{}
	c, err := e.Consume(t.Context(), queue.Consumer{Queue: name, Prefetch: 500, Handler: func(_ context.Context, d queue.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		last = time.Now()
		seen[string(d.Message().Body)]++
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	}})
	must(t, err)
	eventually(t, "the queue is empty", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return c.Err() == nil && time.Since(last) > time.Second
	})
	must(t, c.Close())
	return seen
}

// TestPublishNeverClaimsWhatIsNotStored: whatever happens to connections, a message
// whose publishing succeeded is in the queue, and no call outlasts its context.
func TestPublishNeverClaimsWhatIsNotStored(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, p := r.engine(t), newProxy(t, r)
	e := r.engineAt(t, "127.0.0.1", p.port(), quick)
	name := aQueue(t, direct, false)
	const publishers, limit, slack = 20, 500 * time.Millisecond, 500 * time.Millisecond
	ctx, stop := context.WithTimeout(t.Context(), 12*time.Second)
	defer stop()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		stored []string
		failed int
	)
	for i := range publishers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d", i, n)
				one, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
				began := time.Now()
				err := e.Put(one, name, &queue.Message{Headers: map[string]any{"id": id}, Body: []byte(id)})
				cancel()
				if took := time.Since(began); took > limit+slack {
					t.Errorf("Put() took %s, and its context %s", took, limit)
				}
				mu.Lock()
				if err == nil {
					stored = append(stored, id)
				} else if failed++; !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("Put() = %v; want ErrUnavailable", err)
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	faults := []func(){
		p.cut,
		func() { p.truncate(rand.IntN(300)) },
		func() { p.stall(true, true) },
		func() { p.stall(false, true) }, // RabbitMQ stores, and its confirmations do not come
		func() { p.stall(true, false) },
		p.refuseAll,
	}
	for i := 0; ctx.Err() == nil; i++ {
		time.Sleep(400 * time.Millisecond)
		faults[i%len(faults)]()
		time.Sleep(300 * time.Millisecond)
		p.resume()
	}
	wg.Wait()
	must(t, e.Close(context.WithoutCancel(ctx)))
	seen := drain(t, direct, name)
	missing := 0
	for _, id := range stored {
		if seen[id] == 0 {
			missing++
		}
	}
	t.Logf("%d confirmed, %d failed, %d stored", len(stored), failed, len(seen))
	if missing > 0 || len(stored) < 1000 || failed == 0 {
		t.Errorf("%d of %d confirmed messages are missing (%d failed)", missing, len(stored), failed)
	}
}

// TestStalledConnection: writes that hang are given up, and the connection is closed.
func TestStalledConnection(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, p := r.engine(t), newProxy(t, r)
	e := r.engineAt(t, "127.0.0.1", p.port(), quick)
	name := aQueue(t, direct, false)
	must(t, e.Put(t.Context(), name, &queue.Message{Body: []byte("before")}))
	p.stall(true, true)
	large := make([]byte, 8<<20) // more than the buffers of the sockets hold
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := e.Put(ctx, name, &queue.Message{Body: large})
			if took := time.Since(began); !errors.Is(err, queue.ErrUnavailable) || took > time.Second {
				t.Errorf("Put() = %v after %s; want ErrUnavailable after 200ms", err, took)
			}
		})
	}
	wg.Wait()
	began := time.Now()
	if err := e.Put(t.Context(), name, &queue.Message{Body: []byte("bounded")}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put() without a deadline = %v; want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Put() without a deadline took %s; want 2s", took)
	}
	eventually(t, "the engine reports the connection", func() bool { return errors.Is(e.Ready(), queue.ErrUnavailable) })
	p.resume()
	eventually(t, "messages are stored again", func() bool { return e.Put(t.Context(), name, &queue.Message{Body: []byte("after")}) == nil })
	eventually(t, "the engine is ready", func() bool { return e.Ready() == nil })
}

// TestConsumersComeBack by themselves, from a cut and from a silent connection.
func TestConsumersComeBack(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	for name, fault := range map[string]func(p *proxy){
		"cut":       (*proxy).cut,
		"truncated": func(p *proxy) { p.truncate(3) }, // in the next heartbeat
		"silent":    func(p *proxy) { p.stall(true, true) },
		"refused":   (*proxy).refuseAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct, p := r.engine(t), newProxy(t, r)
			e := r.engineAt(t, "127.0.0.1", p.port(), quick)
			q := aQueue(t, direct, false)
			c := consume(t, e, q, 10)
			put(t, direct, q, "1")
			first := c.next(t, "1")
			fault(p)
			eventually(t, "the context of the delivery ends", func() bool { return first.ctx.Err() != nil })
			if err := first.Ack(); !errors.Is(err, queue.ErrUnavailable) {
				t.Errorf("Ack() = %v; want ErrUnavailable", err)
			}
			put(t, direct, q, "2")
			p.resume()
			again := c.next(t, "1")
			if !again.Redelivered() {
				t.Error("the message was not redelivered")
			}
			must(t, again.Ack())
			must(t, c.next(t, "2").Ack())
			must(t, c.c.Err())
			eventually(t, "the engine is ready", func() bool { return e.Ready() == nil })
			must(t, c.c.Cancel(t.Context()))
		})
	}
}

// TestCloseWhileAway: an engine ends even if RabbitMQ does not answer.
func TestCloseWhileAway(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, p := r.engine(t), newProxy(t, r)
	e := r.engineAt(t, "127.0.0.1", p.port(), quick)
	q := aQueue(t, direct, false)
	c := consume(t, e, q, 10)
	put(t, direct, q, "1")
	c.next(t, "1")
	p.stall(true, true)
	began := time.Now()
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("Close() took %s", took)
	}
	p.resume()
	if seen := drain(t, direct, q); seen["1"] != 1 {
		t.Errorf("the queue holds %v; want the message that was in hand", seen)
	}
}

// handed is a delivery with the context that its handler got.
type handed struct {
	queue.Delivery
	ctx context.Context
}

type testConsumer struct {
	c          queue.Consumption
	deliveries chan handed
}

func consume(t testing.TB, e *Engine, name string, prefetch int) *testConsumer {
	t.Helper()
	out := &testConsumer{deliveries: make(chan handed, 10_000)}
	var err error
	out.c, err = e.Consume(t.Context(), queue.Consumer{Queue: name, Scope: "s", Prefetch: prefetch, Handler: func(ctx context.Context, d queue.Delivery) {
		out.deliveries <- handed{d, ctx}
	}})
	must(t, err)
	return out
}

func (c *testConsumer) next(t testing.TB, text string) handed {
	t.Helper()
	select {
	case d := <-c.deliveries:
		if got := string(d.Message().Body); got != text {
			t.Fatalf("delivery %q; want %q", got, text)
		}
		return d
	case <-time.After(patience):
		t.Fatalf("no delivery %q; consumer: %v", text, c.c.Err())
		return handed{}
	}
}

func put(t testing.TB, e *Engine, name string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		must(t, e.Put(t.Context(), name, &queue.Message{Body: []byte(text)}))
	}
}
