package dispatch

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/event"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/routing"
)

// rabbit is a virtual host of the test's own, and connections to it that can be cut.
type rabbit struct {
	t      *testing.T
	secret string
	mu     sync.Mutex
	conns  []net.Conn
}

func newRabbit(t *testing.T) *rabbit {
	t.Helper()
	address, management := os.Getenv("LAMBDA_RABBITMQ_URL"), os.Getenv("LAMBDA_RABBITMQ_MANAGEMENT_URL")
	if address == "" || management == "" {
		t.Skip("LAMBDA_RABBITMQ_URL or LAMBDA_RABBITMQ_MANAGEMENT_URL: missing")
	}
	uri, err := amqp091.ParseURI(address)
	if err != nil {
		t.Fatal(err)
	}
	vhost := fmt.Sprintf("lambda-dispatch-%d", time.Now().UnixNano())
	call := func(method, path string, in any) {
		body, _ := json.Marshal(in)
		request, err := http.NewRequest(method, management+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(uri.Username, uri.Password)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode >= 400 {
			t.Fatal(method, path, response.Status)
		}
	}
	call(http.MethodPut, "/api/vhosts/"+vhost, map[string]any{})
	t.Cleanup(func() { call(http.MethodDelete, "/api/vhosts/"+vhost, nil) })
	call(http.MethodPut, "/api/permissions/"+vhost+"/"+url.PathEscape(uri.Username), map[string]any{"configure": ".*", "write": ".*", "read": ".*"})
	r := &rabbit{t: t, secret: t.TempDir()}
	for name, text := range map[string]string{"host": uri.Host, "port": fmt.Sprint(uri.Port), "username": uri.Username, "password": uri.Password, "vhost": vhost} {
		if err := os.WriteFile(filepath.Join(r.secret, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// engine whose connections cut cuts, if it is breakable.
func (r *rabbit) engine(breakable bool) *amqp.Engine {
	o := amqp.Options{Credentials: r.secret, Name: r.t.Name()}
	if breakable {
		o.Dial = func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, hostPort)
			if err == nil {
				r.mu.Lock()
				r.conns = append(r.conns, c)
				r.mu.Unlock()
			}
			return c, err
		}
	}
	return amqp.New(o)
}

func (r *rabbit) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// replica of the dispatcher, with connections of its own.
type replica struct {
	engine *amqp.Engine
	d      *Dispatcher
	delays *delay.Consumer
}

func (r *rabbit) replica(f *rabbitFixture, breakable bool) *replica {
	r.t.Helper()
	p := &replica{engine: r.engine(breakable)}
	p.d = New(Options{
		Subscriber: p.engine, Publisher: p.engine, Inspector: p.engine, Sender: f.sender, Priority: Spread(rand.Text()),
	})
	p.delays = &delay.Consumer{Subscriber: p.engine, Publisher: p.engine, Trigger: p.d.Queue}
	f.must(p.delays.Start(r.t.Context()))
	p.d.Apply(f.trigger, f.broker)
	return p
}

func (p *replica) stop(f *rabbitFixture, grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = p.d.Stop(ctx) // what is given up comes back
	end, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f.must(p.delays.Stop(end))
	_ = p.engine.Close(end) // with cut connections, it reports these
}

// rabbitFixture declares what the controller would.
type rabbitFixture struct {
	fixture
	admin *amqp.Engine
}

func newRabbitFixture(r *rabbit) *rabbitFixture {
	r.t.Helper()
	f := &rabbitFixture{admin: r.engine(false)}
	r.t.Cleanup(func() { _ = f.admin.Close(context.Background()) })
	f.t, f.sender, f.broker = r.t, &sender{}, aBroker()
	f.must(f.admin.DeclareExchange(r.t.Context()))
	for _, name := range append(delay.Queues(), dlq) {
		f.must(f.admin.Declare(r.t.Context(), queue.Declaration{Name: name}))
	}
	f.topology = f.admin
	return f
}

func (f *rabbitFixture) publishMany(n int) {
	f.t.Helper()
	for i := range n {
		e := anEvent(strconv.Itoa(i))
		m, err := event.Encode(e)
		f.must(err)
		f.must(f.admin.Publish(f.t.Context(), routing.Keys(brokerUID, e.Type(), e.Source()), m))
	}
}

// deadLetters counts dead letters by id, with the least attempts of each.
func (f *rabbitFixture) deadLetters(leastAttempts map[string]int) queue.Consumption {
	c, err := f.admin.Consume(f.t.Context(), queue.Consumer{Queue: dlq, Scope: "test", Prefetch: 100, Handler: func(_ context.Context, d queue.Delivery) {
		e, err := event.Decode(d.Message())
		if err != nil {
			f.t.Error(err)
			return
		}
		f.sender.mu.Lock()
		defer f.sender.mu.Unlock()
		n := attempts(f.t, e)
		if before, ok := leastAttempts[e.ID()]; !ok || n < before {
			leastAttempts[e.ID()] = n
		}
		_ = d.Ack()
	}})
	f.must(err)
	return c
}

// TestKill: connections are cut every 500 ms, and replicas are stopped gracefully and
// killed. Every event is answered or becomes a dead letter that has used up its
// attempts.
func TestKill(t *testing.T) {
	t.Parallel()
	r := newRabbit(t)
	f := newRabbitFixture(r)
	f.trigger = f.newTrigger("kill", parallel(50))
	retries(3, linear, "PT0.2S")(f.trigger)
	const total = 1_000
	answered := map[string]int{}
	f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
		time.Sleep(20 * time.Millisecond)
		id := r.Event.ID()
		n, _ := strconv.Atoi(id)
		if n%3 == 0 || n%3 == 1 && f.sender.count()[id] < 3 {
			return fails(503, true)
		}
		f.sender.mu.Lock()
		defer f.sender.mu.Unlock()
		answered[id]++
		return ok()
	})
	f.publishMany(total)
	dead := map[string]int{}
	f.deadLetters(dead)
	start := time.Now()
	first, second := r.replica(f, true), r.replica(f, true)
	missing := func() (n int) {
		f.sender.mu.Lock()
		defer f.sender.mu.Unlock()
		for i := range total {
			id := strconv.Itoa(i)
			if i%3 == 0 && dead[id] == 0 || i%3 != 0 && answered[id] == 0 {
				n++
			}
		}
		return n
	}
	cuts, kills := 0, 0
	for time.Since(start) < 90*time.Second && missing() > 0 {
		time.Sleep(500 * time.Millisecond)
		r.cut()
		if cuts++; cuts%6 == 0 {
			grace := 10 * time.Second
			if kills++; kills%2 == 0 {
				grace = time.Millisecond
			}
			first.stop(f, grace)
			first, second = second, r.replica(f, true)
		}
		if cuts > 40 { // enough: let them come to an end
			break
		}
	}
	for time.Since(start) < 2*time.Minute && missing() > 0 {
		time.Sleep(100 * time.Millisecond)
	}
	first.stop(f, 10*time.Second)
	second.stop(f, 10*time.Second)
	if n := missing(); n > 0 {
		t.Errorf("%d of %d events are missing", n, total)
	}
	sent := f.sender.count()
	f.sender.mu.Lock()
	defer f.sender.mu.Unlock()
	duplicates := 0
	for id, n := range dead {
		if n < 4 || sent[id] < 4 {
			t.Errorf("event %s is a dead letter with %d attempts and was sent %d times, want 4", id, n, sent[id])
		}
	}
	for _, n := range answered {
		duplicates += n - 1
	}
	t.Logf("%d answered with %d duplicates, %d dead letters, %d cuts, %d stops, in %s", len(answered), duplicates, len(dead), cuts, kills, time.Since(start))
}

// TestOrder_RollOut: order is kept on RabbitMQ while replicas replace each other.
func TestOrder_RollOut(t *testing.T) {
	t.Parallel()
	r := newRabbit(t)
	f := newRabbitFixture(r)
	f.trigger = f.newTrigger("ordered", ordered)
	retries(5, linear, "PT0.1S")(f.trigger)
	const total = 1_000
	var order []int
	failed := map[int]int{}
	var mu sync.Mutex
	f.sender.set(func(_ context.Context, r *delivery.Request) *delivery.Result {
		time.Sleep(2 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		n, _ := strconv.Atoi(r.Event.ID())
		if n%10 == 0 && failed[n] < 2 {
			failed[n]++
			return fails(503, true)
		}
		order = append(order, n)
		return ok()
	})
	f.publishMany(total)
	start, current, roll := time.Now(), r.replica(f, false), 0
	done := func() bool { mu.Lock(); defer mu.Unlock(); return len(order) >= total }
	for ; !done() && time.Since(start) < 90*time.Second; roll++ {
		time.Sleep(700 * time.Millisecond)
		next := r.replica(f, false)
		time.Sleep(200 * time.Millisecond)
		current.stop(f, 20*time.Second)
		current = next
	}
	current.stop(f, 20*time.Second)
	mu.Lock()
	defer mu.Unlock()
	last := -1
	for _, n := range order {
		if n > last+1 {
			t.Fatalf("event %d arrived after %d", n, last)
		}
		last = max(last, n)
	}
	if last != total-1 {
		t.Errorf("the last event is %d, want %d", last, total-1)
	}
	t.Logf("%d events, %d duplicates, %d roll-outs, in %s", total, len(order)-total, roll, time.Since(start))
}
