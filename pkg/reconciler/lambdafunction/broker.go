package lambdafunction

import (
	"context"
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/tracker"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// reconcileBroker makes the namespace's broker where it is missing, or joins the
// functions that share it. Somebody else's broker is used as it is.
func (e *eventing) reconcileBroker(ctx context.Context) error {
	active, used := e.Spec.ActiveEventing(), ""
	if active != nil {
		used = active.Broker
		if err := e.useBroker(ctx, active); err != nil {
			return err
		}
	}
	return e.leaveBrokers(ctx, used)
}

func (e *eventing) useBroker(ctx context.Context, active *v1alpha1.FunctionEventing) error {
	existing, err := e.broker(active.Broker)
	class := e.Config.BrokerClass
	switch {
	case err == nil && !child.IsShared(existing):
		return nil // somebody else's
	case err == nil:
		class = sharedresources.ClassOf(existing) // which never changes
	case !apierrs.IsNotFound(err):
		return err
	}
	if class == config.RabbitMQBrokerClass {
		if able, err := e.configureRabbitMQ(ctx, active); !able || err != nil {
			return err
		}
	} else if field := sharedresources.NotOnPlane(e.Namespace, active.RabbitMQ, e.Config); field != "" {
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerDiffers, Failed: true,
			Message: fmt.Sprintf("eventing.rabbitmq.%s: Brokers of class %s are on the RabbitMQ of the installation, with the queue type of %s: remove it.", field, class, config.EventingConfigName)})
	}
	joined, err := e.BrokerSet().Join(ctx, e.LambdaFunction, resources.MakeBroker(e.Namespace, active.Broker, e.Config))
	if err != nil {
		return e.Refused(err, v1alpha1.ReasonBrokerRejected, v1alpha1.ReasonBrokerRejected)
	}
	e.made = joined
	return nil
}

// configureRabbitMQ makes the configuration of a Broker of class RabbitMQBroker, and tells
// whether there can be such a Broker.
func (e *eventing) configureRabbitMQ(ctx context.Context, active *v1alpha1.FunctionEventing) (able bool, err error) {
	switch {
	case e.Rabbit == nil:
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonRabbitMQNotInstalled, Failed: true,
			Message: fmt.Sprintf("Broker %q cannot be made: the cluster has no Brokers of class %s. Install eventing-rabbitmq, or name an existing Broker in eventing.broker.", active.Broker, config.RabbitMQBrokerClass)})
		return false, nil
	case !e.Config.HasRabbitMQ() && (active.RabbitMQ == nil || (active.RabbitMQ.ClusterName == "" && active.RabbitMQ.ConnectionSecret == nil)):
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonRabbitMQNotConfigured, Failed: true,
			Message: fmt.Sprintf("There is no broker %q, and no RabbitMQ to make one on: name it in eventing.rabbitmq or, for the cluster, as rabbitmq-cluster in %s.", active.Broker, config.EventingConfigName)})
		return false, nil
	}
	wanted := resources.MakeBrokerConfig(e.Namespace, active.Broker, active.RabbitMQ, e.Config)
	has, err := e.ConfigSet().Join(ctx, e.LambdaFunction, wanted)
	if err != nil {
		return false, e.Refused(err, v1alpha1.ReasonBrokerRejected, v1alpha1.ReasonBrokerRejected)
	}
	if field := sharedresources.BrokerConfigDiffers(has, wanted, active.RabbitMQ); field != "" {
		e.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerDiffers, Failed: true,
			Message: fmt.Sprintf("eventing.rabbitmq.%s: broker %q, which functions of this namespace share, has another one, which cannot be changed: leave it out, or name another broker in eventing.broker.", field, active.Broker)})
	}
	return true, nil
}

// leaveBrokers leaves the brokers that the function no longer uses: the last one
// takes a broker with it.
func (e *eventing) leaveBrokers(ctx context.Context, used string) error {
	selector := labels.SelectorFromSet(labels.Set{lambda.ManagedByLabelKey: lambda.ManagedBy})
	brokers, err := e.Knative.Brokers.Brokers(e.Namespace).List(selector)
	if err != nil {
		return err
	}
	for _, b := range brokers {
		if b.Name == used {
			continue
		}
		if err := e.BrokerSet().Leave(ctx, e.LambdaFunction, b); err != nil {
			return err
		}
	}
	if e.Rabbit == nil {
		return nil
	}
	configs, err := e.Rabbit.Configs.RabbitmqBrokerConfigs(e.Namespace).List(selector)
	if err != nil {
		return err
	}
	for _, c := range configs {
		if used != "" && c.Name == names.BrokerConfig(used) {
			continue
		}
		if err := e.ConfigSet().Leave(ctx, e.LambdaFunction, c); err != nil {
			return err
		}
	}
	return nil
}

// broker is the one of that name; the function hears of its changes.
func (e *eventing) broker(name string) (*eventingv1.Broker, error) {
	if e.made != nil && e.made.Name == name {
		return e.made, nil
	}
	ref := tracker.Reference{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Broker", Namespace: e.Namespace, Name: name}
	if err := e.tracker.TrackReference(ref, e.LambdaFunction); err != nil {
		return nil, fmt.Errorf("failed to track broker %q: %w", name, err)
	}
	return e.Knative.Brokers.Brokers(e.Namespace).Get(name)
}

// brokerStatus records a broker and reports whether it works.
func (e *eventing) brokerStatus(b *eventingv1.Broker) {
	for i := range e.Status.Brokers {
		if e.Status.Brokers[i].Name == b.Name {
			return
		}
	}
	s := v1alpha1.BrokerStatus{Name: b.Name}
	if b.Status.Address != nil {
		s.URL = b.Status.Address.URL
	}
	s.Ready = !e.Unready(v1alpha1.ReasonBrokerNotReady, fmt.Sprintf("Broker %q", b.Name), b.Generation, &b.Status.Status)
	e.Status.Brokers = append(e.Status.Brokers, s)
}
