package lambdafunction

import (
	"context"
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
)

// callsURL accepts the function's asynchronous calls. It is known before the Broker is
// made, and nil where the Broker is of a class that reports no outcomes.
func (r *Reconciler) callsURL(p *pass) (*apis.URL, error) {
	active, knative := p.Spec.ActiveEventing(), r.kinds.Knative()
	if active == nil || knative == nil {
		return nil, nil
	}
	class := p.cfg.Eventing.BrokerClass
	b, err := knative.Brokers.Brokers(p.Namespace).Get(active.Broker)
	switch {
	case err == nil:
		class = sharedresources.ClassOf(b)
	case !apierrs.IsNotFound(err):
		return nil, err
	}
	return resources.CallsURL(p.LambdaFunction, class), nil
}

// outcomeTriggers deliver the outcomes of calls to where the spec says. unresolved are the
// names of those whose destination cannot be used now: they stay as they are.
func (e *eventing) outcomeTriggers(ctx context.Context, dead *sharedresources.Dead) (all []*eventingv1.Trigger, unresolved []string) {
	for _, o := range resources.Outcomes(e.LambdaFunction) {
		switch field := "eventing." + o.Field; {
		case e.Status.CallsURL == nil:
			e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonCallsNotSupported, Failed: true, Message: fmt.Sprintf(
				"%s: broker %q is not of class %s, and reports no outcomes of calls: name another broker in eventing.broker, or remove the field.",
				field, e.Spec.Eventing.Broker, lambda.BrokerClass)})
		case !e.Allowed(ctx, e.resolver, field, o.To):
			unresolved = append(unresolved, o.Name)
		default:
			all = append(all, resources.MakeOutcomeTrigger(e.LambdaFunction, o, dead, e.Config))
		}
	}
	return all, unresolved
}
