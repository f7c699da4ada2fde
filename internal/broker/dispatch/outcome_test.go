package dispatch

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const own = "io.knative.lambda/function/team/greeter"

// delivers the calls of function greeter, and not their outcomes.
func delivers(t *eventingv1.Trigger) {
	t.Spec.Filter = filterType("order.placed")
	t.Annotations[lambda.OutcomeSourceAnnotationKey] = own
	t.OwnerReferences = []metav1.OwnerReference{{APIVersion: "lambda.knative.io/v1alpha1", Kind: "LambdaFunction", Name: "greeter", Controller: ptr.Bool(true)}}
}

// outcomes binds a queue to the events of the function.
func (f *fixture) outcomes() string {
	f.t.Helper()
	const name = "outcomes"
	f.must(f.engine.Declare(f.t.Context(), queue.Declaration{Name: name}))
	f.must(f.engine.Declare(f.t.Context(), calls.Declaration()))
	f.must(f.engine.Bind(f.t.Context(), name, routing.Keys(brokerUID, "any", own)[2]))
	return name
}

// reported outcomes, and those that are recorded. Records do not leave the stream.
func (f *fixture) reported(name string) (all []*cloudevents.Event, recorded []*calls.Record) {
	f.t.Helper()
	for _, m := range f.take(name) {
		e, err := event.Decode(m)
		f.must(err)
		all = append(all, e)
	}
	c, err := f.engine.Consume(f.t.Context(), queue.Consumer{Queue: calls.Outcomes, Scope: "test", Prefetch: 100, Replay: time.Hour, Handler: func(_ context.Context, d queue.Delivery) {
		r, err := calls.Decode(d.Message())
		f.must(err)
		recorded = append(recorded, r)
		_ = d.Ack()
	}})
	f.must(err)
	synctest.Wait()
	f.must(c.Close())
	return all, recorded
}

func anAnswer(eventType, source, cause, data string) *delivery.Result {
	e := cloudevents.New()
	e.SetID("reply")
	e.SetType(eventType)
	e.SetSource(source)
	if cause != "" {
		e.SetExtension(events.CausationExtension, cause)
	}
	_ = e.SetData("text/plain", []byte(data))
	return &delivery.Result{Status: 200, Reply: &e}
}

// TestOutcome: each call has one outcome, whatever it was answered with.
func TestOutcome(t *testing.T) {
	t.Parallel()
	const timedOut = `{"type":"Timeout","message":"the handler took too long","permanent":false}`
	for name, tt := range map[string]struct {
		answer    func(ctx context.Context) *delivery.Result
		eventType string
		data      string
		// replies besides the outcome, and dead letters.
		replies, dead int
		code          string
		attempts      string
		omitted       bool
	}{
		"nothing": {answer: func(context.Context) *delivery.Result { return ok() }, eventType: events.ResponseSuccess},
		"a body": {answer: func(context.Context) *delivery.Result {
			return &delivery.Result{Status: 200, Body: []byte("done"), ContentType: "text/plain"}
		}, eventType: events.ResponseSuccess, data: "done"},
		"too much": {answer: func(context.Context) *delivery.Result { return &delivery.Result{Status: 200, Omitted: true} }, eventType: events.ResponseSuccess, omitted: true},
		"an outcome of the runtime": {
			answer:    func(context.Context) *delivery.Result { return anAnswer(events.ResponseSuccess, own, "1", "done") },
			eventType: events.ResponseSuccess, data: "done",
		},
		"an event of the user": {
			answer:    func(context.Context) *delivery.Result { return anAnswer("io.example.done", own, "1", "done") },
			eventType: events.ResponseSuccess, data: "done", replies: 1,
		},
		"an outcome of another call": {
			answer:    func(context.Context) *delivery.Result { return anAnswer(events.ResponseSuccess, own, "2", "done") },
			eventType: events.ResponseSuccess, data: "done", replies: 1,
		},
		"a permanent error": {
			answer:    func(context.Context) *delivery.Result { return fails(http.StatusUnprocessableEntity, false) },
			eventType: events.ResponseError, data: `{"type":"DeliveryFailed","message":"broken","permanent":false}`, dead: 1, code: "422", attempts: "1",
		},
		"errors": {
			answer:    func(context.Context) *delivery.Result { return fails(http.StatusInternalServerError, true) },
			eventType: events.ResponseError, data: `{"type":"DeliveryFailed","message":"broken","permanent":false}`, dead: 1, code: "500", attempts: "3",
		},
		"a timeout of the runtime": {
			answer: func(context.Context) *delivery.Result {
				r := fails(http.StatusGatewayTimeout, true)
				r.Data = []byte(timedOut)
				return r
			},
			eventType: events.ResponseTimeout, data: timedOut, dead: 1, code: "504", attempts: "3",
		},
		"no answer in time": {
			answer: func(ctx context.Context) *delivery.Result {
				r := hang(ctx)
				r.Data = []byte(r.Err.Error())
				return r
			},
			eventType: events.ResponseTimeout, data: `{"type":"Timeout","message":"context deadline exceeded","permanent":false}`, dead: 1, code: "-1", attempts: "3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				bound := f.outcomes()
				f.sender.set(func(ctx context.Context, _ *delivery.Request) *delivery.Result { return tt.answer(ctx) })
				f.publish(anEvent("1"))
				f.apply(delivers, retries(2, exponential, "PT1S"), func(t *eventingv1.Trigger) { t.Spec.Delivery.Timeout = ptr.String("PT5S") })
				time.Sleep(time.Minute)
				all, recorded := f.reported(bound)
				if len(all) != 1+tt.replies || len(recorded) != 1 {
					t.Fatalf("%d events, %d records; want %d and 1", len(all), len(recorded), 1+tt.replies)
				}
				e := all[len(all)-1]
				x := e.Extensions()
				if e.Type() != tt.eventType || string(e.Data()) != tt.data || x[events.CausationExtension] != "1" || (x[events.DataOmittedExtension] == "true") != tt.omitted {
					t.Errorf("the outcome is %v", e)
				}
				if textOf(x, events.ErrorCodeExtension) != tt.code || textOf(x, events.AttemptsExtension) != tt.attempts {
					t.Errorf("code %v after %v attempts, want %q after %q", x[events.ErrorCodeExtension], x[events.AttemptsExtension], tt.code, tt.attempts)
				}
				if x["knativebrokerttl"] != int32(254) {
					t.Errorf("the TTL is %v, want one less than the call's", x["knativebrokerttl"])
				}
				if r := recorded[0]; r.ID() != "1" || r.Source != "/shop" || r.Callee.String() != "function/team/greeter" || r.Outcome.ID() != e.ID() {
					t.Errorf("the record is %+v", r)
				}
				if dead := f.deadLetters(); len(dead) != tt.dead || f.waiting() != 0 {
					t.Errorf("%d dead letters, %d waiting; want %d and 0", len(dead), f.waiting(), tt.dead)
				}
			})
		})
	}
}

