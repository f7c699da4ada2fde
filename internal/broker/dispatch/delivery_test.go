package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	linear      = eventingduckv1.BackoffPolicyLinear
	exponential = eventingduckv1.BackoffPolicyExponential
)

// TestRetries: when an event is sent that always fails, and what its dead letter says.
func TestRetries(t *testing.T) {
	t.Parallel()
	const s, m = time.Second, time.Minute
	for name, tt := range map[string]struct {
		change []func(*eventingv1.Trigger)
		result *delivery.Result
		times  []time.Duration // exact for those that wait in hand
		dead   map[string]string
	}{
		"no retries":            {result: fails(500, true), times: []time.Duration{0}, dead: map[string]string{"lambdaattempts": "1", "lambdaerrorcode": "500", "knativeerrorcode": "500"}},
		"final":                 {[]func(*eventingv1.Trigger){retries(5, linear, "PT1S")}, fails(400, false), []time.Duration{0}, map[string]string{"lambdaattempts": "1", "knativeerrorcode": "400"}},
		"linear":                {[]func(*eventingv1.Trigger){retries(3, linear, "PT2S")}, fails(503, true), []time.Duration{0, 0, 2 * s, 6 * s}, map[string]string{"lambdaattempts": "4"}},
		"exponential":           {[]func(*eventingv1.Trigger){retries(3, exponential, "PT1S")}, fails(503, true), []time.Duration{0, s, 3 * s, 7 * s}, map[string]string{"lambdaattempts": "4", "knativeerrordata": "YnJva2Vu"}},
		"no answer":             {result: fails(delivery.NoAnswer, true), times: []time.Duration{0}, dead: map[string]string{"lambdaerrorcode": "-1", "knativeerrorcode": "500", "knativeerrordest": "http://greeter.team.svc"}},
		"by delay queues":       {[]func(*eventingv1.Trigger){retries(3, exponential, "PT8S")}, fails(503, true), []time.Duration{0, 8 * s, 24 * s, 56 * s}, map[string]string{"lambdaattempts": "4"}},
		"by several":            {[]func(*eventingv1.Trigger){retries(2, exponential, "PT3M")}, fails(503, true), []time.Duration{0, 3 * m, 9 * m}, map[string]string{"lambdaattempts": "3"}},
		"capped at an hour":     {[]func(*eventingv1.Trigger){retries(2, exponential, "PT50M")}, fails(503, true), []time.Duration{0, 50 * m, 110 * m}, map[string]string{"lambdaattempts": "3"}},
		"ordered":               {[]func(*eventingv1.Trigger){retries(3, linear, "PT2S")}, fails(503, true), []time.Duration{0, 0, 2 * s, 6 * s}, map[string]string{"lambdaattempts": "4"}},
		"ordered, over 20 min":  {[]func(*eventingv1.Trigger){retries(3, linear, "PT15M")}, fails(503, true), []time.Duration{0, 0, 15 * m, 45 * m}, map[string]string{"lambdaattempts": "4"}},
		"ordered, long backoff": {[]func(*eventingv1.Trigger){retries(2, exponential, "PT50M")}, fails(503, true), []time.Duration{0, 50 * m, 110 * m}, map[string]string{"lambdaattempts": "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				if name[0] == 'o' {
					f.trigger = f.newTrigger("greeter", ordered)
				}
				f.apply(tt.change...)
				f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { return tt.result })
				f.publish(anEvent("1"))
				time.Sleep(3 * time.Hour)
				got := f.sender.times("1", f.start)
				if len(got) != len(tt.times) {
					t.Fatalf("sent at %v, want %v", got, tt.times)
				}
				for i := range got {
					if late := got[i] - tt.times[i]; late < -time.Millisecond || late > 10*time.Millisecond {
						t.Errorf("sent at %v, want %v", got, tt.times)
					}
				}
				dead := f.deadLetters()["1"]
				if dead == nil {
					t.Fatal("there is no dead letter")
				}
				for name, want := range tt.dead {
					if got := fmt.Sprint(dead.Extensions()[name]); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if at, err := time.Parse(time.RFC3339, fmt.Sprint(dead.Extensions()[events.DeadTimeExtension])); err != nil || time.Since(at) > 3*time.Hour {
					t.Errorf("the dead time is %s, %v", at, err)
				}
				if n := f.waiting(); n > 0 || string(dead.Data()) != "1" {
					t.Errorf("%d events are left, data is %q", n, dead.Data())
				}
			})
		})
	}
}

