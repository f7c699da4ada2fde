package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp/amqptest"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// topologyOn declares what all Triggers of a virtual host share.
func topologyOn(t *testing.T, host *amqptest.VirtualHost) *amqp.Engine {
	t.Helper()
	e := amqp.New(amqp.Options{Credentials: host.Secret(t, nil), TopologyOnly: true})
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(e.DeclareExchange(t.Context()))
	for _, name := range delay.Queues() {
		must(e.Declare(t.Context(), queue.Declaration{Name: name}))
	}
	return e
}

// bind the queue of Trigger team/orders of Broker team/default.
func bind(t *testing.T, e *amqp.Engine) {
	t.Helper()
	trigger := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "orders", UID: "t"}}
	wanted, err := assignment.Wanted("uid", trigger, queue.Quorum)
	if err == nil {
		err = e.Declare(t.Context(), queue.Declaration{Name: wanted.Queue})
	}
	if err == nil {
		err = e.Bind(t.Context(), wanted.Queue, wanted.Keys[0])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRabbitMQ_TwoConnections: two virtual hosts as two connections. One of them is lost,
// and has new credentials; events of the other go on.
func TestRabbitMQ_TwoConnections(t *testing.T) {
	installation, other := amqptest.New(t), amqptest.New(t)
	var toDefault, toOwn atomic.Int64
	count := func(n *atomic.Int64) *apis.URL {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n.Add(1) }))
		t.Cleanup(s.Close)
		url, err := apis.ParseURL(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	user := other.Name
	password := func(text string) {
		t.Helper()
		other.Must(t, http.MethodPut, "/api/users/"+user, map[string]string{"password": text, "tags": ""}, nil)
		other.Must(t, http.MethodPut, "/api/permissions/"+other.Name+"/"+user,
			map[string]string{"configure": `^lambda\.`, "write": `^(lambda\.|amq\.default$)`, "read": `^lambda\.`}, nil)
	}
	password("1")
	t.Cleanup(func() { other.Must(t, http.MethodDelete, "/api/users/"+user, nil, nil) })
	settings := connection.Settings{From: "team", Host: other.Host, Port: other.Port, Username: user, Password: "1", VirtualHost: other.Name}

	own := topologyOn(t, other)
	bind(t, topologyOn(t, installation))
	r := start(t, func(r *running) {
		r.options.NewDispatcher, r.options.Connect = NewDispatcher, ConnectRabbitMQ("test", 1<<20)
		r.options.Permit = func(string, string, netip.Addr) error { return nil }
		r.options.Credentials = installation.Secret(t, nil)
		r.other = amqp.New(amqp.Options{Credentials: r.options.Credentials})
		r.serve(count(&toDefault))
		r.serveOwn(own, count(&toOwn))
		r.connect(settings)
	})
	r.until("it is ready", r.ready)
	accepted := func(broker string) func() bool {
		return func() bool { return r.postTo(broker) == http.StatusAccepted }
	}
	delivered := func(n *atomic.Int64, broker string) {
		t.Helper()
		before := n.Load()
		r.until(broker+" accepts an event", accepted(broker))
		r.until("an event of "+broker+" is delivered", func() bool { return n.Load() > before })
	}
	delivered(&toDefault, "default")
	delivered(&toOwn, "own")

	// The installation's is lost.
	if err := installation.Delete(); err != nil {
		t.Fatal(err)
	}
	r.until("the Broker of the installation answers 503", func() bool { return r.postTo("default") == http.StatusServiceUnavailable })
	delivered(&toOwn, "own")
	installation.Create(t)
	bind(t, topologyOn(t, installation))
	delivered(&toDefault, "default")

	// The other has a new password, and then a wrong one.
	password("2")
	settings.Password = "2"
	r.connect(settings)
	for range 3 {
		delivered(&toOwn, "own")
		time.Sleep(time.Second)
	}
	other.Must(t, http.MethodDelete, "/api/users/"+user, nil, nil)
	r.until("the other Broker answers 503", func() bool { return r.postTo("own") == http.StatusServiceUnavailable })
	delivered(&toDefault, "default")
	password("3")
	settings.Password = "3"
	r.connect(settings)
	delivered(&toOwn, "own")
	r.stop()
	r.end()
}

// TestRabbitMQ_Refused: wrong credentials, and a virtual host that does not exist, differ
// from a RabbitMQ that is away.
func TestRabbitMQ_Refused(t *testing.T) {
	t.Parallel()
	host := amqptest.New(t)
	for name, change := range map[string]func(*connection.Settings){
		"password":     func(s *connection.Settings) { s.Password = "wrong" },
		"virtual host": func(s *connection.Settings) { s.VirtualHost = "none" },
	} {
		s := &connection.Settings{Host: host.Host, Port: host.Port, Username: host.Username, Password: host.Password, VirtualHost: host.Name}
		change(s)
		e := amqp.New(amqp.Options{Current: s.Credentials, TopologyOnly: true, Lazy: true})
		err := e.DeclareExchange(t.Context())
		if !errors.Is(err, queue.ErrRefused) || !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		_ = e.Close(t.Context())
	}
}
