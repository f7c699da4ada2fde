// Command receiver takes what brokers could not deliver, and commands.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/rest"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/server"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 50, 100
	return server.Run(ctx, cfg, server.Options{Namespace: system.Namespace(), RabbitMQ: "/etc/rabbitmq", Events: ":8080", API: ":8443", Metrics: ":9090"})
}
