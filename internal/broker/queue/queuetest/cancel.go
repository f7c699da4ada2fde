package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

var cancelTests = []test{
	{"CancelReturnsWhatIsNotHandedOut", testCancel},
	{"CancelDuringDeliveries", testCancelBusy},
	{"CancelWithoutQueue", testCancelMissing},
	{"CloseReturnsWhatIsInHand", testClose},
}

var orderTests = []test{
	{"OrderedOneActiveConsumer", testOrderedActive},
	{"OrderedReturnKeepsOrder", testOrderedReturn},
	{"OrderedTakeOver", testOrderedTakeOver},
	{"OrderedCloseKeepsOrder", testOrderedClose},
}

func testCancel(f *fixture) {
	q := f.queue()
	f.put(q, "1", "2", "3", "4")
	c := f.consume(q, 2)
	one, two := c.next("1"), c.next("2")
	c.cancel()
	c.cancel() // a second call does nothing
	f.must(one.Ack())
	f.must(two.Return())
	c.none()
	f.holds(q, 3)
	state, err := f.e.Inspect(f.ctx(), q)
	if err != nil || state.Consumers != 0 {
		f.t.Errorf("Inspect() = %+v, %v; want no consumer", state, err)
	}
	next := f.consume(q, 3)
	if d := next.next("2"); !d.Redelivered() {
		f.t.Error("the returned message was not redelivered")
	}
	next.next("3")
	next.next("4")
	f.must(c.c.Close())
}

// testCancelBusy: a handler is not called after Cancel, and each message was handed
// out or is in the queue. Where several messages return, their order is not promised:
// RabbitMQ itself returns what it was about to deliver.
func testCancelBusy(f *fixture) {
	q := f.queue()
	const total = 200
	for i := range total {
		f.put(q, fmt.Sprint(i))
	}
	c := f.consume(q, 50)
	f.must(c.any().Ack())
	c.cancel()
	handed := len(c.deliveries)
	c.f.t.Logf("%d were in hand", handed)
	for range handed {
		f.must((<-c.deliveries).Ack())
	}
	c.none()
	f.holds(q, total-1-handed)
	next := f.consume(q, total)
	seen := map[string]bool{}
	for range total - 1 - handed {
		text := string(next.any().Message().Body)
		if seen[text] {
			f.t.Fatalf("message %s came twice", text)
		}
		seen[text] = true
	}
	next.none()
}

func testCancelMissing(f *fixture) {
	name := f.unique("missing")
	c := f.consume(name, 1)
	c.cancel()
	f.declare(queue.Declaration{Name: name})
	f.put(name, "1")
	c.none()
	f.must(c.c.Close())
	f.holds(name, 1)
}

func testClose(f *fixture) {
	q := f.queue()
	f.put(q, "1", "2", "3")
	c := f.consume(q, 2)
	one, two := c.next("1"), c.next("2")
	f.must(one.Ack())
	c.next("3")
	f.must(c.c.Close())
	f.must(c.c.Close())
	f.holds(q, 2)
	if err := two.Ack(); err == nil {
		f.t.Error("Ack() after Close() = nil; want an error: the message is back in the queue")
	}
	f.eventually("the context of the delivery ends", func() bool { return two.ctx.Err() != nil })
	next := f.consume(q, 2)
	next.next("2")
	next.next("3")
}

func (f *fixture) ordered() string {
	f.t.Helper()
	return f.declare(queue.Declaration{Name: f.unique("ordered"), Ordered: true})
}

func testOrderedActive(f *fixture) {
	q := f.ordered()
	a, b := f.consume(q, 2).works(), f.consume(q, 2).works()
	f.put(q, "1", "2", "3")
	one := a.next("1")
	two := a.next("2")
	b.none()
	f.must(one.Ack())
	f.must(two.Ack())
	f.must(a.next("3").Ack())
	b.none()
}

func testOrderedReturn(f *fixture) {
	q := f.ordered()
	f.put(q, "1", "2", "3")
	c := f.consume(q, 1)
	for range 5 {
		f.must(c.next("1").Return())
	}
	for _, text := range []string{"1", "2", "3"} {
		f.must(c.next(text).Ack())
	}
}

// testOrderedTakeOver: the delivery ends, the consumer is cancelled, and the message
// is acknowledged, in this order. The next consumer begins with the next message.
func testOrderedTakeOver(f *fixture) {
	q := f.ordered()
	const total = 20
	active := f.consume(q, 1).works()
	for i := range total {
		f.put(q, fmt.Sprint(i))
	}
	for i := range total {
		d := active.next(fmt.Sprint(i))
		if i%3 == 2 {
			waiting := f.consume(q, 1).works()
			active.cancel()
			f.must(d.Ack())
			active.none()
			active = waiting
			continue
		}
		f.must(d.Ack())
	}
	f.holds(q, 0)
}

