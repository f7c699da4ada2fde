package server

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delay"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/memory"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

const ownName = "team.5ca1ab1e"

// own is the message broker of Broker team/own.
type own struct {
	*engine
	dial   egress.Dial
	opened atomic.Int64
}

func newOwn() *own { return &own{engine: &engine{Engine: memory.New(), closed: make(chan struct{})}} }

func (o *own) connect(_ func() *connection.Settings, dial egress.Dial) Engine {
	o.dial = dial
	o.opened.Add(1)
	return o.engine
}

// connections that the Secret has.
func (r *running) connections(names ...string) {
	r.Helper()
	all := map[string]connection.Settings{}
	for _, name := range names {
		all[name] = connection.Settings{From: "team", Source: "Secret team/rabbit", Host: "rabbit.team.svc", Port: "5672"}
	}
	r.write(all)
}

// connect Broker team/own.
func (r *running) connect(s connection.Settings) {
	r.Helper()
	r.write(map[string]connection.Settings{ownName: s})
}

func (r *running) write(all map[string]connection.Settings) {
	r.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operator, Name: connection.SecretName}, Data: map[string][]byte{}}
	for name, s := range all {
		text, err := s.Encode()
		if err != nil {
			r.Fatal(err)
		}
		secret.Data[name] = text
	}
	secrets := r.kube.CoreV1().Secrets(operator)
	_, err := secrets.Update(r.Context(), secret, metav1.UpdateOptions{})
	if err != nil {
		_, err = secrets.Create(r.Context(), secret, metav1.CreateOptions{})
	}
	if err != nil {
		r.Fatal(err)
	}
}

// serveOwn adds Broker team/own with a Trigger whose queue is on the other message broker.
func (r *running) serveOwn(o queue.Topology, subscriber *apis.URL) {
	r.Helper()
	broker := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "own", UID: "own-uid", Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: lambda.BrokerClass},
	}}
	broker.Spec.Config = &duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "rabbit"}
	assignment.Connect(broker, ownName)
	trigger := &eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Broker: "own"}}
	trigger.Namespace, trigger.Name, trigger.UID, trigger.Generation = "team", "own", "t-own", 1
	trigger.Status.SubscriberURI = subscriber
	trigger.Status.MarkDependencySucceeded()
	wanted, err := assignment.Wanted("own-uid", trigger, queue.Quorum)
	must := func(err error) {
		r.Helper()
		if err != nil {
			r.Fatal(err)
		}
	}
	must(err)
	wanted.Connection = ownName
	wanted.Record(trigger)
	for _, name := range append(delay.Queues(), wanted.Queue) {
		must(o.Declare(r.Context(), queue.Declaration{Name: name}))
	}
	must(o.Bind(r.Context(), wanted.Queue, wanted.Keys[0]))
	must(r.eventing.Tracker().Add(broker))
	must(r.eventing.Tracker().Add(trigger))
}

func (r *running) postTo(broker string) int {
	code, _ := r.status(http.MethodPost, r.options.Events, "/team/"+broker, "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t")
	return code
}

// TestRun_OwnConnection: a Broker with a connection of its own has events while that is in
// the Secret, and other Brokers do not notice.
func TestRun_OwnConnection(t *testing.T) {
	var delivered atomic.Int64
	subscriber := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { delivered.Add(1) }))
	defer subscriber.Close()
	url, err := apis.ParseURL(subscriber.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := newOwn()
	r := start(t, func(r *running) {
		r.options.NewDispatcher, r.options.Connect = NewDispatcher, o.connect
		r.serveOwn(o, url)
		r.connections(ownName)
	})
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	if code := r.postTo("own"); code != http.StatusAccepted {
		t.Fatalf("status %d", code)
	}
	r.until("the event is delivered", func() bool { return delivered.Load() == 1 })

	r.connections() // the last Broker has left
	<-o.closed
	r.until("its Broker answers 503", func() bool { return r.postTo("own") == http.StatusServiceUnavailable })
	if code := r.postTo("default"); code != http.StatusAccepted {
		t.Errorf("the other Broker answers %d", code)
	}
	if n := o.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	r.stop()
	r.end()
}

// TestRun_OwnConnectionLater: what is opened while the program runs is delivered, too, and
// closed at its end.
func TestRun_OwnConnectionLater(t *testing.T) {
	var delivered atomic.Int64
	subscriber := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { delivered.Add(1) }))
	defer subscriber.Close()
	url, err := apis.ParseURL(subscriber.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := newOwn()
	r := start(t, func(r *running) {
		r.options.NewDispatcher, r.options.Connect = NewDispatcher, o.connect
		r.serveOwn(o, url)
	})
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	if code := r.postTo("own"); code != http.StatusServiceUnavailable {
		t.Errorf("status %d without a connection", code)
	}
	r.connections(ownName)
	r.until("the event is accepted", func() bool { return r.postTo("own") == http.StatusAccepted })
	r.until("it is delivered", func() bool { return delivered.Load() == 1 })
	r.stop()
	r.end()
	<-o.closed
}

// TestRun_OwnConnectionIsGuarded: a connection leads where its namespace may deliver.
func TestRun_OwnConnectionIsGuarded(t *testing.T) {
	o := newOwn()
	asked := make(chan string, 1)
	r := start(t, func(r *running) {
		r.options.Connect = o.connect
		r.options.Permit = func(namespace, hostPort string, address netip.Addr) error {
			asked <- namespace + " " + hostPort + " " + address.String()
			return &egress.ForbiddenError{Host: hostPort, Address: address, Reason: "refused"}
		}
		r.connections(ownName)
	})
	r.engine.up.Store(true)
	r.until("it is ready", r.ready)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := o.dial(t.Context(), "tcp", l.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("connected although it is refused")
	}
	if got, want := <-asked, "team "+l.Addr().String()+" 127.0.0.1"; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	close(r.dispatcher.finish)
	r.stop()
	r.end()
}

// TestConsumeDelays_Budget: delayed messages of a connection count for its namespace.
func TestConsumeDelays_Budget(t *testing.T) {
	b := budget.New(1, 100)
	s := &deliveries{dependencies: &Dependencies{Deliveries: b}}
	c := s.consumeDelays(t.Context())(ownName, newOwn())
	defer func() { _ = c.Stop(t.Context()) }()
	if c.Budget == nil {
		t.Fatal("what is in hand counts for no budget")
	}
	release := c.Budget(10)
	if namespace, n := b.Largest(); release == nil || namespace != "team" || n != 10 {
		t.Errorf("%q holds %d bytes, want team, 10", namespace, n)
	}
}
