package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

func mustEncode(t *testing.T, id string) *queue.Message {
	t.Helper()
	m, err := event.Encode(anEvent(id))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// log is the order in which things happen.
type log struct {
	mu    sync.Mutex
	steps []string
}

func (l *log) add(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, step)
}

// spy is a message broker that logs what is asked of it, and whose confirms may fail.
type spy struct {
	queue.Publisher
	queue.Subscriber
	log *log
	// confirm returns what the n-th message gets instead of being stored, from 1.
	confirm func(n int) error
	stored  int
}

func (s *spy) store(what string, store func() error) error {
	s.log.mu.Lock()
	s.stored++
	n := s.stored
	s.log.mu.Unlock()
	if s.confirm != nil {
		if err := s.confirm(n); err != nil {
			s.log.add(what + " refused")
			return err
		}
	}
	if err := store(); err != nil {
		return err
	}
	s.log.add(what + " confirmed")
	return nil
}

func (s *spy) Publish(ctx context.Context, keys []string, m *queue.Message) error {
	return s.store("reply", func() error { return s.Publisher.Publish(ctx, keys, m) })
}

func (s *spy) Put(ctx context.Context, name string, m *queue.Message) error {
	return s.store(name, func() error { return s.Publisher.Put(ctx, name, m) })
}

func (s *spy) Consume(ctx context.Context, c queue.Consumer) (queue.Consumption, error) {
	handler := c.Handler
	c.Handler = func(ctx context.Context, d queue.Delivery) { handler(ctx, spied{d, s.log}) }
	return s.Subscriber.Consume(ctx, c)
}

type spied struct {
	queue.Delivery
	log *log
}

func (d spied) Ack() error    { d.log.add("ack"); return d.Delivery.Ack() }
func (d spied) Return() error { d.log.add("return"); return d.Delivery.Return() }

// TestAcknowledge: an event is acknowledged after what it depends on, and never without.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	unavailable := func(n int) error {
		if n <= 2 {
			return queue.ErrUnavailable
		}
		return nil
	}
	never := func(int) error { return queue.ErrUnavailable }
	reply := &delivery.Result{Status: 200, Reply: anEvent("reply")}
	reply.Reply.SetType("unrouted")
	for name, tt := range map[string]struct {
		change  []func(*eventingv1.Trigger)
		result  *delivery.Result
		confirm func(int) error
		delete  bool
		want    []string
		dead    int
	}{
		"delivered":                     {result: ok(), want: []string{"sent", "ack"}},
		"reply":                         {change: []func(*eventingv1.Trigger){placed}, result: reply, want: []string{"sent", "reply confirmed", "ack", "ack"}},
		"reply, RabbitMQ away":          {change: []func(*eventingv1.Trigger){placed}, result: reply, confirm: unavailable, want: []string{"sent", "reply refused", "reply refused", "reply confirmed", "ack", "ack"}},
		"dead letter":                   {result: fails(400, false), want: []string{"sent", dlq + " confirmed", "ack"}, dead: 1},
		"dead letter, RabbitMQ away":    {result: fails(400, false), confirm: unavailable, want: []string{"sent", dlq + " refused", dlq + " refused", dlq + " confirmed", "ack"}, dead: 1},
		"dead letter, RabbitMQ blocked": {result: fails(400, false), confirm: func(n int) error { return map[bool]error{true: queue.ErrBlocked}[n == 1] }, want: []string{"sent", dlq + " refused", dlq + " confirmed", "ack"}, dead: 1},
		"dead letter, queue full":       {result: fails(400, false), confirm: func(n int) error { return map[bool]error{true: queue.ErrFull}[n == 1] }, want: []string{"sent", dlq + " refused", "lambda.delay.10s confirmed", "ack"}},
		"sink":                          {change: []func(*eventingv1.Trigger){sink}, result: fails(400, false), want: []string{"sent", "sent", "lambda.delay.10s confirmed", "ack"}},
		"neither":                       {change: []func(*eventingv1.Trigger){noQueue}, result: fails(400, false), want: []string{"sent", "ack"}},
		"moved":                         {change: []func(*eventingv1.Trigger){retries(3, exponential, "PT1M")}, result: fails(503, true), want: []string{"sent", "lambda.delay.30s confirmed", "ack"}},
		"moved, RabbitMQ away":          {change: []func(*eventingv1.Trigger){retries(3, exponential, "PT1M")}, result: fails(503, true), confirm: never, want: []string{"sent", "lambda.delay.30s refused"}},
		"filtered":                      {change: []func(*eventingv1.Trigger){func(t *eventingv1.Trigger) { t.Spec.Filter = filterType("other") }}, result: ok(), want: []string{"ack"}},
		"the Trigger is deleted":        {change: []func(*eventingv1.Trigger){retries(1, linear, "PT1S")}, result: fails(503, true), delete: true, want: []string{"sent", "ack"}},
		"no subscriber":                 {change: []func(*eventingv1.Trigger){func(t *eventingv1.Trigger) { t.Status.SubscriberURI = nil }}, result: ok()},
		"dependency not ready":          {change: []func(*eventingv1.Trigger){func(t *eventingv1.Trigger) { t.Annotations["knative.dev/dependency"] = "{}" }}, result: ok()},
		"filter not valid":              {change: []func(*eventingv1.Trigger){func(t *eventingv1.Trigger) { t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{CESQL: "("}} }}, result: ok()},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.stop(time.Minute)
				steps := &log{}
				s := &spy{Publisher: f.engine, Subscriber: f.engine, log: steps, confirm: tt.confirm}
				f.begin(s, s)
				f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
					steps.add("sent")
					if tt.delete {
						f.d.Remove(f.trigger.UID)
					}
					return tt.result
				})
				f.publish(anEvent("1"))
				f.apply(tt.change...)
				time.Sleep(time.Second)
				steps.mu.Lock()
				got := append([]string{}, steps.steps...)
				steps.mu.Unlock()
				if len(got) > len(tt.want) && name == "moved, RabbitMQ away" {
					got = got[:len(tt.want)]
				}
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("the steps are %q, want %q", got, tt.want)
				}
				if n := f.depth(dlq); n != tt.dead {
					t.Errorf("%d dead letters, want %d", n, tt.dead)
				}
				s.confirm = nil
			})
		})
	}
}

