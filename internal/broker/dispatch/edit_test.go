package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
)

func (f *fixture) generations(body string) string {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.d.Generations(w, httptest.NewRequest(http.MethodPost, GenerationsPath, strings.NewReader(body)))
	return strings.TrimSpace(w.Body.String())
}

// TestEdit: a filter that is edited ten times a second under 1,000 events/s lets pass
// what the generation asks for that the replica reported when the event was published.
func TestEdit(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		var mu sync.Mutex
		got := map[string]bool{}
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			got[r.Event.ID()] = true
			return ok()
		})
		wantSubject := func(n int) func(*eventingv1.Trigger) {
			return func(t *eventingv1.Trigger) {
				t.Spec.Filters = []eventingv1.SubscriptionsAPIFilter{{Any: []eventingv1.SubscriptionsAPIFilter{
					{Exact: map[string]string{"subject": strconv.Itoa(n % 2)}}, {Exact: map[string]string{"subject": "always"}}}}}
			}
		}
		f.apply()
		want := map[string]bool{}
		for edit := range 100 {
			f.apply(wantSubject(edit))
			if got := f.generations(`["greeter-uid","other-uid"]`); got != fmt.Sprintf(`{"greeter-uid":%d}`, f.trigger.Generation) {
				t.Fatalf("generations are %s, want %d", got, f.trigger.Generation)
			}
			for i := range 100 {
				e := anEvent(fmt.Sprintf("%d-%d", edit, i))
				subject := strconv.Itoa(i % 2)
				if i%10 == 9 {
					subject = "always"
				}
				e.SetSubject(subject)
				f.publish(e)
				// The events of the last moment before an edit may be judged by it.
				if subject == "always" || subject == strconv.Itoa(edit%2) && i < 90 {
					want[e.ID()] = true
				}
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for id := range want {
			if !got[id] {
				t.Errorf("event %s is missing", id)
			}
		}
		if f.waiting() != 0 || len(got) > len(want)+100*5 {
			t.Errorf("%d events wait, %d were delivered, %d wanted", f.waiting(), len(got), len(want))
		}
	})
}

// TestEdit_InHand: a new subscriber gets the next attempt of events in hand; a deleted
// Trigger's are acknowledged.
func TestEdit_InHand(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(retries(10, linear, "PT3S"))
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			if r.To.URL.Host == "new.team.svc" {
				return ok()
			}
			return fails(503, true)
		})
		f.publish(anEvent("1"))
		time.Sleep(time.Second)
		f.apply(func(t *eventingv1.Trigger) { t.Status.SubscriberURI = apis.HTTP("new.team.svc") })
		time.Sleep(3 * time.Second)
		if n := f.sender.count()["1"]; n != 3 {
			t.Errorf("the event was sent %d times, want 3", n)
		}
		f.apply(func(t *eventingv1.Trigger) { t.Status.SubscriberURI = apis.HTTP("bad.team.svc") })
		f.publish(anEvent("2"))
		time.Sleep(time.Second)
		f.d.Remove(f.trigger.UID)
		synctest.Wait()
		if f.waiting() != 0 || f.depth(dlq) != 0 {
			t.Errorf("%d events wait, %d dead letters; want none of a deleted Trigger", f.waiting(), f.depth(dlq))
		}
		if got := f.generations(`["greeter-uid"]`); got != "{}" {
			t.Errorf("generations are %s, want none of a deleted Trigger", got)
		}
	})
}

