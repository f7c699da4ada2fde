package rabbit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

const deadLetters = "lambda.dlq.team.f"

// store opens a queue of dead letters, and two receivers.
func store(t *testing.T) (v *amqptest.VirtualHost, one, two *Broker) {
	t.Helper()
	v = amqptest.New(t)
	dir := v.Secret(t, nil)
	e := amqp.New(amqp.Options{Credentials: dir, TopologyOnly: true})
	if err := e.Declare(t.Context(), queue.Declaration{Name: deadLetters}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, two = New(dir), New(dir)
	t.Cleanup(func() {
		if err := errors.Join(one.Close(), two.Close()); err != nil {
			t.Error(err)
		}
	})
	return v, one, two
}

func deadEvent(t *testing.T, id string) *event.Event {
	t.Helper()
	e := event.New()
	e.SetID(id)
	e.SetSource("/source")
	e.SetType("type")
	if err := e.SetData("text/plain", "data of "+id); err != nil {
		t.Fatal(err)
	}
	return &e
}

// TestLongAttributes: what RabbitMQ gives back has the event's attributes whole.
func TestLongAttributes(t *testing.T) {
	t.Parallel()
	_, b, _ := store(t)
	e := deadEvent(t, strings.Repeat("i", 300))
	e.SetType(strings.Repeat("t", 300))
	e.SetSubject(strings.Repeat("ü", 300))
	if err := b.Publish(t.Context(), deadLetters, e); err != nil {
		t.Fatal(err)
	}
	s, err := b.Open(t.Context(), deadLetters)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.Next()
	if err != nil || l == nil || l.Malformed != nil {
		t.Fatalf("Next() = %+v, %v", l, err)
	}
	got := l.Event
	if got.ID() != e.ID() || got.Type() != e.Type() || got.Subject() != e.Subject() || got.DataContentType() != "text/plain" || string(got.Data()) != string(e.Data()) {
		t.Errorf("event = %v; want %v", got, e)
	}
}

// TestSession: it sees each dead letter once, what it does not remove returns, and
// another one waits for it.
func TestSession(t *testing.T) {
	t.Parallel()
	_, one, two := store(t)
	const many = 100
	for i := range many {
		if err := one.Publish(t.Context(), deadLetters, deadEvent(t, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := one.Open(t.Context(), deadLetters)
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		l, err := s.Next()
		if err != nil || l == nil {
			t.Fatalf("Next() = %v, %v", l, err)
		}
		if i%2 == 0 {
			if err := s.Remove(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	if l, err := s.Next(); l != nil || err != nil {
		t.Errorf("Next() = %v, %v; want no other", l, err)
	}
	for _, b := range []*Broker{one, two} { // of the same process, and of another one
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := b.Open(ctx, deadLetters); err == nil {
			t.Error("Open() beside another session = nil")
		}
		cancel()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	depth(t, two, many/2)
	for range many / 2 {
		next(t, two)
	}
	depth(t, one, 0)
}

// next removes a dead letter in a session of its own.
func next(t *testing.T, b *Broker) {
	t.Helper()
	s, err := b.Open(t.Context(), deadLetters)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Next()
	if err != nil || l == nil {
		t.Fatalf("Next() = %v, %v", l, err)
	}
	if err := errors.Join(s.Remove(l), s.Close()); err != nil {
		t.Fatal(err)
	}
}

func depth(t *testing.T, b *Broker, want int) {
	t.Helper()
	got, err := -1, error(nil)
	for deadline := time.Now().Add(10 * time.Second); got != want && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var all map[string]int
		if all, err = b.Depths(t.Context(), []string{"lambda.dlq.team.missing", deadLetters}); err == nil {
			got = all[deadLetters]
		}
		if _, ok := all["lambda.dlq.team.missing"]; ok {
			t.Fatalf("Depths() = %v; want no depth of a missing queue", all)
		}
	}
	if got != want || err != nil {
		t.Errorf("depth = %d, %v; want %d", got, err, want)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	v, b, _ := store(t)
	if err := b.Publish(t.Context(), "lambda.dlq.team.missing", deadEvent(t, "1")); !errors.Is(err, deadletter.ErrNoQueue) {
		t.Errorf("Publish() to a missing queue = %v; want ErrNoQueue", err)
	}
	if _, err := b.Open(t.Context(), "lambda.dlq.team.missing"); !errors.Is(err, deadletter.ErrNoQueue) {
		t.Errorf("Open() of a missing queue = %v; want ErrNoQueue", err)
	}
	if err := v.Limit(deadLetters, 2); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; i < 100 && err == nil; i++ { // RabbitMQ takes a few more
		err = b.Publish(t.Context(), deadLetters, deadEvent(t, fmt.Sprint(i)))
	}
	if !errors.Is(err, deadletter.ErrFull) {
		t.Errorf("Publish() to a full queue = %v; want ErrFull", err)
	}
}

// TestSessionEndsWithItsContext: what it has seen is back.
func TestSessionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, one, two := store(t)
	if err := one.Publish(t.Context(), deadLetters, deadEvent(t, "1")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := one.Open(ctx, deadLetters)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := s.Next(); err != nil || l == nil {
		t.Fatalf("Next() = %v, %v", l, err)
	}
	cancel()
	next(t, two)
}