// TestRetries_WhenMany_Move: at most parallelism events wait in hand; others are moved,
// and other events proceed.
func TestRetries_WhenMany_Move(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(parallel(5), retries(3, linear, "PT5S"))
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			if n, _ := strconv.Atoi(r.Event.ID()); n < 30 {
				return fails(503, true)
			}
			return ok()
		})
		f.publishMany(31)
		time.Sleep(time.Second)
		if got := f.sender.times("30", f.start); len(got) != 1 || got[0] > 100*time.Millisecond {
			t.Errorf("an event behind those that fail was sent at %v", got)
		}
		time.Sleep(time.Hour)
		dead := f.deadLetters()
		if len(dead) != 30 || f.waiting() != 0 {
			t.Errorf("%d dead letters, %d events left", len(dead), f.waiting())
		}
		for id, e := range dead {
			if n := attempts(t, e); n != 4 || f.sender.count()[id] != 4 {
				t.Errorf("event %s: %d attempts, sent %d times", id, n, f.sender.count()[id])
			}
		}
	})
}

// TestReply: a reply is published with the Broker's keys and a lower TTL, before the
// event is acknowledged; replies end with the TTL.
func TestReply(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(func(t *eventingv1.Trigger) {
			t.Spec.Filter = &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "order.placed"}}
		})
		second := f.newTrigger("second", nil) // gets replies
		f.d.Apply(second, f.broker)
		var ttls []any
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			if r.Event.ID() == "reply" {
				ttls = append(ttls, r.Event.Extensions()["knativebrokerttl"])
				return ok()
			}
			if r.To.URL.Host != "greeter.team.svc" {
				return ok()
			}
			reply := anEvent("reply")
			reply.SetExtension("knativebrokerttl", 1_000) // the subscriber's own is ignored
			reply.SetType("order.paid")
			return &delivery.Result{Status: 200, Reply: reply}
		})
		f.publish(anEvent("1"))
		last := anEvent("2")
		last.SetExtension("knativebrokerttl", 1)
		f.publish(last)
		time.Sleep(time.Second)
		if !slices.Equal(ttls, []any{int32(254)}) || f.waiting() != 0 || f.depth(dlq) != 0 {
			t.Errorf("TTLs of replies are %v, %d events wait, %d dead letters", ttls, f.waiting(), f.depth(dlq))
		}
	})
}

// TestReply_WhenUnstored: a reply that a full queue refuses is a failed attempt.
func TestReply_WhenUnstored(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(placed, retries(2, linear, "PT1S"))
		full := assignment.Of(f.newTrigger("full", nil)).Queue
		f.must(f.engine.Limit(t.Context(), full, 1)) // it has the event
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
			reply := anEvent("reply")
			reply.SetType("order.paid")
			return &delivery.Result{Status: 200, Reply: reply}
		})
		f.publish(anEvent("1"))
		time.Sleep(10 * time.Second)
		dead := f.deadLetters()["1"]
		if dead == nil || attempts(t, dead) != 3 || fmt.Sprint(dead.Extensions()["knativeerrorcode"]) != "503" {
			t.Errorf("dead letter is %v, want one with 3 attempts and code 503", dead)
		}
	})
}

