package testing

import (
	"context"
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
)

// DeadLetters are queues of dead letters that only write down what is asked.
type DeadLetters struct {
	// Err is the answer to Ensure.
	Err error

	mu      sync.Mutex
	bounds  map[string]deadletters.Bounds
	deleted map[string]bool
}

// Ensure writes down the bounds of a queue.
func (d *DeadLetters) Ensure(_ context.Context, queue string, b deadletters.Bounds) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bounds == nil {
		d.bounds = map[string]deadletters.Bounds{}
	}
	d.bounds[queue] = b
	return d.Err
}

// Delete writes down that a queue was deleted.
func (d *DeadLetters) Delete(_ context.Context, queue string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deleted == nil {
		d.deleted = map[string]bool{}
	}
	d.deleted[queue] = true
	delete(d.bounds, queue)
	return nil
}

// Known says whether a queue was ensured.
func (d *DeadLetters) Known(queue string) bool {
	_, ok := d.Bounds(queue)
	return ok
}

// Bounds of a queue that was ensured and not deleted.
func (d *DeadLetters) Bounds(queue string) (deadletters.Bounds, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.bounds[queue]
	return b, ok
}

// Deleted says whether a queue was deleted.
func (d *DeadLetters) Deleted(queue string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deleted[queue]
}
