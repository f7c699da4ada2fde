// Command broker is the event plane: it accepts events for Brokers of class LambdaBroker,
// and delivers them to the subscribers of Triggers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/ingress"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/server"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	options, err := parse(args, system.Namespace())
	if err != nil {
		return err
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 50, 100
	clients := server.Clients{Config: cfg}
	if clients.Kube, err = kubernetes.NewForConfig(cfg); err != nil {
		return err
	}
	if clients.Eventing, err = eventingclientset.NewForConfig(cfg); err != nil {
		return err
	}
	if clients.Metadata, err = metadata.NewForConfig(cfg); err != nil {
		return err
	}
	if clients.Lambda, err = lambdaclientset.NewForConfig(cfg); err != nil {
		return err
	}
	engine := amqp.New(amqp.Options{
		Credentials: options.Credentials, Name: "knative-lambda-broker " + options.Replica, Logger: slog.Default(),
	})
	options.Connect = server.ConnectRabbitMQ(options.Replica, options.MaxBody)
	return server.Run(ctx, clients, engine, options)
}

// parse the flags of the program in a namespace.
func parse(args []string, namespace string) (server.Options, error) {
	o := server.Options{
		Namespace: namespace, EventingNamespace: "knative-eventing", Events: ":8080", EventsTLS: ":8443", Certificate: "/etc/broker-tls",
		Replica: os.Getenv("POD_NAME"), Credentials: "/etc/rabbitmq", Control: ":8083", Metrics: ":9090", Profiling: ":8008",
	}
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.BoolVar(&o.Ingress, "ingress", true, "accept events for Brokers")
	dispatcher := flags.Bool("dispatcher", true, "deliver events to subscribers")
	flags.Int64Var(&o.MaxBody, "max-body-bytes", ingress.DefaultMaxBody, "largest body of a request, in bytes")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !o.Ingress && !*dispatcher:
		return o, errors.New("--ingress=false and --dispatcher=false leave nothing to do; set one of them")
	case o.MaxBody < 1:
		return o, fmt.Errorf("--max-body-bytes is %d; it has to be 1 or more", o.MaxBody)
	}
	if *dispatcher {
		o.NewDispatcher = server.NewDispatcher
	}
	return o, nil
}
