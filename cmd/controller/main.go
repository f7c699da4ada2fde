// Command controller runs the reconcilers of functions and agents, and of the Brokers
// and Triggers of the event plane.
package main

import (
	filteredinformerfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/signals"
	servinginformerfactory "knative.dev/serving/pkg/client/injection/informers/factory/filtered"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/broker"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lifecycle"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/trigger"
)

func main() {
	ctx := filteredinformerfactory.WithSelectors(signals.NewContext(), lambda.Selector)
	ctx = servinginformerfactory.WithSelectors(ctx, lambda.Selector)
	sharedmain.MainWithContext(ctx, "controller",
		lambdafunction.NewController,
		lambdaagent.NewController,
		lifecycle.NewFunctionController,
		lifecycle.NewAgentController,
		approval.NewController,
		broker.NewController,
		trigger.NewController,
	)
}
