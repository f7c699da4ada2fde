package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"knative.dev/pkg/configmap/informer"

	corev1 "k8s.io/api/core/v1"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	"github.com/brunovlucena/knative-lambda-operator/pkg/client/informers/externalversions"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/api"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/command"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
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
	functions, err := watchFunctions(ctx, cfg)
	if err != nil {
		return err
	}
	settings, err := watchConfig(ctx, kube, o.Namespace)
	if err != nil {
		return err
	}
	telemetry, metrics, err := newTelemetry()
	if err != nil {
		return err
	}
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	broker := rabbit.New(o.RabbitMQ)
	defer broker.Close() //nolint:errcheck // the process ends
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute}}
	letters := &deadletter.Service{Store: broker, Functions: functions, Sender: deadletter.Sender{Client: client}}
	reviewer := access.NewReviewer(kube)
	audits := newAudits(client, settings, functions)
	go audits.run(ctx)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle(deadletter.Path, deadletter.NewIngest(broker, functions, telemetry.letter))
	commands := &command.Handler{
		Kube: kube, Clients: command.Impersonating(cfg), Access: reviewer, Letters: letters, Config: settings, Observe: telemetry.command,
		Deliver: func(ctx context.Context, url string, e *event.Event) error { return sink.Deliver(ctx, client, url, e) },
	}
	mux.Handle("/{$}", commands)
	mux.Handle("/commands", commands)
	slog.Info("serving", "events", o.Events, "api", o.API)
	return serve(ctx,
		endpoint{o.Events, mux, nil},
		endpoint{o.API, api.New(letters, reviewer, audits.tell), certificate},
		endpoint{o.Metrics, metrics, nil},
	)
}

// functions of all namespaces, from a cache.
type functions struct {
	listers.LambdaFunctionLister
}

func (f functions) Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error) {
	return f.LambdaFunctions(key.Namespace).Get(key.Name)
}

func watchFunctions(ctx context.Context, cfg *rest.Config) (functions, error) {
	client, err := lambdaclientset.NewForConfig(cfg)
	if err != nil {
		return functions{}, err
	}
	factory := externalversions.NewSharedInformerFactoryWithOptions(client, resync, externalversions.WithTransform(slim))
	lister := factory.Lambda().V1alpha1().LambdaFunctions()
	lister.Informer() // so that it is started
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return functions{}, fmt.Errorf("the cache of %v was not filled", kind)
		}
	}
	return functions{lister.Lister()}, nil
}

// slim drops what is never looked up here: source code above all.
func slim(obj any) (any, error) {
	if f, ok := obj.(*v1alpha1.LambdaFunction); ok {
		f.ManagedFields, f.Annotations = nil, nil
		f.Spec.Source = v1alpha1.FunctionSource{}
		f.Status.Build = nil
	}
	return obj, nil
}

// watchConfig returns what config-events says now.
func watchConfig(ctx context.Context, kube kubernetes.Interface, namespace string) (func() *config.Events, error) {
	var newest atomic.Pointer[config.Events]
	newest.Store(&config.Events{})
	watcher := informer.NewInformedWatcher(kube, namespace)
	watcher.Watch(config.EventsConfigName, func(cm *corev1.ConfigMap) {
		parsed, err := config.NewEventsFromConfigMap(cm)
		if err != nil {
			slog.Error("what was in force stays so", "configmap", cm.Name, "error", err)
			return
		}
		newest.Store(parsed)
	})
	return newest.Load, watcher.Start(ctx.Done())
}
