// Package server puts the receiver together: what it listens on, reads and drains.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"knative.dev/eventing/pkg/auth"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	networkingclientset "knative.dev/networking/pkg/client/clientset/versioned"
	kubeclient "knative.dev/pkg/client/injection/kube/client"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/internal/httpserver"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	"github.com/brunovlucena/knative-lambda-operator/pkg/client/informers/externalversions"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/agents"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/api"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/command"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/outcome"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/rabbit"
)

// Options of the receiver.
type Options struct {
	// Namespace of the operator.
	Namespace string
	// RabbitMQ is the folder of the Secret with the connection.
	RabbitMQ string
	// Events is the address for events, API that for people, Metrics that for
	// Prometheus.
	Events, API, Metrics string
}

// resync of informers is off: what they say is only looked up.
const resync = 0

// Run serves until ctx ends, and drains.
func Run(ctx context.Context, cfg *rest.Config, o Options) error {
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	lambda, err := lambdaclientset.NewForConfig(cfg)
	if err != nil {
		return err
	}
	cache, err := watchLambda(ctx, lambda)
	if err != nil {
		return err
	}
	eventing, err := eventingclientset.NewForConfig(cfg)
	if err != nil {
		return err
	}
	objects, err := metadata.NewForConfig(cfg)
	if err != nil {
		return err
	}
	ingresses, err := networkingclientset.NewForConfig(cfg)
	if err != nil {
		return err
	}
	keys, err := keyring.Open(ctx, kube, o.Namespace, nil)
	if err != nil {
		return err
	}
	functions, known := cache.functions, agentCache{cache.agents, eventing}
	settings, err := watchConfig(ctx, kube, o.Namespace)
	if err != nil {
		return err
	}
	broker := rabbit.New(o.RabbitMQ)
	defer broker.Close() //nolint:errcheck // the process ends
	telemetry, metrics, err := newTelemetry(deadletter.NewDepths(broker, cache.owners, clock.RealClock{}).Observe)
	if err != nil {
		return err
	}
	client := egress.Client(egress.Deliveries, 0) // each call has a deadline of its own
	sender := deadletter.NewSender(client)
	sender.Tokens = auth.NewOIDCTokenProvider(context.WithValue(ctx, kubeclient.Key{}, kube))
	letters := &deadletter.Service{Store: broker, Functions: functionCache{functions, eventing}, Agents: known, Sender: sender, Keys: keys,
		Serving: deadletter.NewServing(objects, ingresses), Receiver: settings.receiver}
	reviewer := access.NewReviewer(kube)
	audits := newAudits(client, settings.newestEvents, functions, known)
	go audits.run(ctx)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle(deadletter.Path, deadletter.NewIngest(deadletter.Ingest{Store: broker, Keys: keys, Observe: telemetry.letter}))
	commands := command.NewHandler(command.Handler{
		Kube: kube, Clients: command.Impersonating(cfg), Access: reviewer, Letters: letters, Config: settings.newestEvents, Observe: telemetry.command,
		Deliver: func(ctx context.Context, url string, e *event.Event) error { return sink.Deliver(ctx, client, url, e) },
	})
	mux.Handle("/{$}", commands)
	mux.Handle("/commands", commands)
	forAgents := agents.NewHandler(agents.Handler{
		Keys: keys, Agents: cache.agents, Requests: cache.requests, Client: lambda.LambdaV1alpha1(), Clock: clock.RealClock{}, Config: settings.newestEvents, Audit: audits.changed, Observe: telemetry.agent,
	})
	forAgents.Register(mux)
	people := http.NewServeMux()
	people.Handle("/", api.New(letters, reviewer, audits.tell))
	outcomes, err := newOutcomes(ctx, broker, reviewer, audits)
	if err != nil {
		return err
	}
	outcomes.Register(people)
	approvals := &agents.API{Agents: cache.agents, Client: lambda.LambdaV1alpha1(), Clock: clock.RealClock{}, Access: reviewer, Audit: audits.decided}
	approvals.Register(people)
	slog.Info("serving", "events", o.Events, "api", o.API)
	return listenAndServe(ctx, o, mux, people, metrics)
}

// newOutcomes follows the stream of outcomes.
func newOutcomes(ctx context.Context, broker *rabbit.Broker, reviewer *access.Reviewer, audits *audits) (*outcome.API, error) {
	index := outcome.NewIndex(clock.RealClock{})
	reading, err := index.Follow(ctx, broker.Subscriber())
	if err != nil {
		return nil, err
	}
	return &outcome.API{Index: index, Access: reviewer, Audit: audits.tell, Reading: reading.Err}, nil
}

// listenAndServe answers at the addresses of o until ctx ends, and drains.
func listenAndServe(ctx context.Context, o Options, events, people, metrics http.Handler) error {
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	return httpserver.ListenAndServe(ctx,
		httpserver.Endpoint{Address: o.Events, Options: httpserver.Options{Name: "events", Handler: events, LameDuck: lameDuck}},
		httpserver.Endpoint{Address: o.API, Options: httpserver.Options{Name: "api", Handler: people, TLS: certificate, LameDuck: lameDuck}},
		httpserver.Endpoint{Address: o.Metrics, Options: httpserver.Options{Name: "metrics", Handler: metrics, LameDuck: lameDuck}},
	)
}

// lameDuck is how long new requests are still accepted at the end: others need a moment
// to learn that this replica stops.
const lameDuck = time.Second

// functions of all namespaces, from a cache.
type functions struct {
	listers.LambdaFunctionLister
}

func (f functions) Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error) {
	return f.LambdaFunctions(key.Namespace).Get(key.Name)
}

// caches of all namespaces.
type caches struct {
	functions functions
	agents    listers.LambdaAgentLister
	requests  listers.ApprovalRequestLister
}

func watchLambda(ctx context.Context, client lambdaclientset.Interface) (*caches, error) {
	factory := externalversions.NewSharedInformerFactoryWithOptions(client, resync, externalversions.WithTransform(slim))
	kinds := factory.Lambda().V1alpha1()
	c := &caches{functions{kinds.LambdaFunctions().Lister()}, kinds.LambdaAgents().Lister(), kinds.ApprovalRequests().Lister()}
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return nil, fmt.Errorf("the cache of %v was not filled", kind)
		}
	}
	return c, nil
}

// slim drops what is never looked up here: source code and prompts above all.
func slim(obj any) (any, error) {
	switch o := obj.(type) {
	case *v1alpha1.LambdaFunction:
		o.ManagedFields, o.Annotations = nil, nil
		o.Spec.Source = v1alpha1.FunctionSource{}
		o.Status.Build = nil
	case *v1alpha1.LambdaAgent:
		o.ManagedFields = nil
		o.Spec = v1alpha1.LambdaAgentSpec{OperationMode: o.Spec.OperationMode, Approval: o.Spec.Approval, Eventing: o.Spec.Eventing, Permissions: o.Spec.Permissions}
	case *v1alpha1.ApprovalRequest:
		o.ManagedFields = nil
	}
	return obj, nil
}
