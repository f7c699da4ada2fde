package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

func TestMain(m *testing.M) {
	slog.SetLogLoggerLevel(slog.LevelError + 1)
	os.Exit(m.Run())
}

const (
	namespace = "team"
	dlq       = "lambda.dlq.team.greeter"
	brokerUID = types.UID("broker-uid")
)

// sender is the subscribers and sinks of a test.
type sender struct {
	mu     sync.Mutex
	answer func(ctx context.Context, r *delivery.Request) *delivery.Result
	sent   []sent
}

type sent struct {
	id, to string
	at     time.Time
}

func (s *sender) Send(ctx context.Context, r *delivery.Request) *delivery.Result {
	s.mu.Lock()
	s.sent = append(s.sent, sent{r.Event.ID(), r.To.URL.String(), time.Now()})
	answer := s.answer
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return answer(ctx, r)
}

func (s *sender) set(answer func(context.Context, *delivery.Request) *delivery.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// times are when an event was sent, since start.
func (s *sender) times(id string, start time.Time) (at []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sent {
		if one.id == id {
			at = append(at, one.at.Sub(start))
		}
	}
	return at
}

func (s *sender) count() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, one := range s.sent {
		n[one.id]++
	}
	return n
}

func ok() *delivery.Result { return &delivery.Result{Status: 202} }

func fails(status int, retry bool) *delivery.Result {
	return &delivery.Result{Status: status, Err: fmt.Errorf("status %d", status), Data: []byte("broken"), Retry: retry}
}

func hang(ctx context.Context) *delivery.Result {
	<-ctx.Done()
	return &delivery.Result{Status: delivery.NoAnswer, Err: ctx.Err(), Data: []byte("no answer"), Retry: true}
}

// fixture is a message broker with the topology of one Trigger, and a dispatcher.
type fixture struct {
	t        *testing.T
	engine   *memory.Engine
	topology queue.Topology
	d        *Dispatcher
	delays   *delay.Consumer
	sender   *sender
	trigger  *eventingv1.Trigger
	broker   *eventingv1.Broker
	start    time.Time
	options  Options
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		defer func() {
			f.stop(time.Hour)
			_ = f.engine.Close(t.Context())
		}()
		test(t, f)
	})
}

func aBroker() *eventingv1.Broker {
	return &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "default", UID: brokerUID, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: lambda.BrokerClass},
	}}
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{
		t: t, engine: memory.New(), start: time.Now(), broker: aBroker(),
		sender: &sender{answer: func(context.Context, *delivery.Request) *delivery.Result { return ok() }},
	}
	f.topology = f.engine
	f.must(f.engine.DeclareExchange(t.Context()))
	for _, name := range append(delay.Queues(), dlq) {
		f.must(f.engine.Declare(t.Context(), queue.Declaration{Name: name}))
	}
	f.trigger = f.newTrigger("greeter", nil)
	f.begin(f.engine, f.engine)
	return f
}

// begin a replica.
func (f *fixture) begin(p queue.Publisher, s queue.Subscriber) {
	o := f.options
	o.Subscriber, o.Publisher, o.Inspector, o.Sender = s, p, f.engine, f.sender
	f.d = New(o)
	f.delays = &delay.Consumer{Subscriber: s, Publisher: p, Trigger: f.d.Queue}
	f.must(f.delays.Start(f.t.Context()))
}

func (f *fixture) stop(grace time.Duration) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := f.d.Stop(ctx); err != nil && !errors.Is(err, errGivenUp) {
		f.t.Error("Stop:", err)
	}
	f.must(f.delays.Stop(context.Background()))
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) newTrigger(name string, change func(*eventingv1.Trigger)) *eventingv1.Trigger {
	f.t.Helper()
	trigger := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name + "-uid"), Generation: 1, Annotations: map[string]string{lambda.DeadLetterQueueAnnotationKey: dlq}},
		Spec:       eventingv1.TriggerSpec{Broker: "default"},
	}
	trigger.Status.SubscriberURI = apis.HTTP(name + ".team.svc")
	if change != nil {
		change(trigger)
	}
	wanted, err := assignment.Wanted(brokerUID, trigger, queue.Quorum)
	f.must(err)
	wanted.Record(trigger)
	f.must(f.topology.Declare(f.t.Context(), queue.Declaration{Name: wanted.Queue, Ordered: assignment.Ordered(wanted.Queue)}))
	f.must(f.topology.Bind(f.t.Context(), wanted.Queue, wanted.Keys[0]))
	return trigger
}

