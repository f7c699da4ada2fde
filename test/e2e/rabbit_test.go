//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/rabbit"
)

// needsRabbitMQ skips tests of brokers and dead letter queues where there is none.
func needsRabbitMQ(t *testing.T) (url string) {
	t.Helper()
	if url = os.Getenv("LAMBDA_RABBITMQ_URL"); url == "" {
		t.Skip("LAMBDA_RABBITMQ_URL: missing; bring up the cluster with --with=eventing")
	}
	return url
}

// rabbitMQ is a channel of the cluster's RabbitMQ; the test is skipped where there
// is none.
func rabbitMQ(t *testing.T) (url string, ch *amqp.Channel) {
	t.Helper()
	url = needsRabbitMQ(t)
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	return url, ch
}

// deadLetterQueue makes a quorum queue as a function's is, for the test.
func deadLetterQueue(t *testing.T, ch *amqp.Channel, name string, args amqp.Table) {
	t.Helper()
	all := amqp.Table{"x-queue-type": "quorum"}
	for k, v := range args {
		all[k] = v
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, all); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := ch.QueueDelete(name, false, false, false); err != nil {
			t.Errorf("queue %s is left behind: %v", name, err)
		}
	})
}

// brokers are two receivers' connections: what one locks, the other must wait for.
func brokers(t *testing.T, url string) (one, two *rabbit.Broker) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "connection_string"), []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one, two = rabbit.New(dir), rabbit.New(dir)
	t.Cleanup(func() { one.Close(); two.Close() })
	return one, two
}

func deadEvent(id string, data string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/e2e")
	e.SetType("io.example.order")
	e.SetSubject("a subject")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetExtension("knativeerrorcode", "500")
	e.SetExtension("knativeerrordest", "http://f.team.svc")
	if err := e.SetData("text/plain", data); err != nil {
		panic(err)
	}
	return &e
}

// ids takes all letters of a queue and puts them back.
func ids(ctx context.Context, t *testing.T, store deadletter.Store, queue string) (found []string) {
	t.Helper()
	s, err := store.Open(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		l, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			return found
		}
		found = append(found, l.ID())
	}
}

// TestDeadLetterQueue: what is published is there, whole, however
// often it is looked at; what is removed is gone.
func TestDeadLetterQueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url, ch := rabbitMQ(t)
	one, two := brokers(t, url)
	queue := events.DeadLetterQueue("e2e", fmt.Sprintf("order-%d", time.Now().UnixNano()))

	if err := one.Publish(ctx, queue, deadEvent("0", "early")); !errors.Is(err, deadletter.ErrNoQueue) {
		t.Errorf("Publish() to a queue that does not exist = %v, want %v", err, deadletter.ErrNoQueue)
	}
	if _, err := one.Open(ctx, queue); !errors.Is(err, deadletter.ErrNoQueue) {
		t.Errorf("Open() of a queue that does not exist = %v, want %v", err, deadletter.ErrNoQueue)
	}
	deadLetterQueue(t, ch, queue, nil)
	const many = 100
	var want []string
	for i := range many {
		id := fmt.Sprintf("%03d", i)
		want = append(want, id)
		if err := one.Publish(ctx, queue, deadEvent(id, "data of "+id)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // looking takes nothing away
		if got := ids(ctx, t, one, queue); len(got) != many {
			t.Fatalf("looked at %d letters, want %d", len(got), many)
		}
	}
	got := ids(ctx, t, two, queue)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("after looking there are %v, want each that was published", got)
	}

	// While one looks, the other waits; when it ends, the other sees all of it.
	s, err := one.Open(ctx, queue)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Next()
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	wantIt := events.DeadLetter{ID: l.ID(), Source: "/e2e", Type: "io.example.order", Subject: "a subject", Origin: "http://f.team.svc",
		ErrorCode: 500, ErrorReason: "the answer was 500 Internal Server Error", Size: len("data of 000")}
	gotIt := l.Describe()
	gotIt.DeadTime = ""
	if gotIt != wantIt || string(l.Event.Data()) != "data of "+l.ID() || !l.Event.Time().Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("letter = %+v with %q, want %+v", gotIt, l.Event.Data(), wantIt)
	}
	if err := s.Remove(l); err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 1)
	go func() { seen <- len(ids(ctx, t, two, queue)) }()
	select {
	case n := <-seen:
		t.Errorf("another receiver looked at %d letters at the same time", n)
	case <-time.After(500 * time.Millisecond):
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-seen; n != many-1 {
		t.Errorf("another receiver saw %d letters afterwards, want %d", n, many-1)
	}
}

