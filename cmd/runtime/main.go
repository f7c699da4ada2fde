// Command runtime is PID 1 of a function's container: the HTTP and CloudEvents
// front of the worker processes that call the handler.
package main

import (
	"os"
	"runtime/debug"

	"github.com/brunovlucena/knative-lambda-operator/internal/front"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// The heap is so small that the default would collect it many times a
		// second under load.
		debug.SetGCPercent(400)
	}
	runtime.Main(func(_ *runtime.Config, telemetry *runtime.Telemetry) (runtime.Invoker, error) {
		cfg, err := runtime.PoolConfigFromEnv(os.Getenv)
		if err != nil {
			return nil, err
		}
		if cfg.Protocol == runtime.ProtocolFrames {
			return runtime.NewPool(cfg, telemetry, os.Stdout, os.Stderr), nil
		}
		return front.New(cfg, telemetry, os.Stdout, os.Stderr), nil
	})
}