// TestOutcome_OfCallsOnly: other Triggers report nothing, and keep no body.
func TestOutcome_OfCallsOnly(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		bound := f.outcomes()
		f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			if r.KeepBody != 0 {
				t.Errorf("%d bytes of the body are kept", r.KeepBody)
			}
			return fails(http.StatusUnprocessableEntity, false)
		})
		f.publish(anEvent("1"))
		f.apply(func(t *eventingv1.Trigger) { t.Annotations[lambda.OutcomeSourceAnnotationKey] = own }) // without an owner
		time.Sleep(time.Second)
		all, recorded := f.reported(bound)
		if dead := f.deadLetters(); len(all) != 0 || len(recorded) != 0 || len(dead) != 1 {
			t.Errorf("%d events, %d records, %d dead letters; want 0, 0 and 1", len(all), len(recorded), len(dead))
		}
	})
}

// TestOutcome_ThatCannotBeStored: the call is neither repeated nor held up.
func TestOutcome_ThatCannotBeStored(t *testing.T) {
	for name, tt := range map[string]struct {
		answer *delivery.Result
		dead   int
	}{
		"success": {ok(), 0},
		"failure": {fails(http.StatusUnprocessableEntity, false), 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				bound := f.outcomes()
				id := strings.Repeat("x", 64<<10-150) // the outcome has it, and more
				f.sender.set(func(context.Context, *delivery.Request) *delivery.Result { return tt.answer })
				f.publish(anEvent(id))
				f.apply(delivers)
				time.Sleep(time.Hour)
				if n := f.sender.count()[id]; n != 1 || f.depth(bound) != 0 || f.waiting() != 0 || len(f.deadLetters()) != tt.dead {
					t.Errorf("sent %d times, %d outcomes, %d waiting; want once, none, and %d dead letters", n, f.depth(bound), f.waiting(), tt.dead)
				}
			})
		})
	}
}

// TestOutcome_WithoutAPlaceForDeadLetters is reported all the same, and without the stream.
func TestOutcome_WithoutAPlaceForDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		bound := f.outcomes()
		f.must(f.engine.Delete(t.Context(), calls.Outcomes))
		reader := f.measure()
		f.sender.set(func(context.Context, *delivery.Request) *delivery.Result {
			return fails(http.StatusBadRequest, false)
		})
		f.publish(anEvent("1"))
		f.apply(delivers, noQueue)
		time.Sleep(time.Second)
		if n := f.depth(bound); n != 1 || f.waiting() != 0 {
			t.Errorf("%d outcomes, %d waiting; want 1 and 0", n, f.waiting())
		}
		results(t, reader, map[string]string{"stored": "1", "unrecorded": "1"})
	})
}

// TestRecord_Bounds: long data is left out of the stream, not of the outcome.
func TestRecord_Bounds(t *testing.T) {
	t.Parallel()
	s := &subscription{outcomeSource: own, callee: calls.Callee{Kind: "function"}}
	outcome := outcomeOf(anEvent("1"), s, events.ResponseSuccess)
	if again := outcomeOf(anEvent("1"), s, events.ResponseSuccess); again.ID() != outcome.ID() {
		t.Errorf("ids %s and %s of one outcome", outcome.ID(), again.ID())
	}
	outcome.DataEncoded = []byte(strings.Repeat("x", 65<<10))
	m, err := calls.Encode(&calls.Record{Callee: s.callee, Source: "/shop", Outcome: outcome})
	if err != nil || len(m.Body) > 0 || m.Headers[events.DataOmittedExtension] != "true" || len(outcome.Data()) == 0 {
		t.Errorf("%d bytes, %v, %v", len(m.Body), m.Headers, err)
	}
}
