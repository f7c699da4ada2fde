package amqp

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// TestRefused_Stream: a stream without a replica on the node is distinguished from a queue with
// other arguments.
func TestRefused_Stream(t *testing.T) {
	t.Parallel()
	refusal := &amqp.Error{Code: amqp.PreconditionFailed, Server: true, Reason: "PRECONDITION_FAILED - queue 's' in vhost '/' does not have a replica on the local node"}
	for _, tt := range []struct {
		replay time.Duration
		err    error
		want   bool
	}{
		{time.Hour, refusal, true},
		{0, refusal, false},
		{time.Hour, &amqp.Error{Code: amqp.PreconditionFailed, Server: true, Reason: "PRECONDITION_FAILED - unknown delivery tag"}, false},
		{time.Hour, &amqp.Error{Code: amqp.AccessRefused, Server: true, Reason: "no replica"}, false},
	} {
		err := (&consumption{c: queue.Consumer{Queue: "s", Replay: tt.replay}}).refused(tt.err)
		if errors.Is(err, errNoReplica) != tt.want || !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%v with replay %s is %v, want no replica: %t", tt.err, tt.replay, err, tt.want)
		}
	}
}

// TestStream_WithoutAReplica: a stream is read from the node that has a replica, although
// the first connection leads to another. LAMBDA_RABBITMQ_PEER is the host:port of a second
// node of the same cluster.
func TestStream_WithoutAReplica(t *testing.T) {
	t.Parallel()
	peer := os.Getenv("LAMBDA_RABBITMQ_PEER")
	if peer == "" {
		t.Skip("LAMBDA_RABBITMQ_PEER: missing")
	}
	v := amqptest.New(t)
	direct, err := amqp.Dial(v.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	ch, err := direct.Channel()
	if err != nil {
		t.Fatal(err)
	}
	const durable, autoDelete, exclusive, noWait = true, false, false, false
	if _, err := ch.QueueDeclare("lambda.outcomes", durable, autoDelete, exclusive, noWait, amqp.Table{
		"x-queue-type": "stream", "x-initial-cluster-size": int64(1), "x-queue-leader-locator": "client-local",
	}); err != nil {
		t.Fatal(err)
	}
	var dialled atomic.Int32
	e := New(Options{Credentials: v.Secret(t, nil), Name: "test", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialled.Add(1) == 1 {
			address = peer
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}, Lazy: true})
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	got := make(chan struct{}, 1)
	c, err := e.Consume(t.Context(), queue.Consumer{Queue: "lambda.outcomes", Scope: "test", Prefetch: 1, Replay: time.Hour, Handler: func(_ context.Context, d queue.Delivery) {
		_ = d.Ack()
		got <- struct{}{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.PublishWithContext(t.Context(), "", "lambda.outcomes", false, false, amqp.Publishing{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-time.After(30 * time.Second):
		t.Errorf("the stream is not read: %v", c.Err())
	}
	if n := dialled.Load(); n != 2 {
		t.Errorf("%d connections were opened, want 2", n)
	}
}
