package rabbit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// TestMessageKeepsTheEvent: what is written is read as it was, binary data too.
func TestMessageKeepsTheEvent(t *testing.T) {
	e := event.New()
	e.SetID(strings.Repeat("i", 300))
	e.SetType(strings.Repeat("t", 300))
	e.SetSource("/s")
	e.SetSubject("s")
	e.SetDataSchema("http://schema")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	e.SetExtension("lambdaerrorcode", "500")
	e.SetExtension("lambdaerrorreason", "no way")
	e.SetExtension("lambdadeadtime", "2026-01-02T03:04:05Z")
	e.SetDataContentType("image/png")
	e.DataEncoded = []byte{0, 1, 0xff}
	m := message(&e)
	l := letter(&amqp.Delivery{Headers: m.Headers, Body: m.Body, Timestamp: time.Now(), DeliveryTag: 7})
	if l.Malformed != nil || l.Tag != 7 {
		t.Fatalf("letter = %+v", l)
	}
	want, _ := e.MarshalJSON()
	got, err := l.Event.MarshalJSON()
	if diff := cmp.Diff(string(want), string(got)); diff != "" || err != nil {
		t.Errorf("event (-want, +got): %s %v", diff, err)
	}
}

// TestMessageThatRabbitMQDeadLettered: RabbitMQ's own headers are not the event's,
// but tell when it died.
func TestMessageThatRabbitMQDeadLettered(t *testing.T) {
	died := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := letter(&amqp.Delivery{ContentType: "text/plain", Body: []byte("x"), Headers: amqp.Table{
		"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "x-delivery-count": int64(3), "x-death": []any{amqp.Table{"time": died}}, "knativeerrorcode": int64(404),
	}})
	if l.Malformed != nil {
		t.Fatal(l.Malformed)
	}
	want := map[string]any{"knativeerrorcode": "404", events.ErrorCodeExtension: "404", events.ErrorReasonExtension: "the answer was 404 Not Found", events.DeadTimeExtension: "2026-01-02T03:04:05Z"}
	if diff := cmp.Diff(want, l.Event.Extensions()); diff != "" {
		t.Errorf("extensions (-want, +got): %s", diff)
	}
}

// TestMessageForAnAgentThatHasGone: RabbitMQ's routing key says for whom it was.
func TestMessageForAnAgentThatHasGone(t *testing.T) {
	died := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	headers := amqp.Table{"specversion": "1.0", "id": "1", "type": "t", "source": "/s", "x-death": []any{amqp.Table{"time": died, "reason": "maxlen"}}}
	want := events.DeadLetter{ID: "1", Source: "/s", Type: "t", ErrorCode: -1, ErrorReason: "agent data/shop was deleted", Origin: v1alpha1.AgentBrokerURL(types.NamespacedName{Namespace: "data", Name: "shop"}).String(), DeadTime: "2026-01-02T03:04:05Z"}
	for key, want := range map[string]events.DeadLetter{
		"lambda.knative.io/gone:data/shop":   want,
		"":                                   {ID: "1", Source: "/s", Type: "t", DeadTime: want.DeadTime},
		"lambda.dlq.team.agents.greeter":     {ID: "1", Source: "/s", Type: "t", DeadTime: want.DeadTime},
		"x.lambda.knative.io/gone:data/shop": {ID: "1", Source: "/s", Type: "t", DeadTime: want.DeadTime},
	} {
		l := letter(&amqp.Delivery{Headers: headers, RoutingKey: key})
		if l.Malformed != nil {
			t.Fatal(l.Malformed)
		}
		if diff := cmp.Diff(want, l.Describe()); diff != "" {
			t.Errorf("letter with routing key %q (-want, +got): %s", key, diff)
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
	if !errors.Is(err, deadletter.ErrUnavailable) || !strings.Contains(err.Error(), "create a Secret knative-lambda-rabbitmq") {
		t.Errorf("Publish() = %v; want ErrUnavailable and what to do", err)
	}
}