// TestCrash: after each step of each way, the replica crashes. The event is delivered
// again or is stored, and never lost.
func TestCrash(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]func(*eventingv1.Trigger){
		"dead letter": nil,
		"moved":       {retries(1, exponential, "PT1M")},
		"in hand":     {retries(1, exponential, "PT1S")},
	} {
		for step := 1; step <= 3; step++ {
			t.Run(fmt.Sprint(name, step), func(t *testing.T) {
				bubble(t, func(t *testing.T, f *fixture) {
					f.stop(time.Minute)
					var consumptions []queue.Consumption
					s := &crashing{engine: f.engine, after: step}
					s.crash = func() {
						for _, c := range consumptions {
							go func() { _ = c.Close() }()
						}
						synctestSleep()
					}
					s.consumed = func(c queue.Consumption) { consumptions = append(consumptions, c) }
					f.begin(s, s)
					f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
						s.step()
						return fails(503, true)
					})
					f.publish(anEvent("1"))
					f.apply(change...)
					time.Sleep(time.Minute)
					f.stop(time.Minute)
					f.begin(f.engine, f.engine)
					f.apply()
					time.Sleep(time.Hour)
					if dead := f.take(dlq); len(dead) == 0 || f.waiting() != 0 {
						t.Errorf("%d dead letters, %d events wait; the event is lost", len(dead), f.waiting())
					} else if e, err := event.Decode(dead[0]); err != nil || attempts(t, e) != len(change)+1 {
						t.Errorf("the dead letter is %v, %v; want %d attempts", e, err, len(change)+1)
					}
				})
			})
		}
	}
}

func synctestSleep() { time.Sleep(time.Millisecond) }

// crashing is a message broker whose replica loses its channels after a step.
type crashing struct {
	engine interface {
		queue.Publisher
		queue.Subscriber
	}
	mu       sync.Mutex
	steps    int
	after    int
	crash    func()
	consumed func(queue.Consumption)
}

func (c *crashing) step() {
	c.mu.Lock()
	c.steps++
	now := c.steps == c.after
	c.mu.Unlock()
	if now {
		c.crash()
	}
}

func (c *crashing) Publish(ctx context.Context, keys []string, m *queue.Message) error {
	defer c.step()
	return c.engine.Publish(ctx, keys, m)
}

func (c *crashing) Put(ctx context.Context, name string, m *queue.Message) error {
	defer c.step()
	return c.engine.Put(ctx, name, m)
}

func (c *crashing) Consume(ctx context.Context, consumer queue.Consumer) (queue.Consumption, error) {
	consumption, err := c.engine.Consume(ctx, consumer)
	if err == nil {
		c.consumed(consumption)
	}
	return consumption, err
}

func placed(t *eventingv1.Trigger) { t.Spec.Filter = filterType("order.placed") }

func filterType(value string) *eventingv1.TriggerFilter {
	return &eventingv1.TriggerFilter{Attributes: map[string]string{"type": value}}
}

// TestChannelLost: nothing is done with an event that is in other hands.
func TestChannelLost(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.stop(time.Minute)
		var consumption queue.Consumption
		s := &crashing{engine: f.engine, consumed: func(c queue.Consumption) { consumption = c }}
		f.begin(s, s)
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
			time.Sleep(time.Second)
			return fails(400, false)
		})
		f.publish(anEvent("1"))
		f.apply()
		synctest.Wait()
		f.must(consumption.Close())
		time.Sleep(time.Minute)
		if f.depth(dlq) != 0 || f.depth(f.queue()) != 1 {
			t.Errorf("%d dead letters, %d events wait; want 0, 1", f.depth(dlq), f.depth(f.queue()))
		}
	})
}
