// Package server puts the event plane's program together: what it watches, listens on
// and drains.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
)

const (
	// lameDuck is how long requests are accepted after SIGTERM: endpoints need a moment
	// to leave this replica out.
	lameDuck = 10 * time.Second
	// drainIngress is longer than reading and storing an event takes.
	drainIngress = 80 * time.Second
	// drainDeliveries leaves of the grace period of 930 s what closing takes. The longest
	// delivery is 15 min.
	drainDeliveries = 905 * time.Second
	// closeTimeout bounds closing the connections to RabbitMQ, and flushing spans.
	closeTimeout = 10 * time.Second
	// recheck is how often Knative Eventing is looked for where it is not installed.
	recheck = 30 * time.Second
	// connections of senders, in all and of one address. One sender alone cannot take all
	// requests that a namespace may have in hand.
	connections, perAddress = 8192, 512
)

// Engine stores messages; amqp.Engine and memory.Engine are such.
type Engine interface {
	queue.Publisher
	queue.Subscriber
	queue.Topology
	// Ready is nil while messages can be published and consumed.
	Ready() error
	// Close ends every consumption, waits for outstanding confirmations and closes the
	// connections.
	Close(ctx context.Context) error
}

// Options of the program.
type Options struct {
	// Namespace of the operator, and EventingNamespace of Knative Eventing, which has the
	// features and the CA certificates of the cluster.
	Namespace, EventingNamespace string
	// Replica is the name of this one among the others.
	Replica string
	// Ingress says whether events are accepted.
	Ingress bool
	// NewDispatcher makes what delivers events; nil if this replica delivers none.
	NewDispatcher func(ctx context.Context, d *Dependencies) (Dispatcher, error)
	// Connect opens the connections of Brokers with one of their own; nil if there are none.
	Connect Connect
	// Permit overrides where events may be delivered; for tests.
	Permit delivery.Permit
	// MaxBody of a request, in bytes; 0 is the ingress's default.
	MaxBody int64
	// Events is the address for senders, Control that for the controller and for probes,
	// Metrics that for Prometheus, Profiling that of pprof.
	Events, Control, Metrics, Profiling string
	// Credentials is the folder of the connection to RabbitMQ, which is empty where there
	// is none.
	Credentials string
	// EventsTLS is the address for senders that use TLS, with the tls.crt and tls.key in
	// the folder Certificate, which may be mounted later.
	EventsTLS, Certificate string
	// LameDuck and Recheck override for how long requests are accepted after SIGTERM, and
	// how often Knative Eventing is looked for; for tests.
	LameDuck, Recheck time.Duration
}

// Clients of the API server.
type Clients struct {
	Kube     kubernetes.Interface
	Eventing eventingclientset.Interface
	Metadata metadata.Interface
	Lambda   lambdaclientset.Interface
	// Config is for the discovery of the API server's OIDC issuer.
	Config *rest.Config
}

// Dispatcher delivers events.
type Dispatcher interface {
	// Watch applies Triggers, and returns when all that exist are applied.
	Watch(ctx context.Context) error
	// Register its handlers for the controller.
	Register(mux *http.ServeMux)
	// Stop delivers nothing new and waits until what is in hand has ended or ctx has.
	Stop(ctx context.Context) error
}

// Run serves until ctx ends, and drains: deliveries and requests of senders first, the
// servers for the controller and Prometheus next, the connections to RabbitMQ last.
func Run(ctx context.Context, clients Clients, engine Engine, o Options) error {
	own := newOwnConnections()
	telemetry, err := newTelemetry(ctx, clients.Kube, o.Namespace, engine, own.count)
	if err != nil {
		return err
	}
	p := newProgram(clients, engine, own, telemetry, o)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	always, end := context.WithCancel(context.WithoutCancel(ctx))
	others := make(chan error, 1)
	go func() {
		err := p.serveOthers(always)
		cancel() // without them the program is of no use
		others <- err
	}()
	err = p.run(ctx)
	end()
	err = errors.Join(err, <-others)
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer done()
	p.dependencies.Connections.close()
	return errors.Join(err, engine.Close(closing), telemetry.shutdown(closing))
}

// program is what runs.
type program struct {
	options      Options
	dependencies *Dependencies
	telemetry    *telemetry
	control      *http.ServeMux
	events       http.Handler // nil without an ingress
	serving      []func(context.Context) error
	dispatcher   Dispatcher // nil without one
	// idle while the cluster has no Brokers; connected once RabbitMQ was reached.
	idle, connected, stopping atomic.Bool
	// complete once the caches are, and the parts were made of them.
	complete atomic.Bool
}

func newProgram(clients Clients, engine Engine, own *ownConnections, t *telemetry, o Options) *program {
	d := &Dependencies{
		Engine: engine, Connections: own, Clients: clients, Replica: o.Replica, Meters: t.meters, Traces: t.traces,
		Requests: budget.New(budget.Requests, budget.Bytes), Deliveries: budget.New(budget.Requests, budget.Bytes),
	}
	p := &program{options: o, dependencies: d, telemetry: t, control: http.NewServeMux()}
	p.control.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	p.control.HandleFunc("GET /readyz", p.ready)
	return p
}

