package dispatch

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const ownConnection = namespace + ".5ca1ab1e"

// faulty is an engine whose publishing fails while it is switched off.
type faulty struct {
	*memory.Engine
	off atomic.Bool
}

func (f *faulty) Put(ctx context.Context, name string, m *queue.Message) error {
	if f.off.Load() {
		return fmt.Errorf("%w: switched off", queue.ErrUnavailable)
	}
	return f.Engine.Put(ctx, name, m)
}

// pair is the installation's message broker and that of one Broker, each with a Trigger.
type pair struct {
	*fixture
	installation *faulty
	own          *memory.Engine
	open         atomic.Pointer[memory.Engine]
	ownBroker    *eventingv1.Broker
	ownTrigger   *eventingv1.Trigger
	ownDelays    *delay.Consumer
}

func newPair(t *testing.T) *pair {
	t.Helper()
	f := newFixture(t)
	f.stop(time.Second)
	p := &pair{fixture: f, installation: &faulty{Engine: f.engine}, own: memory.New()}
	p.open.Store(p.own)
	f.options.Connection = func(name string) Connection {
		if e := p.open.Load(); e != nil && name == ownConnection {
			return e
		}
		return nil
	}
	f.must(p.own.DeclareExchange(t.Context()))
	for _, name := range delay.Queues() {
		f.must(p.own.Declare(t.Context(), queue.Declaration{Name: name}))
	}
	f.begin(p.installation, f.engine)
	p.ownDelays = &delay.Consumer{Subscriber: p.own, Publisher: p.own, Trigger: f.d.Queue}
	f.must(p.ownDelays.Start(t.Context()))

	p.ownBroker = aBroker()
	p.ownBroker.Name, p.ownBroker.UID = "own", "own-uid"
	p.ownBroker.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
	assignment.Connect(p.ownBroker, ownConnection)
	p.ownTrigger = f.trigger.DeepCopy()
	p.ownTrigger.Name, p.ownTrigger.UID, p.ownTrigger.Spec.Broker = "orders", "orders-uid", "own"
	p.ownTrigger.Annotations = map[string]string{lambda.DeadLetterQueueAnnotationKey: dlq}
	wanted, err := assignment.Wanted("own-uid", p.ownTrigger, queue.Quorum)
	f.must(err)
	wanted.Connection = ownConnection
	wanted.Record(p.ownTrigger)
	f.must(p.own.Declare(t.Context(), queue.Declaration{Name: wanted.Queue}))
	f.must(p.own.Bind(t.Context(), wanted.Queue, wanted.Keys[0]))
	f.d.Apply(f.trigger, f.broker)
	f.d.Apply(p.ownTrigger, p.ownBroker)
	return p
}

func (p *pair) end() {
	p.must(p.ownDelays.Stop(context.Background()))
	p.stop(time.Hour)
	_ = p.own.Close(context.Background())
	_ = p.engine.Close(context.Background())
}

// send an event to the Broker that has a connection of its own.
func (p *pair) send(e *cloudevents.Event) {
	p.t.Helper()
	m, err := event.Encode(e)
	p.must(err)
	p.must(p.own.Publish(p.t.Context(), routing.Keys("own-uid", e.Type(), e.Source()), m))
}

func (p *pair) ownDepth(name string) int {
	p.t.Helper()
	s, err := p.own.Inspect(p.t.Context(), name)
	p.must(err)
	return s.Messages
}

func withPair(t *testing.T, test func(*testing.T, *pair)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.end()
		test(t, p)
	})
}