// TestHanging: a subscriber that hangs, with 10,000 events behind it, does not delay
// another Trigger.
func TestHanging(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.options.Budget = budget.New(budget.Requests, budget.Bytes)
		f.stop(time.Minute)
		f.begin(f.engine, f.engine)
		f.apply(func(t *eventingv1.Trigger) { t.Spec.Filter = filterType("order.placed") })
		other := f.newTrigger("other", func(t *eventingv1.Trigger) {
			t.Namespace = "others"
			t.Spec.Filter = filterType("other")
		})
		f.d.Apply(other, f.broker)
		var latencies []time.Duration
		var mu sync.Mutex
		f.sender.set(func(ctx context.Context, r *delivery.Request) *delivery.Result {
			if r.To.URL.Host == "greeter.team.svc" {
				return hang(ctx)
			}
			at, _ := time.Parse(time.RFC3339Nano, r.Event.Subject())
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, time.Since(at))
			return ok()
		})
		f.publishMany(10_000)
		for i := range 1_000 {
			e := anEvent(fmt.Sprint("other-", i))
			e.SetType("other")
			e.SetSubject(time.Now().Format(time.RFC3339Nano))
			f.publish(e)
			time.Sleep(10 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(latencies) != 1_000 {
			t.Errorf("%d of 1000 events of the other Trigger were delivered", len(latencies))
		}
		for _, l := range latencies {
			if l > time.Millisecond {
				t.Errorf("an event of the other Trigger took %s", l)
			}
		}
	})
}

// TestBudget: a namespace with too many bytes in hand is not consumed for a while, and
// another is. Nothing is lost.
func TestBudget(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		bytes := budget.New(budget.Requests, 100_000)
		f.options.Budget = bytes
		f.stop(time.Minute)
		f.begin(f.engine, f.engine)
		f.apply(func(t *eventingv1.Trigger) { t.Spec.Filter = filterType("order.placed") })
		other := f.newTrigger("other", func(t *eventingv1.Trigger) {
			t.Namespace = "others"
			t.Spec.Filter = filterType("other")
		})
		f.d.Apply(other, f.broker)
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			if _, n := bytes.InHand(); n > 100_000 {
				t.Errorf("%d bytes are in hand", n)
			}
			if r.To.URL.Host == "greeter.team.svc" {
				time.Sleep(5 * time.Second)
			}
			return ok()
		})
		for i := range 100 {
			e := anEvent(strconv.Itoa(i))
			f.must(e.SetData("text/plain", []byte(strings.Repeat("x", 10_000))))
			f.publish(e)
		}
		time.Sleep(time.Second)
		e := anEvent("other")
		e.SetType("other")
		f.publish(e)
		time.Sleep(time.Second)
		if f.sender.count()["other"] != 1 {
			t.Error("the other namespace waits")
		}
		time.Sleep(10 * time.Minute)
		if n := len(f.sender.count()); n != 101 || f.waiting() != 0 || f.depth(dlq) != 0 {
			t.Errorf("%d of 101 events were sent, %d wait, %d dead letters", n, f.waiting(), f.depth(dlq))
		}
	})
}

// TestFullQueue: from 80 % of its limit, the oldest events of a queue become dead
// letters, to 70 %, although the subscriber hangs.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*eventingv1.Trigger){"unordered": parallel(2), "ordered": ordered} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.options.MaxLength = 100
				f.stop(time.Minute)
				f.begin(f.engine, f.engine)
				f.trigger = f.newTrigger("full", change)
				f.apply()
				f.apply(retries(1000, linear, "PT0S"))
				f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
					time.Sleep(2 * time.Second)
					return fails(503, true)
				})
				f.publishMany(95)
				time.Sleep(45 * time.Second)
				left := f.depth(f.queue())
				dead := f.deadLetters()
				if left < 60 || left > 72 || len(dead) < 20 {
					t.Errorf("%d events are left and %d are dead letters, want some 70 and 25", left, len(dead))
				}
				for id, e := range dead {
					if n, _ := strconv.Atoi(id); n > 35 {
						t.Errorf("event %s became a dead letter before older ones", id)
					}
					if e.Extensions()["knativeerrordata"] == nil || fmt.Sprint(e.Extensions()["lambdaerrorcode"]) != "503" {
						t.Errorf("the dead letter says %v", e.Extensions())
					}
				}
			})
		})
	}
}
