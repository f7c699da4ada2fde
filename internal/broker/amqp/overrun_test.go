package amqp

import (
	"context"
	"errors"
	"net"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestOverrun: a server that ignores the prefetch costs a bounded number of messages, and
// then its connection.
func TestOverrun(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	c := &conn{socket: &socket{Conn: near}, retired: make(chan struct{})}
	const prefetch = 5
	got := 0
	owner := &consumption{c: queue.Consumer{Prefetch: prefetch, Handler: func(context.Context, queue.Delivery) { got++ }}, stop: make(chan struct{}), inHand: map[*delivery]struct{}{}}
	s := &subscription{owner: owner, channel: &channel{conn: c, consumers: 1}, ctx: t.Context()}
	for tag := range uint64(prefetch) {
		s.handle(&amqp.Delivery{DeliveryTag: tag})
	}
	if got != prefetch || c.cause != nil {
		t.Fatalf("%d messages are in hand and the connection has failed by %v, want %d and no failure", got, c.cause, prefetch)
	}
	for tag := range uint64(100) {
		s.handle(&amqp.Delivery{DeliveryTag: prefetch + tag})
	}
	if got != 2*prefetch || !errors.Is(c.cause, errOverrun) {
		t.Errorf("%d messages are in hand and the connection has failed by %v, want %d and %v", got, c.cause, 2*prefetch, errOverrun)
	}
	if _, err := near.Write(nil); err == nil {
		t.Error("the connection is open")
	}
}
