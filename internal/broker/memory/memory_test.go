package memory

import (
	"context"
	"errors"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue/queuetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Engine {
		t.Helper()
		e := New()
		t.Cleanup(func() {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return e
	})
}

// TestClose: what is in hand is back in its queue, and nothing works any longer.
func TestClose(t *testing.T) {
	t.Parallel()
	e := New()
	if err := errors.Join(e.Declare(t.Context(), queue.Declaration{Name: "q"}), e.Put(t.Context(), "q", &queue.Message{})); err != nil {
		t.Fatal(err)
	}
	deliveries := make(chan queue.Delivery, 1)
	c, err := e.Consume(t.Context(), queue.Consumer{Queue: "q", Prefetch: 1, Handler: func(_ context.Context, d queue.Delivery) { deliveries <- d }})
	if err != nil {
		t.Fatal(err)
	}
	d := <-deliveries
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(e.queues["q"].ready); n != 1 {
		t.Errorf("%d messages are in the queue; want the one that was in hand", n)
	}
	for name, err := range map[string]error{
		"Ack": d.Ack(), "Err": c.Err(), "Put": e.Put(t.Context(), "q", &queue.Message{}), "Delete": e.Delete(t.Context(), "q"),
	} {
		if !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s() after Close() = %v; want ErrUnavailable", name, err)
		}
	}
}
