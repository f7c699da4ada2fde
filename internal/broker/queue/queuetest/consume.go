package queuetest

import (
	"errors"
	"fmt"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

var consumeTests = []test{
	{"AckRemoves", testAck},
	{"ReturnedComesBack", testReturn},
	{"ReturnedComesBeforeWhatWaits", testReturnPlace},
	{"SettledOnce", testSettledOnce},
	{"PrefetchBounds", testPrefetch},
	{"PrefetchOfEachConsumer", testPrefetchEach},
	{"CompetingConsumers", testCompeting},
	{"Priority", testPriority},
	{"QueueThatAppearsLater", testLater},
	{"QueueDeletedAndDeclaredAgain", testDeletedQueue},
	{"MissingQueueDisturbsNoOther", testMissingBeside},
	{"ManyConsumersOfOneScope", testManyConsumers},
}

func testAck(f *fixture) {
	q := f.queue()
	f.put(q, "1", "2", "3")
	c := f.consume(q, 10)
	for _, text := range []string{"1", "2", "3"} {
		d := c.next(text)
		if d.Redelivered() || d.ctx.Err() != nil {
			f.t.Errorf("delivery %s: redelivered %v, context %v; want neither", text, d.Redelivered(), d.ctx.Err())
		}
		f.must(d.Ack())
	}
	f.must(c.c.Close())
	f.holds(q, 0)
	f.consume(q, 10).none()
}

func testReturn(f *fixture) {
	q := f.queue()
	f.put(q, "1")
	c := f.consume(q, 1)
	for i := range 30 { // more often than a delivery limit of RabbitMQ's default
		d := c.next("1")
		if d.Redelivered() != (i > 0) {
			f.t.Fatalf("delivery %d: redelivered %v", i, d.Redelivered())
		}
		if n := len(d.Message().Headers); n != 1 {
			f.t.Fatalf("delivery %d: headers %v; want only the message's own", i, d.Message().Headers)
		}
		f.must(d.Return())
	}
	f.must(c.next("1").Ack())
	c.none()
}

func testReturnPlace(f *fixture) {
	q := f.queue()
	f.put(q, "1", "2", "3", "4", "5", "6")
	c := f.consume(q, 3)
	one, two, three := c.next("1"), c.next("2"), c.next("3")
	c.none()
	f.must(two.Return())
	f.must(c.next("2").Ack()) // before 4, which waits
	c.next("4")
	f.must(one.Ack())
	c.next("5")
	f.must(three.Return())
	c.next("3")
	c.none()
}

func testSettledOnce(f *fixture) {
	q := f.queue()
	f.put(q, "1", "2", "3")
	c := f.consume(q, 1)
	d := c.next("1")
	f.must(d.Ack())
	for name, err := range map[string]error{"Ack": d.Ack(), "Return": d.Return()} {
		if !errors.Is(err, queue.ErrSettled) {
			f.t.Errorf("%s() of a settled delivery = %v; want ErrSettled", name, err)
		}
	}
	f.must(c.next("2").Ack()) // the consumer has survived
	f.must(c.next("3").Ack())
}

func testPrefetch(f *fixture) {
	q := f.queue()
	c := f.consume(q, 3).works()
	f.put(q, "1", "2", "3", "4", "5", "6")
	first := c.next("1")
	c.next("2")
	c.next("3")
	c.none()
	f.holds(q, 3)
	f.must(first.Ack())
	c.next("4")
	c.none()
}

// testPrefetchEach: consumers of one scope share a channel, and not its prefetch.
func testPrefetchEach(f *fixture) {
	small, large := f.queue(), f.queue()
	one, five := f.consume(small, 1).works(), f.consume(large, 5).works()
	for i := range 8 {
		f.put(small, fmt.Sprint(i))
		f.put(large, fmt.Sprint(i))
	}
	for i := range 5 {
		five.next(fmt.Sprint(i))
	}
	one.next("0")
	one.none()
	five.none()
}

func testCompeting(f *fixture) {
	q := f.queue()
	a, b := f.consume(q, 1).works(), f.consume(q, 1).works()
	f.put(q, "1", "2", "3", "4")
	x, y := a.any(), b.any()
	if string(x.Message().Body) == string(y.Message().Body) {
		f.t.Fatalf("both consumers have %q", x.Message().Body)
	}
	f.must(x.Ack())
	f.must(a.any().Ack())
	f.must(a.any().Ack())
	f.must(y.Ack())
	f.holds(q, 0)
}

func testPriority(f *fixture) {
	q := f.queue()
	low := f.consumeAs(queue.Consumer{Queue: q, Prefetch: 10}).works()
	high := f.consumeAs(queue.Consumer{Queue: q, Prefetch: 2, Priority: 5}).works()
	f.put(q, "1", "2", "3")
	high.next("1")
	high.next("2")
	high.none()
	low.next("3")
}

func testLater(f *fixture) {
	name := f.unique("later")
	c := f.consume(name, 1)
	f.eventually("the consumer reports the missing queue", func() bool { return errors.Is(c.c.Err(), queue.ErrNoQueue) })
	f.declare(queue.Declaration{Name: name})
	f.put(name, "1")
	f.must(c.next("1").Ack())
	c.works()
}

func testDeletedQueue(f *fixture) {
	q := f.queue()
	c := f.consume(q, 2).works()
	f.put(q, "1", "2", "3")
	d := c.next("1")
	c.next("2")
	f.must(f.e.Delete(f.ctx(), q))
	f.eventually("the consumer reports the missing queue", func() bool { return errors.Is(c.c.Err(), queue.ErrNoQueue) })
	f.must(f.e.Declare(f.ctx(), queue.Declaration{Name: q}))
	f.put(q, "4", "5", "6")
	four := c.next("4")
	if four.Redelivered() {
		f.t.Error("a message of the new queue was redelivered")
	}
	c.next("5")
	c.none()
	_ = d.Ack() // of the deleted queue: whatever it returns, it disturbs nothing
	c.none()
	f.must(four.Ack())
	c.next("6")
	c.works()
}

func testMissingBeside(f *fixture) {
	q := f.queue()
	c := f.consume(q, 1).works()
	f.put(q, "1")
	d := c.next("1")
	missing := f.consume(f.unique("missing"), 1)
	f.eventually("the consumer reports the missing queue", func() bool { return errors.Is(missing.c.Err(), queue.ErrNoQueue) })
	c.none()
	if err := c.c.Err(); err != nil || d.ctx.Err() != nil {
		f.t.Errorf("consumer %v, delivery %v; want neither disturbed", err, d.ctx.Err())
	}
	f.must(d.Ack())
	f.holds(q, 0)
}

// testManyConsumers: more than one channel has room for.
func testManyConsumers(f *fixture) {
	const many = 70
	q := f.queue()
	consumers := make([]*consumer, many)
	for i := range many {
		consumers[i] = f.consume(q, 1)
	}
	for _, c := range consumers {
		c.works()
	}
	f.eventually("every consumer subscribes", func() bool {
		state, err := f.e.Inspect(f.ctx(), q)
		return err == nil && state.Consumers == many
	})
	for i := range many {
		f.put(q, fmt.Sprint(i))
	}
	deliveries := make([]handed, many)
	for i, c := range consumers {
		deliveries[i] = c.any()
	}
	for _, d := range deliveries {
		f.must(d.Ack())
	}
	f.holds(q, 0)
}
