package amqp

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue/queuetest"
)

// rabbit is a virtual host with engines for it.
type rabbit struct{ *amqptest.VirtualHost }

var (
	sharedOnce sync.Once
	shared     *rabbit
)

// TestMain deletes the virtual host that tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.Delete(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// theRabbit returns the virtual host that tests share. It skips a test without a
// RabbitMQ.
func theRabbit(t testing.TB) *rabbit {
	t.Helper()
	v := amqptest.Open(t)
	sharedOnce.Do(func() {
		v.Create(t)
		shared = &rabbit{v}
	})
	if shared == nil {
		t.Fatal("the virtual host could not be made")
	}
	return shared
}

// own returns a virtual host for one test.
func own(t testing.TB) *rabbit {
	t.Helper()
	return &rabbit{amqptest.New(t)}
}

// engine connects directly.
func (r *rabbit) engine(t testing.TB, change ...func(*Options)) *Engine {
	t.Helper()
	return r.engineAt(t, r.Host, r.Port, change...)
}

func (r *rabbit) engineAt(t testing.TB, host, port string, change ...func(*Options)) *Engine {
	t.Helper()
	o := Options{Credentials: r.Secret(t, map[string]string{"host": host, "port": port}), Name: t.Name()}
	for _, f := range change {
		f(&o)
	}
	e := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return e
}

// limited is an Engine whose queues policies limit.
type limited struct {
	*Engine

	r *rabbit
}

var _ queuetest.Limiter = limited{}

// Limit implements queuetest.Limiter.
func (l limited) Limit(_ context.Context, queue string, messages int) error {
	return l.r.Limit(queue, messages)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	r := theRabbit(t)
	queuetest.Run(t, func(t *testing.T) queuetest.Engine {
		t.Helper()
		return limited{Engine: r.engine(t), r: r}
	})
}
