//go:build rekt

package eventing

import (
	"os"
	"testing"

	filters "knative.dev/eventing/test/rekt/features/new_trigger_filters"
	"knative.dev/eventing/test/rekt/resources/broker"
	"knative.dev/pkg/system"
	_ "knative.dev/pkg/system/testing"
	"knative.dev/reconciler-test/pkg/environment"
	"knative.dev/reconciler-test/pkg/feature"
	"knative.dev/reconciler-test/pkg/k8s"
	"knative.dev/reconciler-test/pkg/knative"
)

var global environment.GlobalEnvironment

func TestMain(m *testing.M) {
	global = environment.NewStandardGlobalEnvironment()
	os.Exit(m.Run())
}

// TestFilters runs Knative's feature set of spec.filters against the Broker class of
// the environment variable BROKER_CLASS.
func TestFilters(t *testing.T) {
	t.Parallel()
	ctx, env := global.Environment(
		knative.WithKnativeNamespace(system.Namespace()), knative.WithLoggingConfig, knative.WithObservabilityConfig,
		k8s.WithEventListener, environment.Managed(t),
	)
	env.ParallelTestSet(ctx, t, filters.NewFiltersFeatureSet(func(name string) feature.StepFn {
		return broker.Install(name, broker.WithEnvConfig()...)
	}))
}
