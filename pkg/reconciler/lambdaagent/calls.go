package lambdaagent

import (
	"context"
	"fmt"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
)

// callTriggers deliver asynchronous calls to the agent, and their outcomes to where the
// spec says. unresolved are the names of those whose destination cannot be used now: they
// stay as they are.
func (e *eventing) callTriggers(ctx context.Context) (all []*eventingv1.Trigger, unresolved []string) {
	callable := e.maker.Class == lambda.BrokerClass
	if callable {
		all = append(all, e.maker.Calls())
	}
	for _, o := range e.maker.Outcomes() {
		field := "eventing." + o.Field
		if !callable {
			e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonCallsNotSupported, Failed: true, Message: fmt.Sprintf(
				"%s: the agent's broker is not of class %s, and reports no outcomes of calls: remove the field.", field, lambda.BrokerClass)})
			continue
		}
		if !e.Allowed(ctx, e.resolver, field, o.To) {
			unresolved = append(unresolved, o.Name)
			continue
		}
		all = append(all, e.maker.OutcomeTrigger(o))
	}
	return all, unresolved
}
