package eventing

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
)

// Retire lets RabbitMQ itself make dead letters of what waits in a Trigger's queue, by a
// policy. The Trigger stays as it is: a change of its subscriber ends the dispatcher,
// which can lose what it has in hand then. able tells whether RabbitMQ can, which it does
// where the dead letter queues are; since is from when it has, zero until then.
func (p *Pass) Retire(ctx context.Context, b *eventingv1.Broker, t *eventingv1.Trigger, desired *topologyv1beta1.Policy) (since time.Time, able bool, err error) {
	if resources.BoundBy(t) == "" {
		return since, false, nil
	}
	if on, err := p.onPlatform(b); !on || err != nil {
		return since, false, err
	}
	policy, err := p.policySet().Ensure(ctx, p.Owner, desired, nil)
	if err != nil {
		return since, false, p.Refused(err, v1alpha1.ReasonDeadLetterQueueNotOwned, v1alpha1.ReasonDeadLetterQueueRejected)
	}
	for _, c := range policy.Status.Conditions {
		switch {
		case c.Type != "Ready" || policy.Status.ObservedGeneration != policy.Generation:
		case c.Status == corev1.ConditionTrue:
			since = c.LastTransitionTime.Time
		case c.Status == corev1.ConditionFalse:
			p.topologyStatus("Policy", policy.Name, policy.Generation, policy.Status.ObservedGeneration, policy.Status.Conditions)
		}
	}
	return since, true, nil
}

// RemoveRetirements removes the owner's policies for Triggers that are not to go, or
// that have gone.
func (p *Pass) RemoveRetirements(ctx context.Context) error {
	if p.Rabbit == nil {
		return nil
	}
	all, err := p.Rabbit.Policies.Policies(p.Owner.GetNamespace()).List(labels.SelectorFromSet(p.Labels))
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b *topologyv1beta1.Policy) int { return strings.Compare(a.Name, b.Name) })
	for _, policy := range all {
		if _, retires := policy.Annotations[lambda.RetiredAnnotationKey]; !retires || p.retired[policy.Name] {
			continue
		}
		if err := p.policySet().Delete(ctx, p.Owner, policy.Name); err != nil {
			return err
		}
	}
	return nil
}