// testOrderedClose: a consumer that is closed with a message in hand is not overtaken.
func testOrderedClose(f *fixture) {
	q := f.ordered()
	const total = 10
	for i := range total {
		f.put(q, fmt.Sprint(i))
	}
	consume := func(i int) *consumer {
		return f.consumeAs(queue.Consumer{Queue: q, Scope: fmt.Sprint(q, i), Prefetch: 1}).works()
	}
	active := consume(0)
	for i := range total {
		d := active.next(fmt.Sprint(i))
		waiting := consume(i + 1)
		f.must(active.c.Close())
		if d.Ack() == nil {
			f.t.Error("Ack() after Close() = nil; want an error: the message is back in the queue")
		}
		active = waiting
		f.must(active.next(fmt.Sprint(i)).Ack())
	}
	f.holds(q, 0)
}

var topologyTests = []test{
	{"DeclareTwice", testDeclareTwice},
	{"DeclareConflict", testConflict},
	{"Inspect", testInspect},
	{"BindUnbindDelete", testBindings},
	{"DeclareAtOnce", testDeclareAtOnce},
}

func testDeclareTwice(f *fixture) {
	for _, d := range []queue.Declaration{
		{Name: f.unique("q")},
		{Name: f.unique("q"), Kind: queue.Quorum, Ordered: true},
		{Name: f.unique("q"), Kind: queue.Classic},
		{Name: f.unique("q"), Kind: queue.Classic, Ordered: true},
	} {
		f.declare(d)
		f.put(d.Name, "1")
		f.declare(d)
		f.holds(d.Name, 1)
		f.must(f.consume(d.Name, 1).next("1").Ack())
	}
	f.must(f.e.DeclareExchange(f.ctx()))
}

func testConflict(f *fixture) {
	name := f.queue()
	f.put(name, "1")
	for _, d := range []queue.Declaration{{Name: name, Ordered: true}, {Name: name, Kind: queue.Classic}} {
		if err := f.e.Declare(f.ctx(), d); !errors.Is(err, queue.ErrConflict) {
			f.t.Errorf("Declare(%+v) = %v; want ErrConflict", d, err)
		}
	}
	f.holds(name, 1)
}

func testInspect(f *fixture) {
	q := f.queue()
	if state, err := f.e.Inspect(f.ctx(), q); state != (queue.State{}) || err != nil {
		f.t.Errorf("Inspect() = %+v, %v; want nothing", state, err)
	}
	f.put(q, "1", "2", "3")
	f.holds(q, 3)
	c := f.consume(q, 1)
	c.next("1")
	f.holds(q, 2)
	if state, err := f.e.Inspect(f.ctx(), q); state.Consumers != 1 || err != nil {
		f.t.Errorf("Inspect() = %+v, %v; want one consumer", state, err)
	}
	if _, err := f.e.Inspect(f.ctx(), f.unique("missing")); !errors.Is(err, queue.ErrNoQueue) {
		f.t.Errorf("Inspect() of a missing queue = %v; want ErrNoQueue", err)
	}
}

func testBindings(f *fixture) {
	key, q, missing := f.unique("k"), f.queue(), f.unique("missing")
	for range 2 {
		f.must(f.e.Bind(f.ctx(), q, key))
	}
	f.must(f.e.Publish(f.ctx(), []string{key}, message("1")))
	f.holds(q, 1)
	for range 2 {
		f.must(f.e.Unbind(f.ctx(), q, key))
	}
	f.must(f.e.Unbind(f.ctx(), missing, key))
	if err := f.e.Publish(f.ctx(), []string{key}, message("2")); !errors.Is(err, queue.ErrUnrouted) {
		f.t.Errorf("Publish() after Unbind() = %v; want ErrUnrouted", err)
	}
	if err := f.e.Bind(f.ctx(), missing, key); !errors.Is(err, queue.ErrNoQueue) {
		f.t.Errorf("Bind() of a missing queue = %v; want ErrNoQueue", err)
	}
	f.must(f.e.Bind(f.ctx(), q, key))
	for range 2 {
		f.must(f.e.Delete(f.ctx(), q))
	}
	if err := f.e.Publish(f.ctx(), []string{key}, message("3")); !errors.Is(err, queue.ErrUnrouted) {
		f.t.Errorf("Publish() after Delete() = %v; want ErrUnrouted", err)
	}
}

// testDeclareAtOnce: several replicas may declare the same at the same time.
func testDeclareAtOnce(f *fixture) {
	name, key := f.unique("q"), f.unique("k")
	f.t.Cleanup(func() { _ = f.e.Delete(context.WithoutCancel(f.ctx()), name) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := errors.Join(f.e.Declare(f.ctx(), queue.Declaration{Name: name}), f.e.Bind(f.ctx(), name, key)); err != nil {
				f.t.Error(err)
			}
		})
	}
	wg.Wait()
	f.must(f.e.Publish(f.ctx(), []string{key}, message("1")))
	f.holds(name, 1)
}
