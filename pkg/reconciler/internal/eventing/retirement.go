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
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
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

// Prune removes the owner's bindings of which nothing speaks any more, and its policies
// for Triggers that are not to go, or that have gone.
func (p *Pass) Prune(ctx context.Context) error {
	if p.Rabbit == nil {
		return nil
	}
	ns, ours := p.Owner.GetNamespace(), labels.SelectorFromSet(p.Labels)
	policies, err := p.Rabbit.Policies.Policies(ns).List(ours)
	if err != nil {
		return err
	}
	policies = slices.DeleteFunc(policies, func(policy *topologyv1beta1.Policy) bool {
		_, retires := policy.Annotations[lambda.RetiredAnnotationKey]
		return !retires
	})
	if err := prune(ctx, p.policySet(), p.Owner, policies, p.retired); err != nil {
		return err
	}
	bindings, err := p.Rabbit.Bindings.Bindings(ns).List(ours)
	if err != nil {
		return err
	}
	return prune(ctx, p.bindingSet(), p.Owner, bindings, p.bound)
}

func prune[T child.Object[T]](ctx context.Context, set child.Set[T], owner Owner, all []T, keep map[string]bool) error {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(a.GetName(), b.GetName()) })
	for _, o := range all {
		if keep[o.GetName()] {
			continue
		}
		if err := set.Delete(ctx, owner, o.GetName()); err != nil {
			return err
		}
	}
	return nil
}
