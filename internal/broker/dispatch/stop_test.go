package dispatch

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestStop: a replica that stops with events in hand loses none, and makes no dead
// letter of one that may be tried again. The next replica continues the count.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(parallel(10), retries(3, linear, "PT2S"))
		const events = 90
		var mu sync.Mutex
		delivered := map[string]int{}
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			time.Sleep(3 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			n, _ := strconv.Atoi(r.Event.ID())
			if n%3 == 0 || n%3 == 1 && f.sender.count()[r.Event.ID()] < 3 {
				return fails(503, true)
			}
			delivered[r.Event.ID()]++
			return ok()
		})
		f.publishMany(events)
		for range 20 {
			time.Sleep(4700 * time.Millisecond)
			start := time.Now()
			f.stop(time.Minute)
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("Stop took %s, want the time of one delivery", took)
			}
			f.begin(f.engine, f.engine)
			f.apply()
		}
		time.Sleep(time.Hour)
		dead, sent := f.deadLetters(), f.sender.count()
		if len(dead) != events/3 || len(delivered) != events/3*2 || f.waiting() != 0 {
			t.Errorf("%d dead letters, %d delivered, %d wait; want %d, %d, 0", len(dead), len(delivered), f.waiting(), events/3, events/3*2)
		}
		for id, e := range dead {
			if n := attempts(t, e); n != 4 || sent[id] != 4 {
				t.Errorf("event %s is a dead letter with %d attempts and was sent %d times, want 4", id, n, sent[id])
			}
		}
		for id, n := range delivered {
			if n != 1 {
				t.Errorf("event %s was delivered %d times by graceful stops", id, n)
			}
		}
	})
}

// TestStop_ReturnsUnsent: what was not sent is back at once, with its place and without
// an attempt, while deliveries end.
func TestStop_ReturnsUnsent(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(parallel(2))
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
			time.Sleep(10 * time.Minute)
			return ok()
		})
		f.publishMany(10)
		time.Sleep(time.Second)
		stopped := make(chan struct{})
		go func() { defer close(stopped); _ = f.d.Stop(context.Background()) }()
		time.Sleep(time.Second)
		if n := f.depth(f.queue()); n != 8 {
			t.Errorf("%d events are back, want the 8 that were not sent", n)
		}
		<-stopped
		if took := time.Since(f.start); took < 10*time.Minute {
			t.Errorf("Stop returned after %s, before the deliveries had ended", took)
		}
		messages := f.take(f.queue())
		for _, m := range messages {
			if transit := event.TransitOf(m); transit.Attempts != 0 {
				t.Errorf("an event that was not sent has %d attempts", transit.Attempts)
			}
		}
		if len(messages) != 8 {
			t.Errorf("%d events are left, want 8", len(messages))
		}
	})
}

// TestStop_WhenOverdue: deliveries that are given up count as no attempt.
func TestStop_WhenOverdue(t *testing.T) {
	for _, change := range []func(*eventingv1.Trigger){parallel(5), ordered} {
		t.Run("", func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.trigger = f.newTrigger("greeter", change)
				f.apply()
				f.sender.set(func(ctx context.Context, _ *delivery.Request) *delivery.Result { return hang(ctx) })
				f.publishMany(3)
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := f.d.Stop(ctx); err == nil {
					t.Error("Stop hides that deliveries were given up")
				}
				if n := f.depth(f.queue()); n != 3 || f.depth(dlq) != 0 {
					t.Errorf("%d events are back, %d dead letters; want 3, 0", n, f.depth(dlq))
				}
			})
		})
	}
}

// late keeps the handler of the Trigger's queue.
type late struct {
	queue.Subscriber
	handler queue.Handler
}

func (l *late) Consume(ctx context.Context, c queue.Consumer) (queue.Consumption, error) {
	if !strings.HasPrefix(c.Queue, "lambda.delay.") {
		l.handler = c.Handler
	}
	return l.Subscriber.Consume(ctx, c)
}

// untouched is a delivery that is not to be settled.
type untouched struct {
	queue.Delivery
	t *testing.T
}

func (u untouched) Message() *queue.Message { return mustEncode(u.t, "late") }

func (u untouched) Return() error {
	u.t.Error("a delivery that came late was returned before its consumer was closed")
	return nil
}

