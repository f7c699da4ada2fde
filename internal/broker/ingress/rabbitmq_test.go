package ingress

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
)

// onRabbitMQ is a harness whose events are stored in a virtual host of its own.
func onRabbitMQ(t *testing.T) (*harness, *amqp.Engine, *amqptest.VirtualHost) {
	t.Helper()
	host := amqptest.New(t)
	engine := amqp.New(amqp.Options{Credentials: host.Secret(t, nil), Name: t.Name()})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	if err := engine.DeclareExchange(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t)
	h.handler.Publisher, h.handler.Timeout = engine, DefaultTimeout
	return h, engine, host
}

// bound declares and binds the queue of a Trigger.
func bound(t *testing.T, engine *amqp.Engine, name string, attributes eventingv1.TriggerFilterAttributes) string {
	t.Helper()
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "uid"}}
	trigger.Spec.Filter = &eventingv1.TriggerFilter{Attributes: attributes}
	q := routing.Queue(trigger)
	if err := engine.Declare(t.Context(), queue.Declaration{Name: q}); err != nil {
		t.Fatal(err)
	}
	if err := engine.Bind(t.Context(), q, routing.Binding(defaultBroker.UID, trigger)); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestRabbitMQ: what is accepted is in the queue of each Trigger whose filter may pass,
// whole.
func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	h, engine, host := onRabbitMQ(t)
	everything, ofType, other := bound(t, engine, "all", nil), bound(t, engine, "type", map[string]string{"type": "t", "source": "/s"}), bound(t, engine, "other", map[string]string{"type": "x"})
	id, ext := strings.Repeat("i", 300), strings.Repeat("e", 60<<10)
	request := structured(t.Context(), `{"specversion":"1.0","id":"`+id+`","source":"/s","type":"t","ext":"`+ext+`","yes":true,"number":7,"data":{"a":1}}`)
	if w := h.do(request); w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body)
	}
	for _, q := range []string{everything, ofType} {
		got := make(chan *queue.Message, 1)
		c, err := engine.Consume(t.Context(), queue.Consumer{Queue: q, Scope: "team", Prefetch: 1, Handler: func(_ context.Context, d queue.Delivery) {
			got <- d.Message()
			_ = d.Ack()
		}})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-got:
			e, err := event.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			x := e.Extensions()
			if e.ID() != id || x["ext"] != ext || x["yes"] != true || x["number"] != int32(7) || x["knativebrokerttl"] != int32(255) || string(e.Data()) != `{"a":1}` {
				t.Errorf("queue %s has another event: %.300s", q, e)
			}
			if !event.TransitOf(m).Arrival.Equal(now) {
				t.Errorf("arrival = %s", event.TransitOf(m).Arrival)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("the event is not in queue %s", q)
		}
		_ = c.Close()
	}
	if state, err := engine.Inspect(t.Context(), other); err != nil || state.Messages != 0 {
		t.Errorf("a queue of another type has %d events, %v", state.Messages, err)
	}
	if w := h.do(post(t.Context(), "/team/default", "{}", "Ce-Type", "unwanted")); w.Code != http.StatusAccepted {
		t.Error(w.Code, w.Body) // the queue of all has it
	}
	if err := host.Limit(other, 1); err != nil {
		t.Fatal(err)
	}
	full := func() bool {
		w := h.do(post(t.Context(), "/team/default", "{}", "Ce-Type", "x"))
		return w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "5"
	}
	until(t, full)
	if err := engine.Delete(t.Context(), everything); err != nil {
		t.Fatal(err)
	}
	before := h.sum("lambda.broker.unrouted", "", "")
	if w := h.do(post(t.Context(), "/team/default", "{}", "Ce-Type", "unrouted")); w.Code != http.StatusAccepted || h.sum("lambda.broker.unrouted", "", "") != before+1 {
		t.Errorf("without a Trigger: status %d, %s", w.Code, w.Body)
	}
}

// TestRabbitMQ_WhenUnreachable: senders are answered in time.
func TestRabbitMQ_WhenUnreachable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	amqptest.WriteSecret(t, dir, map[string]string{"host": "127.0.0.1", "port": "1", "username": "u", "password": "p"})
	engine := amqp.New(amqp.Options{Credentials: dir, Name: t.Name()})
	defer engine.Close(t.Context())
	h := newHarness(t)
	h.handler.Publisher = engine
	started := time.Now()
	if w := h.do(post(t.Context(), "/team/default", "{}")); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
