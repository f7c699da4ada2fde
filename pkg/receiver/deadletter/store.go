package deadletter

import (
	"context"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// ReasonNotReady is the reason of errors that pass by themselves.
const ReasonNotReady = "NotReady"

var (
	// ErrUnavailable says that the queues cannot be reached just now.
	ErrUnavailable = httpapi.Errorf(http.StatusServiceUnavailable, "Unavailable", "RabbitMQ cannot be reached")
	// ErrNoQueue says that there is no such queue.
	ErrNoQueue = httpapi.Errorf(http.StatusNotFound, "NotFound", "there is no such dead letter queue")
	// ErrFull says that a queue takes no more.
	ErrFull = httpapi.Errorf(http.StatusServiceUnavailable, "QueueFull", "the dead letter queue is full and refuses more")
	// ErrBusy says that another session has the queue.
	ErrBusy = httpapi.Errorf(http.StatusConflict, ReasonNotReady, "the dead letter queue is in use by another request; try again later")
)

// Store is where dead letters are kept.
type Store interface {
	// Publish puts an event into a queue. It returns nil only after the queue has
	// it safely.
	Publish(ctx context.Context, queue string, e *event.Event) error
	// Open begins a session. Only one at a time has a queue: ErrBusy where another
	// does not end in time. The session ends with ctx, or before by its Close.
	Open(ctx context.Context, queue string) (Session, error)
}

// Session looks at the letters of a queue and removes some. Letters that it has
// looked at and not removed go back when it ends, whatever ends it, in any order.
type Session interface {
	// Next letter that this session has not seen; nil where there is no other.
	Next() (*Letter, error)
	// Remove a letter for good.
	Remove(l *Letter) error
	// Close ends the session.
	Close() error
}