// TestConnection_Replies: events, replies and retries stay on the connection of the Broker.
func TestConnection_Replies(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		answers := 0
		p.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			answers++
			switch {
			case r.Event.ID() == "1" && answers == 1:
				return &delivery.Result{Status: 503, Err: errFullQueue, Retry: true, RetryAfter: time.Minute}
			case r.Event.ID() == "1":
				return &delivery.Result{Status: 200, Reply: anEvent("reply")}
			}
			return ok()
		})
		retry := p.ownTrigger.DeepCopy()
		retries(3, "linear", "PT20S")(retry) // longer than an event waits in hand
		retry.Generation++
		p.d.Apply(retry, p.ownBroker)
		p.send(anEvent("1"))
		time.Sleep(15 * time.Second)
		if n := p.ownDepth("lambda.delay.10s") + p.waiting(); n != 0 { // in the hands of its consumer
			t.Errorf("%d events wait elsewhere", n)
		}
		time.Sleep(time.Minute)
		if got := p.sender.count(); got["1"] != 2 || got["reply"] != 1 {
			t.Errorf("sent %v, want the event twice and its reply once", got)
		}
	})
}

// TestConnection_DeadLetters are in the queues of the installation. While that is away they
// wait on the connection of the Broker, and hold up nothing.
func TestConnection_DeadLetters(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		p.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
			if r.Event.ID() == "bad" {
				return fails(400, false)
			}
			return ok()
		})
		p.installation.off.Store(true)
		p.send(anEvent("bad"))
		p.send(anEvent("good"))
		time.Sleep(time.Second)
		if got := p.sender.count(); got["bad"] != 1 || got["good"] != 1 {
			t.Errorf("sent %v", got)
		}
		if n := p.d.workers["orders-uid"].inHand.Load(); n != 0 {
			t.Errorf("%d events are in hand while the installation's RabbitMQ is away", n)
		}
		p.installation.off.Store(false)
		time.Sleep(time.Minute)
		if dead := p.deadLetters(); len(dead) != 1 || dead["bad"] == nil {
			t.Errorf("dead letters %v", dead)
		}
	})
}

// TestConnection_Closed: Triggers of other connections go on, and those of this one
// continue when it is open again.
func TestConnection_Closed(t *testing.T) {
	withPair(t, func(t *testing.T, p *pair) {
		p.open.Store(nil)
		p.d.Reconnect()
		synctest.Wait()
		p.send(anEvent("own"))
		p.publish(anEvent("other"))
		time.Sleep(time.Second)
		if got := p.sender.count(); got["own"] != 0 || got["other"] != 1 {
			t.Errorf("sent %v while the connection is closed", got)
		}
		p.open.Store(p.own)
		p.d.Reconnect()
		time.Sleep(time.Second)
		if got := p.sender.count(); got["own"] != 1 || got["other"] != 1 {
			t.Errorf("sent %v after it was opened again", got)
		}
	})
}

// TestConnection_OfOthers: a Trigger's status cannot name the connection of another
// namespace, and a Broker without a connection delivers nothing.
func TestConnection_OfOthers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*eventingv1.Trigger, *eventingv1.Broker){
		"of the Trigger": func(o *eventingv1.Trigger, _ *eventingv1.Broker) {
			o.Status.Annotations[lambda.ConnectionAnnotationKey] = "other.5ca1ab1e"
		},
		"of the Broker": func(_ *eventingv1.Trigger, b *eventingv1.Broker) {
			b.Status.Annotations[lambda.ConnectionAnnotationKey] = "other.5ca1ab1e"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := aBroker()
			broker.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
			assignment.Connect(broker, ownConnection)
			trigger := &eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Broker: "default"}}
			trigger.Namespace, trigger.Name, trigger.UID = namespace, "orders", "orders-uid"
			wanted, err := assignment.Wanted(brokerUID, trigger, queue.Quorum)
			if err != nil {
				t.Fatal(err)
			}
			wanted.Connection = ownConnection
			wanted.Record(trigger)
			change(trigger, broker)
			s := newSubscription(trigger, broker, compiled{})
			if s.connection == "other.5ca1ab1e" || s.replies == "other.5ca1ab1e" {
				t.Errorf("uses the connection of another namespace: %q, %q", s.connection, s.replies)
			}
			if name == "of the Broker" && s.waiting == "" {
				t.Error("delivers for a Broker without a connection")
			}
		})
	}
}
