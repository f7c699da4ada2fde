// Package delay keeps events that wait for a retry in four queues, whatever the number
// of Triggers. The delay of each queue is constant, so that the message at its head is
// the first that is due. RabbitMQ's own means are not used: its at-least-once dead
// lettering has 32 messages in flight, so that one full queue would stop the retries of
// all tenants.
package delay

import (
	"context"
	"fmt"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// releaseHeader is when a message leaves its delay queue, in milliseconds. The event may
// be due later.
const releaseHeader = event.Reserved + "release"

// Steps are the delays of the queues, the shortest first.
var Steps = []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// Queue of a step.
func Queue(step time.Duration) string {
	if step < time.Minute {
		return fmt.Sprintf("lambda.delay.%ds", step/time.Second)
	}
	return fmt.Sprintf("lambda.delay.%dm", step/time.Minute)
}

// Queues of all steps, to be declared.
func Queues() (names []string) {
	for _, step := range Steps {
		names = append(names, Queue(step))
	}
	return names
}

// stepFor the longest queue that does not make the event late, or the shortest of all.
func stepFor(wait time.Duration) time.Duration {
	best := Steps[0]
	for _, step := range Steps {
		if step <= wait {
			best = step
		}
	}
	return best
}

// Put stores a message until its event is due, as its Transit says. An event that is due
// after more than one step passes through several queues. Errors are those of
// queue.Publisher.
func Put(ctx context.Context, p queue.Publisher, m *queue.Message) error {
	now := time.Now()
	return put(ctx, p, m, stepFor(event.TransitOf(m).Due.Sub(now)), now)
}

func put(ctx context.Context, p queue.Publisher, m *queue.Message, step time.Duration, now time.Time) error {
	delayed := event.EncodeTransit(m, event.TransitOf(m)) // a copy
	delayed.Headers[releaseHeader] = now.Add(step).UnixMilli()
	return p.Put(ctx, Queue(step), delayed)
}

// releaseOf a message; the zero time if it has none.
func releaseOf(m *queue.Message) time.Time {
	if ms, ok := m.Headers[releaseHeader].(int64); ok {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}