// apply the fixture's Trigger with changes.
func (f *fixture) apply(changes ...func(*eventingv1.Trigger)) {
	for _, change := range changes {
		f.trigger = f.trigger.DeepCopy()
		f.trigger.Generation++
		change(f.trigger)
	}
	f.d.Apply(f.trigger, f.broker)
}

func retries(n int32, policy eventingduckv1.BackoffPolicyType, delay string) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		t.Spec.Delivery = &eventingduckv1.DeliverySpec{Retry: &n, BackoffPolicy: &policy, BackoffDelay: &delay}
	}
}

func ordered(t *eventingv1.Trigger) { t.Annotations[lambda.ParallelismAnnotationKey] = "1" }

func parallel(n int) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) { t.Annotations[lambda.ParallelismAnnotationKey] = strconv.Itoa(n) }
}

func sink(t *eventingv1.Trigger) { t.Status.DeadLetterSinkURI = apis.HTTP("sink.team.svc") }

func noQueue(t *eventingv1.Trigger) { delete(t.Annotations, lambda.DeadLetterQueueAnnotationKey) }

func anEvent(id string) *cloudevents.Event {
	e := cloudevents.New()
	e.SetID(id)
	e.SetType("order.placed")
	e.SetSource("/shop")
	e.SetExtension("knativebrokerttl", 255)
	_ = e.SetData("text/plain", []byte(id))
	return &e
}

func (f *fixture) publish(e *cloudevents.Event) {
	f.t.Helper()
	m, err := event.Encode(e)
	f.must(err)
	f.must(f.engine.Publish(f.t.Context(), routing.Keys(brokerUID, e.Type(), e.Source()), m))
}

func (f *fixture) publishMany(n int) {
	f.t.Helper()
	for i := range n {
		f.publish(anEvent(strconv.Itoa(i)))
	}
}

func (f *fixture) queue() string { return assignment.Of(f.trigger).Queue }

func (f *fixture) depth(name string) int {
	f.t.Helper()
	state, err := f.engine.Inspect(f.t.Context(), name)
	f.must(err)
	return state.Messages
}

// waiting is how many events are in the Trigger's queue and the delay queues.
func (f *fixture) waiting() (n int) {
	f.t.Helper()
	for _, name := range append(delay.Queues(), f.queue()) {
		n += f.depth(name)
	}
	return n
}

// take all messages of a queue.
func (f *fixture) take(name string) (all []*queue.Message) {
	f.t.Helper()
	var mu sync.Mutex
	c, err := f.engine.Consume(f.t.Context(), queue.Consumer{Queue: name, Scope: "test", Prefetch: 60_000, Handler: func(_ context.Context, d queue.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, d.Message())
		_ = d.Ack()
	}})
	f.must(err)
	synctest.Wait()
	f.must(c.Close())
	return all
}

// deadLetters of the queue, by the event's id.
func (f *fixture) deadLetters() map[string]*cloudevents.Event {
	f.t.Helper()
	dead := map[string]*cloudevents.Event{}
	for _, m := range f.take(dlq) {
		e, err := event.Decode(m)
		f.must(err)
		if dead[e.ID()] != nil {
			f.t.Errorf("event %s is a dead letter twice", e.ID())
		}
		dead[e.ID()] = e
	}
	return dead
}

func attempts(t *testing.T, e *cloudevents.Event) int {
	t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(e.Extensions()[events.AttemptsExtension]))
	if err != nil {
		t.Errorf("event %s: %v", e.ID(), err)
	}
	return n
}
