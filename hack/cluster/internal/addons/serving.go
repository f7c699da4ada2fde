package addons

import (
	"context"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

func upServing(ctx context.Context, e *env.Env) error {
	manifests, err := read(ctx, e, "serving", files{"knative.dev/networking", []string{"config"}},
		files{"knative.dev/caching", []string{"config"}}, files{"knative.dev/serving", []string{"config/core"}})
	if err != nil {
		return err
	}
	if err := install(ctx, e, "serving", manifests); err != nil {
		return err
	}
	if err := e.PatchConfig(ctx, "serving", "knative-serving", map[string]map[string]string{
		"config-network":    {"ingress-class": "traefik.ingress.networking.knative.dev"},
		"config-domain":     {"localhost": ""},
		"config-deployment": {"registries-skipping-tag-resolving": "kind.local,ko.local,dev.local," + env.Registry, "queue-sidecar-cpu-request": "5m", "queue-sidecar-memory-request": "20Mi"},
		"config-autoscaler": {"allow-zero-initial-scale": "true"},
	}); err != nil {
		return err
	}
	return e.Available(ctx, "knative-serving", "activator", "autoscaler", "controller", "webhook")
}