// TestDeadLetterQueueThatIsFull: it says so, and the sender keeps the event.
func TestDeadLetterQueueThatIsFull(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url, ch := rabbitMQ(t)
	one, _ := brokers(t, url)
	queue := events.DeadLetterQueue("e2e", fmt.Sprintf("full-%d", time.Now().UnixNano()))
	deadLetterQueue(t, ch, queue, amqp.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
	var err error
	for i := 0; i < 20 && err == nil; i++ { // quorum queues take a few more
		err = one.Publish(ctx, queue, deadEvent(fmt.Sprint(i), "x"))
	}
	if !errors.Is(err, deadletter.ErrFull) {
		t.Errorf("Publish() to a full queue = %v, want %v", err, deadletter.ErrFull)
	}
	// The channel is still good for others.
	if _, err := ch.QueuePurge(queue, false); err != nil {
		t.Fatal(err)
	}
	if err := one.Publish(ctx, queue, deadEvent("again", "x")); err != nil {
		t.Errorf("Publish() after it was emptied = %v", err)
	}
}

// TestDeadLettersOfOthers: what Knative's dispatcher and CloudEvents' AMQP binding
// write can be read; what is no event can be seen and removed.
func TestDeadLettersOfOthers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url, ch := rabbitMQ(t)
	one, _ := brokers(t, url)
	queue := events.DeadLetterQueue("e2e", fmt.Sprintf("others-%d", time.Now().UnixNano()))
	deadLetterQueue(t, ch, queue, nil)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for _, p := range []amqp.Publishing{
		{ContentType: "application/json", Body: []byte(`{"a":1}`), Headers: amqp.Table{"specversion": "1.0", "id": "dispatcher", "source": "/s", "type": "t", "content-type": "application/json",
			"time": "0001-01-01T00:00:00Z", "knativeerrorcode": int32(-1), "knativeerrordest": "http://x"}},
		{ContentType: "text/plain", Body: []byte("hi"), Headers: amqp.Table{"cloudEvents:specversion": "1.0", "cloudEvents:id": "binding", "cloudEvents:source": "/s", "cloudEvents:type": "t"}},
		{ContentType: "application/cloudevents+json", Body: []byte(`{"specversion":"1.0","id":"structured","source":"/s","type":"t","data":{"b":2}}`)},
		{ContentType: "text/plain", MessageId: "stray", Body: []byte("hello")},
	} {
		confirmed, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, p)
		if err != nil {
			t.Fatal(err)
		}
		if in, err := confirmed.WaitContext(ctx); !in { // the queue; until then nobody else sees it
			t.Fatal("RabbitMQ refused a message:", err)
		}
	}
	service := &deadletter.Service{Store: one, Functions: noFunctions{}}
	listed, err := service.List(ctx, functionOf(queue), 10)
	if err != nil || len(listed) != 4 {
		t.Fatalf("List() = %+v, %v; want 4 letters", listed, err)
	}
	reasons := map[string]string{}
	for _, l := range listed {
		reasons[l.ID] = l.ErrorReason
	}
	want := map[string]string{"dispatcher": "there was no answer", "binding": "", "structured": "", "stray": "not a CloudEvent: the message has no header specversion"}
	if !maps.Equal(reasons, want) {
		t.Errorf("reasons = %v, want %v", reasons, want)
	}
	if n, err := service.Purge(ctx, functionOf(queue), deadletter.Selection{ID: "stray"}); n != 1 || err != nil {
		t.Errorf("Purge() = %d, %v; want 1", n, err)
	}
	left := ids(ctx, t, one, queue)
	if slices.Sort(left); !slices.Equal(left, []string{"binding", "dispatcher", "structured"}) {
		t.Errorf("letters = %v, want the others", left)
	}
}
