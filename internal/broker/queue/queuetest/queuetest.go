// Package queuetest holds every implementation of package queue to one behavior.
package queuetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// Engine is an implementation.
type Engine interface {
	queue.Publisher
	queue.Subscriber
	queue.Topology
}

// Limiter is an Engine whose queues can be given a bound. Tests of full queues are
// skipped for others.
type Limiter interface {
	// Limit a queue to a number of messages.
	Limit(ctx context.Context, queue string, messages int) error
}

const (
	// patience is how long a condition may take to become true.
	patience = 20 * time.Second
	// quiet is how long nothing has to happen to count as never.
	quiet = 300 * time.Millisecond
	poll  = 10 * time.Millisecond
)

var sequence atomic.Int64

// Run the suite. open returns an engine, and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) Engine) {
	t.Helper()
	for _, group := range [][]test{publishTests, consumeTests, cancelTests, orderTests, topologyTests, streamTests} {
		for _, tt := range group {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				e := open(t)
				if err := e.DeclareExchange(t.Context()); err != nil {
					t.Fatalf("DeclareExchange() = %v", err)
				}
				tt.run(&fixture{t: t, e: e})
			})
		}
	}
}

type test struct {
	name string
	run  func(f *fixture)
}

// fixture is one test with its engine.
type fixture struct {
	t *testing.T
	e Engine
}

func (f *fixture) ctx() context.Context { return f.t.Context() }

// unique name for a queue or a key.
func (f *fixture) unique(prefix string) string {
	return fmt.Sprintf("lambda.test.%s.%d.%d", prefix, time.Now().UnixNano(), sequence.Add(1))
}

// queue declares a queue, bound to keys.
func (f *fixture) queue(keys ...string) string {
	f.t.Helper()
	return f.declare(queue.Declaration{Name: f.unique("q")}, keys...)
}

func (f *fixture) declare(d queue.Declaration, keys ...string) string {
	f.t.Helper()
	f.must(f.e.Declare(f.ctx(), d))
	f.t.Cleanup(func() { _ = f.e.Delete(context.WithoutCancel(f.ctx()), d.Name) })
	for _, key := range keys {
		f.must(f.e.Bind(f.ctx(), d.Name, key))
	}
	return d.Name
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// put messages whose bodies are the texts.
func (f *fixture) put(name string, texts ...string) {
	f.t.Helper()
	for _, text := range texts {
		if err := f.e.Put(f.ctx(), name, message(text)); err != nil {
			f.t.Fatalf("Put(%s) = %v", text, err)
		}
	}
}

func message(text string) *queue.Message {
	return &queue.Message{Headers: map[string]any{"id": text}, Body: []byte(text)}
}

// eventually fails the test if condition does not become true.
func (f *fixture) eventually(what string, condition func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			f.t.Fatalf("timed out: %s", what)
		}
		time.Sleep(poll)
	}
}

// holds waits until a queue has this many ready messages.
func (f *fixture) holds(name string, messages int) {
	f.t.Helper()
	last, err := queue.State{}, error(nil)
	defer func() {
		if f.t.Failed() {
			f.t.Logf("last state of %s: %+v, %v", name, last, err)
		}
	}()
	f.eventually(fmt.Sprintf("%d ready messages in %s", messages, name), func() bool {
		last, err = f.e.Inspect(f.ctx(), name)
		return err == nil && last.Messages == messages
	})
}

// consumer is a consumption whose deliveries a test takes one by one.
type consumer struct {
	f          *fixture
	c          queue.Consumption
	deliveries chan handed
}

// handed is a delivery with the context that its handler got.
type handed struct {
	queue.Delivery
	ctx context.Context
}

func (f *fixture) consume(name string, prefetch int) *consumer {
	f.t.Helper()
	return f.consumeAs(queue.Consumer{Queue: name, Scope: "namespace", Prefetch: prefetch})
}

func (f *fixture) consumeAs(c queue.Consumer) *consumer {
	f.t.Helper()
	out := &consumer{f: f, deliveries: make(chan handed, 10_000)}
	c.Handler = func(ctx context.Context, d queue.Delivery) { out.deliveries <- handed{Delivery: d, ctx: ctx} }
	var err error
	out.c, err = f.e.Consume(f.ctx(), c)
	f.must(err)
	f.t.Cleanup(func() { _ = out.c.Close() })
	return out
}

// works waits until the broker delivers.
func (c *consumer) works() *consumer {
	c.f.t.Helper()
	c.f.eventually("the consumer has no error", func() bool { return c.c.Err() == nil })
	return c
}

// next delivery, whose body has to be the text.
func (c *consumer) next(text string) handed {
	c.f.t.Helper()
	d := c.any()
	if got := string(d.Message().Body); got != text {
		c.f.t.Fatalf("delivery %q; want %q", got, text)
	}
	return d
}

func (c *consumer) any() handed {
	c.f.t.Helper()
	select {
	case d := <-c.deliveries:
		return d
	case <-time.After(patience):
		c.f.t.Fatalf("no delivery; consumer: %v", c.c.Err())
		return handed{}
	}
}

// none fails the test if there is a delivery.
func (c *consumer) none() {
	c.f.t.Helper()
	select {
	case d := <-c.deliveries:
		c.f.t.Fatalf("unexpected delivery %q", d.Message().Body)
	case <-time.After(quiet):
	}
}

func (c *consumer) cancel() {
	c.f.t.Helper()
	c.f.must(c.c.Cancel(c.f.ctx()))
}
