package plane

import (
	"cmp"
	"context"
	"os"

	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// credentials of the installation's connection: a Secret in the operator's namespace,
// mounted into the controller. Its user may declare and delete queues. Outside a pod
// credentialsEnv names another folder.
const (
	credentials    = "/etc/rabbitmq"
	credentialsEnv = "RABBITMQ_CREDENTIALS"
)

func folder() string { return cmp.Or(os.Getenv(credentialsEnv), credentials) }

// Queues are the names of all queues in the installation's virtual host. The error is
// management.ErrNotConfigured if the Secret does not name the management API.
func Queues(ctx context.Context) ([]string, error) {
	client, virtualHost, err := management.Read(folder())
	if err != nil {
		return nil, err
	}
	return client.Queues(ctx, virtualHost)
}

// open the installation's connection. It is dialed when it is first used, and again
// when its Secret changes.
func open(ctx context.Context) queue.Topology {
	engine := amqp.New(amqp.Options{Credentials: folder(), Name: "knative-lambda-controller", TopologyOnly: true})
	context.AfterFunc(ctx, func() {
		if err := engine.Close(context.WithoutCancel(ctx)); err != nil {
			logging.FromContext(ctx).Infow("The connection to RabbitMQ was not closed in order", "error", err)
		}
	})
	return engine
}
