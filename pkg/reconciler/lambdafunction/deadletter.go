package lambdafunction

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// reconcileDeadLetters makes the function's dead letter queue and returns where
// brokers send what is for it; nil where there is none.
func (e *eventing) reconcileDeadLetters(ctx context.Context) (*duckv1.Destination, error) {
	wanted, explicit := resources.WantsDeadLetters(e.LambdaFunction, e.cfg.Eventing)
	switch {
	case !wanted:
		return nil, e.removeDeadLetters(ctx)
	case e.rabbit == nil:
		if explicit {
			e.tell(&trouble{reason: v1alpha1.ReasonRabbitMQNotInstalled, failed: true,
				message: "The cluster has no RabbitMQ topology operator, which a dead letter queue needs: install it, or set eventing.dlq.enabled to false."})
		}
		return nil, nil
	case !e.cfg.Eventing.HasRabbitMQ():
		if explicit {
			e.tell(&trouble{reason: v1alpha1.ReasonRabbitMQNotConfigured, failed: true,
				message: "There is no RabbitMQ for a dead letter queue: name it as rabbitmq-cluster in " + config.EventingConfigName + ", or set eventing.dlq.enabled to false."})
		}
		return nil, nil
	}
	queue, err := e.queueSet().Ensure(ctx, e.LambdaFunction, resources.MakeDeadLetterQueue(e.LambdaFunction, e.cfg.Eventing), nil)
	if err != nil {
		return nil, e.refused(err, v1alpha1.ReasonDeadLetterQueueNotOwned, v1alpha1.ReasonDeadLetterQueueRejected)
	}
	policy, err := e.policySet().Ensure(ctx, e.LambdaFunction, resources.MakeDeadLetterPolicy(e.LambdaFunction, e.cfg.Eventing), resources.MutateDeadLetterPolicy)
	if err != nil {
		return nil, e.refused(err, v1alpha1.ReasonDeadLetterQueueNotOwned, v1alpha1.ReasonDeadLetterQueueRejected)
	}
	e.topologyStatus("Queue", queue.Name, queue.Generation, queue.Status.ObservedGeneration, queue.Status.Conditions)
	e.topologyStatus("Policy", policy.Name, policy.Generation, policy.Status.ObservedGeneration, policy.Status.Conditions)
	return resources.DeadLetterSink(e.LambdaFunction, e.cfg.Eventing), nil
}

func (e *eventing) removeDeadLetters(ctx context.Context) error {
	if e.rabbit == nil {
		return nil
	}
	name := names.DeadLetterQueue(e)
	if err := e.policySet().Delete(ctx, e.LambdaFunction, name); err != nil {
		return err
	}
	return e.queueSet().Delete(ctx, e.LambdaFunction, name)
}

func (e *eventing) queueSet() child.Set[*topologyv1beta1.Queue] {
	return child.Set[*topologyv1beta1.Queue]{Kind: "Queue", Lister: e.rabbit.queues.Queues(e.Namespace), Client: e.rabbit.topology.RabbitmqV1beta1().Queues(e.Namespace)}
}

func (e *eventing) policySet() child.Set[*topologyv1beta1.Policy] {
	return child.Set[*topologyv1beta1.Policy]{Kind: "Policy", Lister: e.rabbit.policies.Policies(e.Namespace), Client: e.rabbit.topology.RabbitmqV1beta1().Policies(e.Namespace)}
}

// topologyStatus tells what RabbitMQ's topology operator says of an object. What
// it observes is the last generation that it could bring about.
func (e *eventing) topologyStatus(kind, name string, generation, observed int64, conditions []topologyv1beta1.Condition) {
	for _, c := range conditions {
		switch {
		case c.Type != "Ready":
		case c.Status == corev1.ConditionTrue && observed == generation:
			return
		case c.Status == corev1.ConditionFalse:
			e.tell(&trouble{reason: v1alpha1.ReasonDeadLetterQueueNotReady, failed: true, message: fmt.Sprintf("%s %q is not ready: %s: %s", kind, name, c.Reason, c.Message)})
			return
		}
	}
	e.tell(&trouble{reason: v1alpha1.ReasonDeadLetterQueueNotReady, message: fmt.Sprintf("%s %q is not reconciled yet.", kind, name)})
}