// TestDeadLetterSink: a sink that does not accept an event gets it again, until it does
// or the dead letter is 7 days old. Other events are not delayed.
func TestDeadLetterSink(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change    []func(*eventingv1.Trigger)
		down      time.Duration
		wantSink  bool
		wantQueue int
	}{
		"takes it":                       {change: []func(*eventingv1.Trigger){sink}, wantSink: true},
		"down for an hour":               {change: []func(*eventingv1.Trigger){sink}, down: time.Hour, wantSink: true},
		"ordered, down for an hour":      {change: []func(*eventingv1.Trigger){sink}, down: time.Hour, wantSink: true},
		"down for ever, then the queue":  {change: []func(*eventingv1.Trigger){sink}, down: 1000 * time.Hour, wantQueue: 1},
		"down for ever, without a queue": {change: []func(*eventingv1.Trigger){sink, noQueue}, down: 1000 * time.Hour},
		"neither":                        {change: []func(*eventingv1.Trigger){noQueue}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				if name[0] == 'o' {
					f.trigger = f.newTrigger("greeter", ordered)
				}
				f.apply(tt.change...)
				accepted := 0
				f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
					if r.To.URL.Host != "sink.team.svc" {
						if r.Event.ID() == "good" {
							return ok()
						}
						return fails(422, false)
					}
					if time.Since(f.start) < tt.down {
						return fails(404, true)
					}
					if got := fmt.Sprint(r.Event.Extensions()["knativeerrorcode"]); got != "422" || r.Reply {
						t.Errorf("the sink gets code %s", got)
					}
					accepted++
					return ok()
				})
				f.publish(anEvent("1"))
				time.Sleep(time.Minute)
				f.publish(anEvent("good"))
				time.Sleep(time.Second)
				if got := f.sender.times("good", f.start); len(got) != 1 {
					t.Errorf("another event was sent at %v: a sink that is down delays it", got)
				}
				time.Sleep(200 * time.Hour)
				if (accepted == 1) != tt.wantSink || f.depth(dlq) != tt.wantQueue || f.waiting() != 0 {
					t.Errorf("the sink accepted %d, the queue has %d, %d wait", accepted, f.depth(dlq), f.waiting())
				}
				if n := f.sender.count()["1"]; tt.down > 0 && (n < 10 || n > 1_100) {
					t.Errorf("the sink was tried %d times", n)
				}
			})
		})
	}
}

// TestDeadLetterQueue_WhenFull: nothing is dropped because a dead letter has no place.
func TestDeadLetterQueue_WhenFull(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.must(f.engine.Limit(t.Context(), dlq, 2))
		f.apply()
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { return fails(400, false) })
		f.publishMany(5)
		time.Sleep(8 * 24 * time.Hour)
		if f.depth(dlq) != 2 || len(f.sender.count()) != 5 || f.sender.count()["4"] != 1 {
			t.Errorf("%d dead letters, sent %v", f.depth(dlq), f.sender.count())
		}
		all := f.deadLetters()
		f.must(f.engine.Limit(t.Context(), dlq, 0))
		time.Sleep(20 * time.Minute)
		for id := range f.deadLetters() {
			all[id] = nil
		}
		if len(all) != 5 || f.waiting() != 0 {
			t.Errorf("%d of 5 dead letters, %d wait", len(all), f.waiting())
		}
	})
}

// TestMalformed: a message that is no event is kept as it is.
func TestMalformed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply()
		f.must(f.engine.Put(t.Context(), f.queue(), &queue.Message{Headers: map[string]any{"id": "1"}, Body: []byte("x")}))
		time.Sleep(time.Second)
		if got := f.take(dlq); len(got) != 1 || string(got[0].Body) != "x" || f.waiting() != 0 {
			t.Errorf("the dead letters are %v", got)
		}
	})
}

// TestPanic: a delivery that panics is a failed attempt.
func TestPanic(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(retries(1, linear, "PT1S"))
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { panic("broken") })
		f.publish(anEvent("1"))
		time.Sleep(time.Minute)
		if dead := f.deadLetters()["1"]; dead == nil || attempts(t, dead) != 2 {
			t.Errorf("the dead letter is %v, want one with 2 attempts", dead)
		}
	})
}

// TestTransit: moves keep the event as it is.
func TestTransit(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(retries(5, linear, "PT1M"))
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { return fails(503, true) })
		e := anEvent("1")
		e.SetExtension("answer", 42)
		e.SetSubject("subject")
		f.publish(e)
		synctest.Wait()
		time.Sleep(time.Second)
		f.must(f.d.Stop(t.Context()))
		f.must(f.delays.Stop(t.Context()))
		all := f.take("lambda.delay.30s")
		all = append(all, f.take("lambda.delay.2m")...)
		if len(all) != 1 {
			t.Fatalf("%d messages in the delay queues", len(all))
		}
		got, err := event.Decode(all[0])
		f.must(err)
		if got.String() != e.String() {
			t.Errorf("the event is %s, want %s", got, e)
		}
		if transit := event.TransitOf(all[0]); transit.Attempts != 2 || transit.Trigger != f.trigger.UID || transit.Queue != f.queue() || transit.Due.Sub(f.start) != time.Minute {
			t.Errorf("the transit is %+v", transit)
		}
	})
}
