package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestQueuesComeAndGo: queues that are declared and deleted under their consumers, over
// and over, cost other scopes nothing.
func TestQueuesComeAndGo(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, e := r.engine(t), r.engine(t)
	quiet := aQueue(t, direct, false)
	put(t, direct, quiet, "1")
	d := consume(t, e, quiet, 1).next(t, "1")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for n := range 5 {
				churn(t, direct, e, fmt.Sprintf("lambda.churn.%d.%d.%d", i, n, time.Now().UnixNano()))
			}
		})
	}
	wg.Wait()
	if d.ctx.Err() != nil {
		t.Errorf("the delivery of another scope was lost: %v", context.Cause(d.ctx))
	}
	must(t, d.Ack())
}

// churn consumes a queue before it is declared, and until it is deleted.
func churn(t *testing.T, direct, e *Engine, name string) {
	got := make(chan queue.Delivery, 100)
	c, err := e.Consume(t.Context(), queue.Consumer{Queue: name, Scope: "churn", Prefetch: 5, Handler: func(_ context.Context, d queue.Delivery) { got <- d }})
	if err != nil {
		t.Error(err)
		return
	}
	if err := errors.Join(direct.Declare(t.Context(), queue.Declaration{Name: name}), direct.Put(t.Context(), name, &queue.Message{})); err != nil {
		t.Error(err)
	}
	select {
	case d := <-got:
		if err := d.Ack(); err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Errorf("no delivery from %s: %v", name, c.Err())
	}
	if err := errors.Join(direct.Delete(t.Context(), name), c.Close()); err != nil {
		t.Error(err)
	}
}

// TestQueueDeclaredAgainAtOnce: a consumer gets what a new queue of the same name holds.
// RabbitMQ 3.10 has to have cancelled the consumer first: if the queue is declared again
// within that time, it moves the consumer to the new queue, and loses its deliveries
// until the channel is closed.
func TestQueueDeclaredAgainAtOnce(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct, e := r.engine(t), r.engine(t)
	name := aQueue(t, direct, false)
	c := consume(t, e, name, 5)
	for i := range 5 {
		text := fmt.Sprint(i)
		put(t, direct, name, text)
		must(t, c.next(t, text).Ack())
		must(t, direct.Delete(t.Context(), name))
		eventually(t, "the consumer is cancelled", func() bool { return c.c.Err() != nil })
		must(t, direct.Declare(t.Context(), queue.Declaration{Name: name}))
	}
}

// TestFaultStaysInItsScope: RabbitMQ closes the channel of one scope.
func TestFaultStaysInItsScope(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	direct := r.engine(t)
	e := r.engine(t)
	broken, other := aQueue(t, direct, false), aQueue(t, direct, false)
	put(t, direct, broken, "1")
	put(t, direct, other, "2")
	c := consume(t, e, broken, 1)
	got := make(chan handed, 1)
	beside, err := e.Consume(t.Context(), queue.Consumer{Queue: other, Scope: "other", Prefetch: 1, Handler: func(ctx context.Context, d queue.Delivery) { got <- handed{d, ctx} }})
	must(t, err)
	one, two := c.next(t, "1"), <-got
	must(t, one.Delivery.(*delivery).sub.channel.amqp.Ack(12345, false)) // a tag that RabbitMQ does not know
	eventually(t, "the delivery is lost", func() bool { return one.ctx.Err() != nil })
	again := c.next(t, "1")
	must(t, again.Ack())
	if two.ctx.Err() != nil || beside.Err() != nil {
		t.Errorf("the other scope: delivery %v, consumer %v; want neither disturbed", two.ctx.Err(), beside.Err())
	}
	must(t, two.Ack())
	must(t, beside.Close())
}

// TestChannelsAreReplaced: a channel whose confirmations were given up too often ends,
// and publishing goes on.
func TestChannelsAreReplaced(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	e := r.engine(t)
	q := aQueue(t, e, false)
	put(t, e, q, "1")
	e.publishers.mu.Lock()
	old := e.publishers.all[0]
	e.publishers.mu.Unlock()
	old.mu.Lock()
	old.abandoned = maxAbandoned
	old.mu.Unlock()
	put(t, e, q, "2")
	e.publishers.mu.Lock()
	defer e.publishers.mu.Unlock()
	if n := len(e.publishers.all); n != 1 || e.publishers.all[0] == old {
		t.Errorf("%d channels; want a new one", n)
	}
}

// TestChannelsEnd: a channel without consumers is closed after a while, and one that is
// needed again is opened.
func TestChannelsEnd(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	e := r.engine(t)
	q := aQueue(t, e, false)
	put(t, e, q, "1", "2")
	c := consume(t, e, q, 1)
	d := c.next(t, "1")
	must(t, c.c.Cancel(t.Context()))
	must(t, d.Ack())
	ch := d.Delivery.(*delivery).sub.channel
	eventually(t, "the channel is closed", func() bool { return ch.ctx.Err() != nil })
	must(t, consume(t, e, q, 1).next(t, "2").Ack())
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.consumptions); n != 1 {
		t.Errorf("%d consumptions are known; want the one that was not cancelled", n)
	}
}
