// Command rabbitmq-setup prepares RabbitMQ for the event plane and ends. It reads an
// administrator from the files of a Secret: host, username, password; port and ca.crt
// where they are there.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/setup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o setup.Options
	flags := flag.NewFlagSet("rabbitmq-setup", flag.ContinueOnError)
	dir := flags.String("administrator", "/etc/rabbitmq", "folder with the Secret of an administrator of RabbitMQ")
	api := flags.String("management-url", "", "URL of RabbitMQ's management API (default the Secret's host, port 15672, or 15671 with ca.crt)")
	flags.StringVar(&o.VirtualHost, "virtual-host", "knative-lambda", "virtual host of this installation")
	flags.Int64Var(&o.MaxLength, "max-length", 100_000, "events that the queue of one Trigger keeps")
	flags.Int64Var(&o.MaxLengthBytes, "max-length-bytes", 1<<30, "bytes that the queue of one Trigger keeps")
	flags.BoolVar(&o.Rotate, "rotate", false, "make new users; run again without it, when all pods have the new Secrets, to delete the old ones")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := administrator(&o, *dir, *api); err != nil {
		return err
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	o.Namespace = system.Namespace()
	if o.Kube, err = kubernetes.NewForConfig(cfg); err != nil {
		return err
	}
	return setup.Run(ctx, o)
}

// administrator of the folder.
func administrator(o *setup.Options, dir, api string) error {
	values, err := secret.Read(dir, secret.Host, secret.Port, secret.Username, secret.Password, secret.CA)
	if err != nil {
		return err
	}
	for _, key := range []string{secret.Host, secret.Username, secret.Password} {
		if values[key] == "" {
			return fmt.Errorf("%s: missing: expected the Secret of an administrator with host, username and password", filepath.Join(dir, key))
		}
	}
	o.Host, o.Port, o.CA = values[secret.Host], values[secret.Port], []byte(values[secret.CA])
	scheme, port, amqpPort := "http", "15672", "5672"
	if len(o.CA) > 0 {
		scheme, port, amqpPort = "https", "15671", "5671"
	}
	if o.Port == "" {
		o.Port = amqpPort
	}
	if api == "" {
		api = scheme + "://" + net.JoinHostPort(o.Host, port)
	}
	o.Management, err = management.New(api, values[secret.Username], values[secret.Password], values[secret.CA])
	return err
}
