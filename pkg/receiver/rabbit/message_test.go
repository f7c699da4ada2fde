package rabbit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	planeevent "github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// TestLetter_KeepsTheEvent: what is written is read as it was, binary data too.
func TestLetter_KeepsTheEvent(t *testing.T) {
	t.Parallel()
	e := event.New()
	e.SetID(strings.Repeat("i", 300))
	e.SetType(strings.Repeat("t", 300))
	e.SetSource("/s")
	e.SetSubject("s")
	e.SetDataSchema("http://schema")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	e.SetExtension("lambdaerrorcode", "500")
	e.SetExtension("amount", 42)
	e.SetExtension("lambdadeadtime", "2026-01-02T03:04:05Z")
	e.SetDataContentType("image/png")
	e.DataEncoded = []byte{0, 1, 0xff}
	m, err := planeevent.Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	l := letter(&amqp.Delivery{Headers: m.Headers, Body: m.Body, Timestamp: time.Now(), DeliveryTag: 7})
	if l.Malformed != nil || l.Tag != 7 {
		t.Fatalf("letter() = %+v", l)
	}
	want, _ := e.MarshalJSON()
	got, err := l.Event.MarshalJSON()
	if diff := cmp.Diff(string(want), string(got)); diff != "" || err != nil {
		t.Errorf("event (-want, +got): %s %v", diff, err)
	}
}

// TestLetter_Malformed: a message that is no event has the same id whenever it is read,
// and another one than other messages.
func TestLetter_Malformed(t *testing.T) {
	t.Parallel()
	read := func(tag uint64, body string, headers amqp.Table) *deadletter.Letter {
		l := letter(&amqp.Delivery{Headers: headers, Body: []byte(body), DeliveryTag: tag})
		if l.Malformed == nil || !strings.HasPrefix(l.ID(), "message-") || string(l.Event.Data()) != body {
			t.Errorf("letter() = %+v, want one that is malformed and has its data", l)
		}
		return l
	}
	first := read(1, "x", amqp.Table{"type": "t"})
	if again := read(2, "x", amqp.Table{"type": "t", "x-delivery-count": int64(3)}); again.ID() != first.ID() {
		t.Errorf("id = %s, and %s the second time", first.ID(), again.ID())
	}
	for _, other := range []*deadletter.Letter{read(3, "y", amqp.Table{"type": "t"}), read(4, "x", amqp.Table{"type": "u"}), read(5, "x", nil)} {
		if other.ID() == first.ID() {
			t.Errorf("two messages have the id %s", first.ID())
		}
	}
}

// TestNotConfigured: the error says what to do.
func TestNotConfigured(t *testing.T) {
	t.Parallel()
	b := New(t.TempDir())
	t.Cleanup(func() { b.Close() })
	e := event.New()
	e.SetID("1")
	err := b.Publish(t.Context(), "lambda.dlq.team.f", &e)
	if !errors.Is(err, deadletter.ErrUnavailable) || !strings.Contains(err.Error(), "apply config/rabbitmq/setup.yaml") {
		t.Errorf("Publish() = %v; want ErrUnavailable and what to do", err)
	}
}
