package dispatch

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// active are the replicas that RabbitMQ chooses for each of 1,000 queues.
func active(replicas ...string) map[string]string {
	chosen := map[string]string{}
	for i := range 1000 {
		name, highest := fmt.Sprintf("lambda.t.team-%d.orders-%d.uid.1", i%7, i), -1
		for _, replica := range replicas {
			if p := Spread(replica)(name); p > highest {
				chosen[name], highest = replica, p
			}
		}
	}
	return chosen
}

func shares(chosen map[string]string) map[string]int {
	n := map[string]int{}
	for _, replica := range chosen {
		n[replica]++
	}
	return n
}

// TestSpread: each replica has its share, and a change of the replicas moves no queue of
// those that stay.
func TestSpread(t *testing.T) {
	t.Parallel()
	replicas := []string{
		"knative-lambda-broker-7d9f8c6b5-x2x4z", "knative-lambda-broker-7d9f8c6b5-x2x4q", "knative-lambda-broker-7d9f8c6b5-9kq7m",
		"knative-lambda-broker-66c5f77f8d-lq2vb", "knative-lambda-broker-66c5f77f8d-8tzzn",
	}
	for n := 2; n <= len(replicas); n++ {
		now := active(replicas[:n]...)
		for _, replica := range replicas[:n] {
			if got, even := shares(now)[replica], 1000/float64(n); math.Abs(float64(got)-even) > even/4 {
				t.Errorf("%d replicas: %s has %d queues, want about %.0f", n, replica, got, even)
			}
		}
		if n == len(replicas) {
			break
		}
		next, moved := active(replicas[:n+1]...), 0
		for name, replica := range next {
			switch {
			case replica == replicas[n]:
				moved++
			case replica != now[name]:
				t.Errorf("%s moves from %s to %s, which both stay", name, now[name], replica)
			}
		}
		if most := 1000 / (n + 1) * 5 / 4; moved > most {
			t.Errorf("%d of 1000 queues move to replica %d, want at most %d", moved, n+1, most)
		}
	}
	if p := Spread("a")("q"); p != Spread("a")("q") || p < 0 || p > math.MaxInt32 {
		t.Errorf("priority %d is not stable, or no positive number of 32 bits", p)
	}
}

// TestSpread_IsOfOrderedQueues: unordered ones are consumed by all replicas alike.
func TestSpread_IsOfOrderedQueues(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind func(*eventingv1.Trigger)
		want func(name string) int
	}{
		"ordered":   {ordered, Spread("replica-1")},
		"unordered": {parallel(5), func(string) int { return 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.stop(0)
				got := &priorities{Subscriber: f.engine, of: map[string]int{}}
				f.options.Priority = Spread("replica-1")
				f.trigger = f.newTrigger("greeter", tt.kind)
				f.begin(f.engine, got)
				f.apply()
				synctest.Wait()
				got.mu.Lock()
				defer got.mu.Unlock()
				if p, ok := got.of[f.queue()]; !ok || p != tt.want(f.queue()) {
					t.Errorf("the priority is %d, consumed %t; want %d", p, ok, tt.want(f.queue()))
				}
			})
		})
	}
}

// priorities notes the priority of each consumer.
type priorities struct {
	queue.Subscriber
	mu sync.Mutex
	of map[string]int
}

func (p *priorities) Consume(ctx context.Context, c queue.Consumer) (queue.Consumption, error) {
	p.mu.Lock()
	p.of[c.Queue] = c.Priority
	p.mu.Unlock()
	return p.Subscriber.Consume(ctx, c)
}
