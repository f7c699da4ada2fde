package lambdafunction

import (
	"context"
	"testing"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// onRabbitMQ is a row of an installation that runs eventing-rabbitmq.
func onRabbitMQ(change ...func(*rowSettings)) context.Context {
	return in(absent, append([]func(*rowSettings){func(s *rowSettings) { s.config.Eventing.BrokerClass = config.RabbitMQBrokerClass }}, change...)...)
}

func rabbitMQBroker(b *eventingv1.Broker) {
	b.Annotations[eventingv1.BrokerClassAnnotationKey] = config.RabbitMQBrokerClass
}

// TestRabbitMQBroker: with that class the objects are plain ones of eventing-rabbitmq, and
// its dead letters go to the receiver.
func TestRabbitMQBroker(t *testing.T) {
	f := upAnd(enabled)
	cfg := testConfig().Eventing
	cfg.BrokerClass = config.RabbitMQBrokerClass
	brokerConfig := resources.MakeBrokerConfig(namespace, "default", nil, cfg)
	brokerConfig.OwnerReferences = append(brokerConfig.OwnerReferences, child.SharedRef(f))
	made := resources.MakeBroker(namespace, "default", cfg)
	made.OwnerReferences = append(made.OwnerReferences, child.SharedRef(f))
	has := func() *eventingv1.Broker {
		b := made.DeepCopy()
		b.Generation, b.Status = 1, broker("default").Status
		return b
	}
	plain := newTriggers(f, config.RabbitMQBrokerClass)[0]
	sink := apis.HTTP("receiver.test")
	works := plain.DeepCopy()
	works.Generation, works.Status.Status, works.Status.DeadLetterSinkURI = 1, *readyStatus.DeepCopy(), sink
	flows := func(f *v1alpha1.LambdaFunction) {
		flowing("default")(f)
		f.Status.DeadLetterSinkURI = sink
		uncallable(f)
	}
	if sink := plain.Spec.Delivery.DeadLetterSink; sink == nil || sink.Ref.Name != "knative-lambda-receiver" || sink.URI.RawQuery != "" {
		t.Errorf("dead letters go to %+v, want the receiver's signed path", sink)
	}
	if plain.Spec.Subscriber.URI != nil || plain.Spec.Filters != nil || plain.Spec.Filter.Attributes["type"] != "io.knative.lambda.invoke.async" {
		t.Errorf("%+v is not a plain Trigger with exact attributes", plain.Spec)
	}
	prefixes := func(f *v1alpha1.LambdaFunction) {
		triggered("order")(f)
		f.Spec.Triggers[0].Filters = []v1alpha1.EventFilter{{SubscriptionsAPIFilter: eventingv1.SubscriptionsAPIFilter{Prefix: map[string]string{"subject": "eu"}}}}
	}
	noCluster := func(s *rowSettings) { s.config.Eventing.RabbitMQCluster.Name = "" }
	ltesting.Table{{
		Name: "makes all of it", Key: theKey, Ctx: onRabbitMQ(),
		Objects:     ltesting.Objects(upAnd(enabled), upService()),
		WantCreates: ltesting.Objects(made, plain, brokerConfig),
		WantStatusUpdates: status(upAnd(enabled, func(f *v1alpha1.LambdaFunction) {
			f.Status.Brokers = []v1alpha1.BrokerStatus{{Name: "default"}}
		}, pends(v1alpha1.ReasonBrokerNotReady, `Broker "default" is not reconciled yet.`), uncallable)),
		WantEvents: created("RabbitmqBrokerConfig", "default-lambda", "Broker", "default", "Trigger", plain.Name),
	}, {
		Name: "steady", Key: theKey, Ctx: onRabbitMQ(),
		Objects: ltesting.Objects(upAnd(enabled, flows), upService(), has(), brokerConfig, works),
	}, {
		Name: "the Broker keeps its class when that of the configuration changes", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(enabled, flows), upService(), has(), brokerConfig, works),
	}, {
		Name: "without the kinds", Key: theKey, Ctx: onRabbitMQ(func(s *rowSettings) { s.noRabbitMQ = true }),
		Objects: ltesting.Objects(upAnd(enabled), upService()),
		WantStatusUpdates: status(upAnd(enabled, stuck(v1alpha1.ReasonRabbitMQNotInstalled,
			`Broker "default" cannot be made: the cluster has no Brokers of class RabbitMQBroker. Install eventing-rabbitmq, or name an existing Broker in eventing.broker.`), uncallable)),
	}, {
		Name: "without a RabbitMQ in the configuration", Key: theKey, Ctx: onRabbitMQ(noCluster),
		Objects: ltesting.Objects(upAnd(enabled), upService()),
		WantStatusUpdates: status(upAnd(enabled, stuck(v1alpha1.ReasonRabbitMQNotConfigured,
			`There is no broker "default", and no RabbitMQ to make one on: name it in eventing.rabbitmq or, for the cluster, as rabbitmq-cluster in config-eventing.`), uncallable)),
	}, {
		Name: "says which filter the class does not evaluate", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(upAnd(prefixes), upService(), broker("shop", rabbitMQBroker)),
		WantStatusUpdates: status(upAnd(prefixes, flowing("shop"), stuck(v1alpha1.ReasonFilterNotSupported,
			`triggers[0].filters: broker "shop" is of class RabbitMQBroker, which evaluates exact attributes only: use filter or exact, or a Broker of another class.`))),
	}}.Test(t, newReconciler)
}
