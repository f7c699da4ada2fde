package plane

import (
	"cmp"
	"context"
	"os"

	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// credentials of the installation's connection: a Secret in the operator's namespace,
// mounted into the controller. Its user may declare and delete queues. Outside a pod
// credentialsEnv names another folder.
const (
	credentials    = "/etc/rabbitmq"
	credentialsEnv = "RABBITMQ_CREDENTIALS"
)

// open the installation's connection. It is dialed when it is first used, and again
// when its Secret changes.
func open(ctx context.Context) queue.Topology {
	engine := amqp.New(amqp.Options{Credentials: cmp.Or(os.Getenv(credentialsEnv), credentials), Name: "knative-lambda-controller", TopologyOnly: true})
	context.AfterFunc(ctx, func() {
		if err := engine.Close(context.WithoutCancel(ctx)); err != nil {
			logging.FromContext(ctx).Infow("The connection to RabbitMQ was not closed in order", "error", err)
		}
	})
	return engine
}
