package dispatch

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

// full fills the queue that is bound to the events of the function.
func (f *fixture) full(bound string) {
	f.t.Helper()
	f.must(f.engine.Limit(f.t.Context(), bound, 1))
	f.must(f.engine.Put(f.t.Context(), bound, &queue.Message{}))
}

// TestPostpone: a call whose reply or outcome the Broker does not store is not delivered
// again. Its dead letter does not wait, and the outcome can be asked for.
func TestPostpone(t *testing.T) {
	for name, tt := range map[string]struct {
		answer  func() *delivery.Result
		types   []string // of what the Broker gets at last, sorted
		dead    int
		ordered bool
	}{
		"success": {answer: func() *delivery.Result {
			return &delivery.Result{Status: 200, Body: []byte("done"), ContentType: "text/plain"}
		},
			types: []string{events.ResponseSuccess}},
		"success, in order": {answer: ok, types: []string{events.ResponseSuccess}, ordered: true},
		"failure":           {answer: func() *delivery.Result { return fails(http.StatusUnprocessableEntity, false) }, types: []string{events.ResponseError}, dead: 1},
		"an outcome of the runtime": {answer: func() *delivery.Result { return anAnswer(events.ResponseSuccess, own, "1", "done") },
			types: []string{events.ResponseSuccess}},
		"an event of the user": {answer: func() *delivery.Result { return anAnswer("io.example.done", own, "1", "done") },
			types: []string{"io.example.done", events.ResponseSuccess}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				bound := f.outcomes()
				f.full(bound)
				if tt.ordered {
					f.trigger = f.newTrigger("ordered", ordered)
				}
				f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { return tt.answer() })
				f.publish(anEvent("1"))
				f.apply(delivers)
				time.Sleep(35 * time.Minute)
				if n := f.sender.count()["1"]; n != 1 || f.depth(dlq) != tt.dead {
					t.Errorf("sent %d times, %d dead letters; want 1 and %d", n, f.depth(dlq), tt.dead)
				}
				f.take(bound)
				f.must(f.engine.Limit(t.Context(), bound, 0))
				time.Sleep(10 * time.Minute)
				all, recorded := f.reported(bound)
				var types []string
				for _, e := range all {
					types = append(types, e.Type())
					if e.Extensions()["knativebrokerttl"] != int32(254) || e.Extensions()[events.CausationExtension] != "1" {
						t.Errorf("the Broker got %v", e)
					}
				}
				slices.Sort(types)
				if strings.Join(types, " ") != strings.Join(tt.types, " ") || len(recorded) != 1 {
					t.Errorf("the Broker got %v, and %d records; want %v and 1", types, len(recorded), tt.types)
				}
				if n := f.sender.count()["1"]; n != 1 || f.waiting() != 0 {
					t.Errorf("sent %d times, %d waiting; want 1 and 0", n, f.waiting())
				}
			})
		})
	}
}

// TestPostpone_ForTooLong: an outcome that the Broker does not store becomes a dead letter
// that says so, and where it was to go.
func TestPostpone_ForTooLong(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		bound := f.outcomes()
		f.full(bound)
		reader := f.measure()
		f.publish(anEvent("1"))
		f.apply(delivers)
		time.Sleep(2 * time.Hour)
		results(t, reader, map[string]string{"postponed": "1", "given_up": "1"})
		dead := f.deadLetters()
		if n := f.sender.count()["1"]; n != 1 || len(dead) != 1 || f.waiting() != 0 {
			t.Fatalf("sent %d times, %d dead letters, %d waiting; want 1, 1 and 0", n, len(dead), f.waiting())
		}
		for _, e := range dead {
			x := e.Extensions()
			if e.Type() != events.ResponseSuccess || textOf(x, events.ErrorCodeExtension) != "503" || textOf(x, "knativeerrordest") != "http://knative-lambda-broker.knative-testing.svc.cluster.local/team/default" {
				t.Errorf("the dead letter is %v", e)
			}
			if text := reasonOf(x); !strings.Contains(text, "a queue is full") {
				t.Errorf("its reason is %q, want the full queue", text)
			}
		}
	})
}

// results of outcomes that are counted.
func results(t *testing.T, reader sdkmetric.Reader, want map[string]string) {
	t.Helper()
	got := collect(t, reader)
	for _, result := range metrics.OutcomeLabel.Values {
		if n := got["lambda.broker.outcomes "+result+" greeter team"]; n != want[result] {
			t.Errorf("%q outcomes are %s, want %q", n, result, want[result])
		}
	}
}

// TestPostpone_OfCallsOnly: a reply of another event that cannot be stored is a failed
// attempt, as in Knative.
func TestPostpone_OfCallsOnly(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		bound := f.outcomes()
		f.full(bound)
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
			return anAnswer("io.example.done", own, "1", "done")
		})
		f.publish(anEvent("1"))
		f.apply(retries(2, linear, "PT1S"), func(t *eventingv1.Trigger) { t.Spec.Filter = filterType("order.placed") })
		time.Sleep(time.Minute)
		if n := f.sender.count()["1"]; n != 3 || len(f.deadLetters()) != 1 {
			t.Errorf("sent %d times, want 3 and a dead letter", n)
		}
	})
}
