// Package rabbit keeps dead letters in RabbitMQ.
package rabbit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	planeevent "github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// letter reads a message that the event plane or the receiver has written.
func letter(d *amqp.Delivery) *deadletter.Letter {
	l := &deadletter.Letter{Tag: d.DeliveryTag}
	e, err := planeevent.Decode(&queue.Message{Headers: d.Headers, Body: d.Body})
	if err == nil {
		l.Event = *e
		return l
	}
	l.Malformed = err
	l.Event = event.New()
	l.Event.SetID("message-" + digest(d))
	l.Event.DataEncoded = d.Body
	return l
}

// digest of a message that has no id, the same whenever it is read.
func digest(d *amqp.Delivery) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		if !strings.HasPrefix(name, "x-") { // RabbitMQ counts deliveries there
			fmt.Fprintf(h, "%q%q", name, fmt.Sprint(d.Headers[name]))
		}
	}
	h.Write(d.Body)
	return hex.EncodeToString(h.Sum(nil)[:8])
}