// TestStop_WhenADeliveryComesLate: what a consumer hands out that could not be canceled in
// time is left to its end. Stop does not wait for it.
func TestStop_WhenADeliveryComesLate(t *testing.T) {
	for name, change := range map[string]func(*eventingv1.Trigger){"unordered": parallel(5), "ordered": ordered} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.stop(time.Second)
				consumers := &late{Subscriber: f.engine}
				f.begin(f.engine, consumers)
				f.trigger = f.newTrigger("late", change)
				f.apply()
				synctest.Wait()
				f.stop(time.Second)
				consumers.handler(t.Context(), untouched{t: t})
				synctest.Wait()
				if n := len(f.sender.count()); n != 0 {
					t.Errorf("%d events were sent", n)
				}
			})
		})
	}
}

// TestOrder: 10,000 numbered events, one of ten of which fails twice, arrive in order,
// through replicas that stop and start.
func TestOrder(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		const events = 10_000
		f.trigger = f.newTrigger("ordered", ordered)
		f.apply(retries(3, linear, "PT1S"))
		var mu sync.Mutex
		var order []int
		failed := map[int]int{}
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			time.Sleep(5 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			n, _ := strconv.Atoi(r.Event.ID())
			if n%10 == 0 && failed[n] < 2 {
				failed[n]++
				return fails(503, true)
			}
			order = append(order, n)
			return ok()
		})
		f.publishMany(events)
		for range 20 {
			time.Sleep(17_003 * time.Millisecond)
			old, delays := f.d, f.delays
			f.begin(f.engine, f.engine) // the next replica starts first
			f.apply()
			f.must(old.Stop(context.Background()))
			f.must(delays.Stop(context.Background()))
		}
		time.Sleep(2 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		last, duplicates := -1, 0
		for _, n := range order {
			switch {
			case n == last+1:
				last = n
			case n <= last:
				duplicates++
				t.Errorf("event %d arrived again after %d", n, last)
			default:
				t.Fatalf("event %d arrived after %d", n, last)
			}
		}
		if last != events-1 || f.depth(dlq) != 0 {
			t.Errorf("the last of %d events is %d, %d duplicates, %d dead letters", events, last, duplicates, f.depth(dlq))
		}
	})
}

// TestOrder_WhenChannelIsLost_Aborts: another replica has the event already.
func TestOrder_WhenChannelIsLost_Aborts(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.trigger = f.newTrigger("ordered", ordered)
		aborted := 0
		f.sender.set(func(ctx context.Context, _ *delivery.Request) *delivery.Result {
			result := hang(ctx)
			aborted++
			return result
		})
		f.apply(retries(0, linear, "PT1S"))
		f.publishMany(2)
		time.Sleep(time.Second)
		f.must(f.engine.Close(t.Context()))
		synctest.Wait()
		if aborted != 1 {
			t.Errorf("%d requests were aborted, want 1", aborted)
		}
	})
}

// TestParallelism: a change of parallelism drains the queue that the Trigger had before
// it consumes the new one.
func TestParallelism(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		var mu sync.Mutex
		var order []string
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, r.Event.ID())
			return ok()
		})
		f.apply(parallel(2))
		old := f.queue()
		f.publishMany(6)
		time.Sleep(500 * time.Millisecond)
		f.must(f.engine.Unbind(t.Context(), old, "unused"))
		next := f.newTrigger("greeter", ordered) // binds the ordered queue
		f.apply(func(t *eventingv1.Trigger) {
			*t = *next
			t.Status.Annotations["lambda.knative.io/draining-queues"] = old
		})
		f.must(f.engine.Put(t.Context(), f.queue(), mustEncode(t, "last")))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 6 {
			t.Errorf("the events are %v, want those of the old queue only", order)
		}
		state, err := f.engine.Inspect(t.Context(), old)
		f.must(err)
		if state.Consumers != 0 {
			t.Error("the empty queue is still consumed: the controller cannot delete it")
		}
		mu.Unlock()
		f.apply(func(t *eventingv1.Trigger) { delete(t.Status.Annotations, "lambda.knative.io/draining-queues") })
		time.Sleep(time.Minute)
		mu.Lock()
		if len(order) != 7 || order[6] != "last" {
			t.Errorf("the events are %v, want the one of the new queue at last", fmt.Sprint(order))
		}
	})
}
