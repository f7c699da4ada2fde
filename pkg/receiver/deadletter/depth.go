package deadletter

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const (
	// depthsTimeout bounds a count: Prometheus waits no longer than 10 s.
	depthsTimeout = 5 * time.Second
	// depthsFor is how long a count is told again, however often somebody asks.
	depthsFor = 10 * time.Second
)

// Counter counts letters.
type Counter interface {
	// Depths of the queues: how many letters each has that no session has just now.
	// A queue that is not there is left out.
	Depths(ctx context.Context, queues []string) (map[string]int, error)
}

// Depths tells how many letters the queues of each namespace have, when it is asked.
type Depths struct {
	Counter Counter
	// Owners of queues.
	Owners func() ([]Owner, error)
	Clock  clock.PassiveClock

	namespaces *metrics.Open
	mu         sync.Mutex
	counted    time.Time
	depths     map[held]int64
}

// held letters are those of all owners of a kind in a namespace.
type held struct{ namespace, kind string }

// NewDepths tells of the owners' queues.
func NewDepths(counter Counter, owners func() ([]Owner, error), clock clock.PassiveClock) *Depths {
	return &Depths{Counter: counter, Owners: owners, Clock: clock, namespaces: metrics.NamespaceLabel.Open()}
}

// Observe tells the instrument metrics.LetterDepth. Nothing is told where RabbitMQ
// does not answer.
func (d *Depths) Observe(ctx context.Context, o metric.Int64Observer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.depths == nil || d.Clock.Since(d.counted) >= depthsFor {
		d.counted = d.Clock.Now()
		var err error
		if d.depths, err = d.count(ctx); err != nil {
			slog.WarnContext(ctx, "dead letters cannot be counted", "error", err)
		}
	}
	for h, n := range d.depths {
		o.Observe(n, metrics.Set(d.namespaces.Of(h.namespace), metrics.KindLabel.Of(h.kind)))
	}
	return nil
}

// kinds are the kinds of owners as Kubernetes has them.
var kinds = map[Kind]string{KindFunction: "LambdaFunction", KindAgent: "LambdaAgent"}

func (d *Depths) count(ctx context.Context) (map[held]int64, error) {
	owners, err := d.Owners()
	if err != nil || len(owners) == 0 {
		return nil, err
	}
	queues := make([]string, len(owners))
	for i, o := range owners {
		queues[i] = o.Queue()
	}
	ctx, cancel := context.WithTimeout(ctx, depthsTimeout)
	defer cancel()
	depths, err := d.Counter.Depths(ctx, queues)
	if err != nil {
		return nil, err
	}
	sums := map[held]int64{}
	for i, o := range owners {
		if n, ok := depths[queues[i]]; ok {
			// A namespace that is one too many shares its number with others.
			sums[held{d.namespaces.Bound(o.Namespace), kinds[o.Kind]}] += int64(n)
		}
	}
	return sums, nil
}
