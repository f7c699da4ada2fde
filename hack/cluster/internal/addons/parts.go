// Package addons is what the local cluster runs on top of Kubernetes: images,
// Knative Serving and its ingress, and what can be switched on.
package addons

import (
	"context"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// Parts on top of Kubernetes, in the order in which they are prepared.
func Parts() []env.Part {
	return []env.Part{
		{Name: "images", Needs: []string{"registry"}, Up: upImages},
		{Name: "runtimes", Needs: []string{"registry"}, Up: upRuntimes},
		{Name: "ko", Prepare: built("ko", ko), Up: func(context.Context, *env.Env) error { return nil }},
		{Name: "serving", Needs: []string{"ko", "images", "node", "dns"}, Up: upServing},
		{Name: "kaniko", Prepare: built("kaniko", executor), Needs: []string{"images"}, Up: upKaniko},
		{Name: "traefik", Prepare: built("traefik", traefik), Needs: []string{"serving"}, Up: upTraefik},
		{Name: "minio", With: "minio", Prepare: built("minio", minio), Needs: []string{"network"}, Up: upMinIO},
		{Name: "rabbitmq", With: "eventing", Needs: []string{"network"}, Up: upRabbitMQ},
		{Name: "topology", With: "eventing", Prepare: built("topology-operator", topology), Needs: []string{"kubernetes", "rabbitmq"}, Up: upTopology},
		{Name: "eventing", With: "eventing", Needs: []string{"serving"}, Up: upEventing},
		{Name: "broker", With: "eventing", Needs: []string{"eventing", "topology"}, Up: upBroker},
	}
}

// built is what a part prepares: a program of a third-party module.
func built(module, program string) func(context.Context, *env.Env) error {
	return func(ctx context.Context, e *env.Env) error {
		_, err := e.Build(ctx, module, "", program)
		return err
	}
}
