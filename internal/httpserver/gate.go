package httpserver

import (
	"context"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/fair"
)

// Limits of a Gate.
type Limits struct {
	// Bytes bounds the bytes of all requests in memory, and BytesPerKey those of one key.
	Bytes, BytesPerKey int64
	// Places bounds how many requests are handled at once, and PlacesPerNamespace those
	// of one namespace.
	Places, PlacesPerNamespace int
	// Wait bounds how long a request waits for its place.
	Wait time.Duration
}

// Gate bounds the requests of a handler: their bytes in memory, and how many are handled
// at once. Places are shared out fairly between namespaces.
type Gate struct {
	budget *Budget
	places *fair.Semaphore
	wait   time.Duration
}

// NewGate returns a Gate with these limits.
func NewGate(l Limits) *Gate {
	return &Gate{NewBudget(l.Bytes, l.BytesPerKey), fair.NewSemaphore(l.Places, l.PlacesPerNamespace), l.Wait}
}

// Used returns how many bytes are reserved.
func (g *Gate) Used() int64 { return g.budget.Used() }

// ReadEvent is the function ReadEvent with the budget of the gate. It takes no place: a
// slow sender holds none.
func (g *Gate) ReadEvent(w http.ResponseWriter, r *http.Request, limit int64, key string) (e *event.Event, release func(), err error) {
	return ReadEvent(w, r, limit, g.budget, key)
}

// Enter waits for a place and returns what gives it back. The error is ErrBusy.
func (g *Gate) Enter(ctx context.Context, namespace string) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	leave, err = g.places.Acquire(ctx, namespace)
	if err != nil {
		return nil, ErrBusy
	}
	return leave, nil
}