// ready once RabbitMQ was reached, or if there is none. Later on a replica without RabbitMQ
// stays ready: it answers 503 with Retry-After, where senders would otherwise get no
// answer at all.
func (p *program) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case p.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case p.connected.Load(), p.idle.Load():
	case !p.complete.Load():
		http.Error(w, "the caches are not complete", http.StatusServiceUnavailable)
	default:
		err := p.dependencies.Engine.Ready()
		if err != nil && p.options.connects() {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		p.connected.Store(err == nil)
	}
}

// run until ctx ends, and drain.
func (p *program) run(ctx context.Context) error {
	context.AfterFunc(ctx, func() { p.stopping.Store(true) })
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // until all has drained
	defer stop()
	if err := p.setUp(running, ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it ends before it has begun
		}
		return err
	}
	p.complete.Store(true)
	slog.Info("Serving", "events", p.options.Events, "control", p.options.Control,
		"ingress", p.events != nil, "dispatcher", p.dispatcher != nil)
	group, ending := errgroup.WithContext(ctx)
	for _, serve := range p.serving {
		group.Go(func() error { return serve(ending) })
	}
	group.Go(func() error { return p.deliver(ending) })
	return group.Wait()
}

func (p *program) setUp(running, ctx context.Context) (err error) {
	if err := p.await(ctx); err != nil {
		return err
	}
	if err := p.dependencies.watch(running, ctx, p.options.EventingNamespace); err != nil {
		return err
	}
	if err := p.dependencies.watchFeatures(running, p.options.EventingNamespace); err != nil {
		return err
	}
	if p.dependencies.Permit = p.options.Permit; p.dependencies.Permit == nil {
		if err := p.dependencies.watchTargets(running, ctx, &p.options); err != nil {
			return err
		}
	}
	if err := p.dependencies.watchConnections(running, ctx, &p.options); err != nil {
		return err
	}
	if p.options.Ingress {
		if p.events, err = newIngress(p.dependencies, p.options); err != nil {
			return err
		}
		if err := p.listen(ctx); err != nil {
			return err
		}
	}
	if p.options.NewDispatcher == nil {
		return nil
	}
	if p.dispatcher, err = p.options.NewDispatcher(running, p.dependencies); err != nil {
		return err
	}
	p.dispatcher.Register(p.control)
	return p.dispatcher.Watch(ctx)
}

// await Knative Eventing. Without its kinds the program is ready, so that an installation
// without events is complete, and looks for them again.
func (p *program) await(ctx context.Context) error {
	for {
		installed, err := p.dependencies.installed()
		if err != nil || installed {
			p.idle.Store(false)
			return err
		}
		if !p.idle.Swap(true) {
			slog.Info("Knative Eventing is not installed; waiting for its kinds")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(p.options.recheck()):
		}
	}
}

// connects says whether there are credentials of RabbitMQ.
func (o *Options) connects() bool {
	files, err := os.ReadDir(o.Credentials)
	return err == nil && len(files) > 0
}

func (o *Options) recheck() time.Duration {
	if o.Recheck > 0 {
		return o.Recheck
	}
	return recheck
}

func (p *program) serveOthers(ctx context.Context) error {
	endpoint := func(name, address string, handler http.Handler) httpserver.Endpoint {
		return httpserver.Endpoint{Address: address, Options: httpserver.Options{Name: name, Handler: handler, DrainTimeout: time.Second}}
	}
	return httpserver.ListenAndServe(ctx,
		endpoint("control", p.options.Control, p.control),
		endpoint("metrics", p.options.Metrics, p.telemetry.handler),
		endpoint("profiling", p.options.Profiling, p.telemetry.profiling),
	)
}

// listen for senders. It comes before the program is ready.
func (p *program) listen(ctx context.Context) error {
	o := httpserver.Options{
		Name: "events", Handler: p.events, LameDuck: lameDuck, DrainTimeout: drainIngress, Connections: connections, PerAddress: perAddress,
	}
	if p.options.LameDuck > 0 {
		o.LameDuck = p.options.LameDuck
	}
	endpoints := []httpserver.Endpoint{{Address: p.options.Events, Options: o}}
	if p.options.EventsTLS != "" {
		o.Name, o.TLS = "events-tls", (&certificate{folder: p.options.Certificate}).config()
		endpoints = append(endpoints, httpserver.Endpoint{Address: p.options.EventsTLS, Options: o})
	}
	for _, e := range endpoints {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", e.Address)
		if err != nil {
			return err
		}
		p.serving = append(p.serving, func(ctx context.Context) error { return httpserver.Serve(ctx, e.Options, l) })
	}
	return nil
}

// deliver until ctx ends, and stop.
func (p *program) deliver(ctx context.Context) error {
	if p.dispatcher == nil {
		return nil
	}
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainDeliveries)
	defer cancel()
	return p.dispatcher.Stop(drain)
}
