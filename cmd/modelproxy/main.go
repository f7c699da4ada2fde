// Command modelproxy is the sidecar of an agent that talks to its model's provider.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/brunovlucena/knative-lambda-operator/pkg/modelproxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := modelproxy.Run(ctx, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		// Where Kubernetes shows it in the pod's status; elsewhere there is no such file.
		if f, openErr := os.OpenFile("/dev/termination-log", os.O_WRONLY|os.O_TRUNC, 0); openErr == nil {
			fmt.Fprintln(f, err)
			_ = f.Close()
		}
		os.Exit(1)
	}
}
