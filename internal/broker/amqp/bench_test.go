package amqp

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// BenchmarkPublish measures confirmed messages of 1 KiB on one quorum queue.
func BenchmarkPublish(b *testing.B) {
	for _, callers := range []int{1, 100} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			r := theRabbit(b)
			e := r.engine(b)
			q := aQueue(b, e, false)
			key := q + ".key"
			must(b, e.DeclareExchange(b.Context()))
			must(b, e.Bind(b.Context(), q, key))
			keys := []string{key, key + "1", key + "2", key + "3"}
			m := &queue.Message{Headers: map[string]any{"id": "1", "source": "/bench", "type": "bench", "specversion": "1.0"}, Body: make([]byte, 1<<10)}
			must(b, e.Publish(b.Context(), keys, m))
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := e.Publish(b.Context(), keys, m); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkConsume measures deliveries that are acknowledged at once.
func BenchmarkConsume(b *testing.B) {
	for _, prefetch := range []int{1, 100} {
		b.Run(fmt.Sprintf("prefetch=%d", prefetch), func(b *testing.B) {
			r := theRabbit(b)
			e := r.engine(b)
			q := aQueue(b, e, false)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					for range b.N/100 + 1 {
						if err := e.Put(b.Context(), q, &queue.Message{Body: make([]byte, 1<<10)}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			var n atomic.Int64
			done := make(chan struct{})
			b.ResetTimer()
			c, err := e.Consume(b.Context(), queue.Consumer{Queue: q, Prefetch: prefetch, Handler: func(_ context.Context, d queue.Delivery) {
				if err := d.Ack(); err != nil {
					b.Error(err)
				}
				if n.Add(1) == int64(b.N) {
					close(done)
				}
			}})
			must(b, err)
			<-done
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.StopTimer()
			must(b, c.Close())
		})
	}
}

// TestIdleQueues measures what idle quorum queues cost RabbitMQ. It runs if
// LAMBDA_IDLE_QUEUES gives their number.
func TestIdleQueues(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("LAMBDA_IDLE_QUEUES"))
	if err != nil {
		t.Skip("LAMBDA_IDLE_QUEUES: missing")
	}
	r := own(t)
	e := r.engine(t)
	must(t, e.DeclareExchange(t.Context()))
	before := r.memory(t)
	began := time.Now()
	declared := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range declared {
				name := fmt.Sprintf("lambda.t.idle.%d", i)
				if err := e.Declare(t.Context(), queue.Declaration{Name: name}); err != nil {
					t.Error(err)
				}
				if err := e.Bind(t.Context(), name, name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range count {
		declared <- i
	}
	close(declared)
	wg.Wait()
	took := time.Since(began)
	time.Sleep(10 * time.Second) // statistics are collected every 5 s
	queues := r.memory(t)
	for i := range count {
		consume(t, e, fmt.Sprintf("lambda.t.idle.%d", i), 10)
	}
	eventually(t, "every queue has its consumer", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for c := range e.consumptions {
			if c.Err() != nil {
				return false
			}
		}
		return true
	})
	time.Sleep(10 * time.Second)
	consumers := r.memory(t)
	t.Logf("%d quorum queues declared and bound in %s", count, took.Round(time.Millisecond))
	for name := range before {
		t.Logf("%-25s before %7.1f MiB, queues %+7.1f MiB, consumers %+7.1f MiB", name, mib(before[name]), mib(queues[name]-before[name]), mib(consumers[name]-queues[name]))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// memory of the node in bytes, by what it is used for.
func (r *rabbit) memory(t *testing.T) map[string]int64 {
	t.Helper()
	var nodes []struct{ Name string }
	r.Must(t, http.MethodGet, "/api/nodes", nil, &nodes)
	var out struct{ Memory map[string]any }
	r.Must(t, http.MethodGet, "/api/nodes/"+nodes[0].Name+"/memory", nil, &out)
	flat := map[string]int64{}
	for name, value := range out.Memory {
		switch v := value.(type) {
		case float64:
			flat[name] = int64(v)
		case map[string]any:
			for kind, n := range v {
				if f, ok := n.(float64); ok {
					flat[name+" "+kind] = int64(f)
				}
			}
		}
	}
	return flat
}
