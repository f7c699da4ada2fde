package deadletter

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Kind of an owner.
type Kind = receiverv1.Kind

// The kinds of owners.
const (
	KindFunction = receiverv1.KindFunction
	KindAgent    = receiverv1.KindAgent
)

// Owner of a dead letter queue. A function and an agent of one name are two.
type Owner struct {
	Kind Kind
	types.NamespacedName
}

// Function of that name.
func Function(key types.NamespacedName) Owner { return Owner{KindFunction, key} }

// Agent of that name.
func Agent(key types.NamespacedName) Owner { return Owner{KindAgent, key} }

// Queue of the owner in RabbitMQ.
func (o Owner) Queue() string {
	if o.Kind == KindAgent {
		return events.AgentDeadLetterQueue(o.Namespace, o.Name)
	}
	return events.DeadLetterQueue(o.Namespace, o.Name)
}

// Functions tells of functions.
type Functions interface {
	Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error)
	// Triggers are the function's own, as they are now.
	Triggers(ctx context.Context, function *v1alpha1.LambdaFunction) ([]eventingv1.Trigger, error)
}

// Agents tells of agents.
type Agents interface {
	Get(key types.NamespacedName) (*v1alpha1.LambdaAgent, error)
	// Triggers are the agent's own, as they are now.
	Triggers(ctx context.Context, agent *v1alpha1.LambdaAgent) ([]eventingv1.Trigger, error)
}
