package lambdaagent

import (
	"context"
	"fmt"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

// indexPatience is how soon an agent is looked at again while the index of all agents
// is being filled, at the start of the program.
const indexPatience = 100 * time.Millisecond

// eventing is the phase's pass over one agent. Its troubles are those of the routes.
type eventing struct {
	*shared.Pass
	*v1alpha1.LambdaAgent
	index *routing.Index
	// keys sign the paths at the receiver.
	keys *keyring.Keyring
	// made is the broker.
	made *eventingv1.Broker
	// resolver says who may name an object as a destination.
	resolver sinks.Resolver
	// maker of the Triggers.
	maker resources.Maker
	// inspect the queue of a Trigger, and drains of those that are to be deleted.
	inspect inspector
	drains  *drains
	clock   clock.PassiveClock
	// ends are the Triggers of routes.
	ends map[end]*eventingv1.Trigger
	// routes are told in the status.
	routes []v1alpha1.RouteStatus
	// unsupported are the indexes of subscriptions that the broker cannot filter.
	unsupported []int
	// again is when the agent is to be looked at again; 0 is not.
	again time.Duration
}

// reconcileEventing makes the agent's broker, its dead letter queue, and the Triggers of
// its subscriptions and routes, and takes away what the spec asks for no more.
func (r *Reconciler) reconcileEventing(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	knative, active, had := r.kinds.Knative(), a.Spec.ActiveEventing(), hadBroker(&a.Status)
	switch {
	case active == nil:
		a.Status.Broker, a.Status.Routes, a.Status.CallsURL = nil, nil, nil
		a.Status.MarkEventingNotRequested()
		if knative == nil {
			return nil
		}
	case knative == nil:
		a.Status.Broker, a.Status.Routes, a.Status.CallsURL = nil, nil, nil
		a.Status.MarkBrokerFailed(v1alpha1.ReasonEventingNotInstalled, "The cluster has no Knative Eventing, which an agent's broker needs: install it, or set eventing.enabled to false.")
		a.Status.MarkRoutingPending(v1alpha1.ReasonBrokerNotReady, waitsForBroker)
		return nil
	case !r.indexed():
		r.enqueueAfter(a, indexPatience)
		return nil
	}
	e := &eventing{LambdaAgent: a, index: r.index, keys: r.Keys.Newest(), Pass: &shared.Pass{
		Owner: a, Labels: labels.Set{lambda.AgentLabelKey: resources.Labels(a)[lambda.AgentLabelKey]},
		Config: config.FromContextOrDefaults(ctx).Eventing, Knative: knative, Sources: r.kinds.Sources(), Rabbit: r.kinds.Rabbit(), Queues: r.queues,
	}, inspect: r.inspect, drains: &r.drains, clock: r.clock, resolver: r.resolver}
	if active == nil {
		return e.remove(ctx, had)
	}
	err := e.reconcile(ctx)
	if e.again > 0 {
		r.enqueueAfter(a, e.again)
	}
	return err
}

const waitsForBroker = "Subscriptions and routes wait for the broker."

func (e *eventing) reconcile(ctx context.Context) error {
	var troubles shared.Troubles
	if err := e.ensureBroker(ctx, &troubles); err != nil {
		return err // what was said stands
	}
	e.tellBroker(&troubles)
	if e.made == nil {
		e.Status.Routes = nil
		e.Status.MarkRoutingPending(v1alpha1.ReasonBrokerNotReady, waitsForBroker)
		return troubles.First.Err
	}
	if err := e.reconcileRouting(ctx); err != nil {
		return err // what was said stands
	}
	e.Status.Routes = bounded(e.routes)
	switch t := e.First; {
	case t == nil:
		e.markRoutes()
		e.markOwnEvents()
	case t.Failed:
		e.Status.MarkRoutingFailed(t.Reason, t.Message)
	default:
		e.Status.MarkRoutingPending(t.Reason, t.Message)
	}
	if e.First != nil {
		return e.First.Err
	}
	return nil
}

// hadBroker reports whether the agent has had a Broker, so that it may have a dead letter
// queue.
func hadBroker(s *v1alpha1.LambdaAgentStatus) bool {
	c := s.GetCondition(v1alpha1.AgentConditionBrokerReady)
	return s.Broker != nil || c != nil && c.Reason != v1alpha1.ReasonNotRequested && (!c.IsUnknown() || c.Reason != "")
}

// reconcileRouting makes the Triggers and tells of each subscription and route.
func (e *eventing) reconcileRouting(ctx context.Context) error {
	e.maker = resources.Maker{Agent: e.LambdaAgent, Class: sharedresources.ClassOf(e.made), Dead: e.deadLetters(ctx), Config: e.Config}
	existing, err := e.Triggers()
	if err != nil {
		return err
	}
	routes := e.index.Routes(types.NamespacedName{Namespace: e.Namespace, Name: e.Name})
	others := append(e.maker.ReceiverTriggers(e.Controls(config.FromContextOrDefaults(ctx).Events), e.keys), e.routeTriggers(routes)...)
	others = append(others, e.scheduleTriggers()...)
	calls, unresolved := e.callTriggers(ctx)
	others = append(others, calls...)
	current, err := e.subscribe(ctx, existing, others)
	if err != nil {
		return err
	}
	for _, name := range unresolved {
		current[name] = true
	}
	if err := e.route(ctx, routes, others, current); err != nil {
		return err
	}
	if err := e.removeTriggers(ctx, existing, current); err != nil {
		return err
	}
	return e.schedule(ctx, current)
}

// deadLetters is where those of the agent's Triggers go; nil is nowhere.
func (e *eventing) deadLetters(ctx context.Context) *sharedresources.Dead {
	wanted, explicit := resources.WantsDeadLetters(e.LambdaAgent, e.Config)
	queue := names.RabbitMQDeadLetterQueue(e)
	switch {
	case !wanted:
		e.RemoveDeadLetters(ctx, queue)
	case e.EnsureDeadLetters(ctx, explicit, queue, resources.DeadLetterBounds(e.LambdaAgent, e.Config)):
		return &sharedresources.Dead{Queue: queue, Sink: resources.DeadLetterSink(e.LambdaAgent, e.keys, e.Config)}
	}
	return nil
}

// remove takes away what eventing has made, and nothing else: the broker last, so that
// Triggers do not outlive it.
func (e *eventing) remove(ctx context.Context, had bool) error {
	if err := e.EnsureSchedules(ctx, nil); err != nil {
		return err
	}
	triggers, err := e.Triggers()
	if err != nil {
		return err
	}
	for _, t := range triggers {
		if err := e.TriggerSet().Delete(ctx, e.LambdaAgent, t.Name); err != nil {
			return err
		}
	}
	if queue := names.RabbitMQDeadLetterQueue(e); had || e.Queues.Known(queue) {
		e.RemoveDeadLetters(ctx, queue)
	}
	if err := e.BrokerSet().Delete(ctx, e.LambdaAgent, names.Broker(e)); err != nil {
		return err
	}
	if e.Rabbit == nil {
		return nil
	}
	return e.ConfigSet().Delete(ctx, e.LambdaAgent, names.BrokerConfig(e))
}

// tellBroker tells of the broker, or why there is none.
func (e *eventing) tellBroker(troubles *shared.Troubles) {
	e.Status.Broker, e.Status.CallsURL = nil, nil
	if b := e.made; b != nil {
		e.Status.CallsURL = resources.CallsURL(e.LambdaAgent, sharedresources.ClassOf(b))
		s := &v1alpha1.BrokerStatus{Name: b.Name, URL: resources.BrokerURL(e.LambdaAgent, sharedresources.ClassOf(b))}
		s.Ready = !troubles.Unready(v1alpha1.ReasonBrokerNotReady, fmt.Sprintf("Broker %q", b.Name), b.Generation, &b.Status.Status)
		e.Status.Broker = s
	}
	switch t := troubles.First; {
	case t == nil:
		e.Status.MarkBrokerReady()
	case t.Failed:
		e.Status.MarkBrokerFailed(t.Reason, t.Message)
	default:
		e.Status.MarkBrokerPending(t.Reason, t.Message)
	}
}

// ensureBroker makes the broker; where there can be none, troubles say why.
func (e *eventing) ensureBroker(ctx context.Context, troubles *shared.Troubles) error {
	class, err := brokerClass(e.Knative, e.LambdaAgent, e.Config)
	if err != nil {
		return err
	}
	if class == config.RabbitMQBrokerClass {
		if able, err := e.configureRabbitMQ(ctx, troubles); !able || err != nil {
			return err
		}
	} else if field := sharedresources.NotOnPlane(e.Namespace, e.Spec.Eventing.RabbitMQ, e.Config); field != "" {
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerDiffers, Failed: true,
			Message: fmt.Sprintf("eventing.rabbitmq.%s: Brokers of class %s are on the RabbitMQ of the installation, with the queue type of %s: remove it.", field, class, config.EventingConfigName)})
	}
	b, err := e.BrokerSet().Ensure(ctx, e.LambdaAgent, resources.MakeBroker(e.LambdaAgent, e.Config), nil)
	if err != nil {
		return troubles.Refused(err, v1alpha1.ReasonBrokerNotOwned, v1alpha1.ReasonBrokerRejected)
	}
	e.made = b
	return nil
}

// brokerClass of the agent's Broker, which never changes, or of the one to be made.
func brokerClass(knative *shared.Knative, a *v1alpha1.LambdaAgent, cfg *config.Eventing) (string, error) {
	if knative == nil {
		return cfg.BrokerClass, nil
	}
	b, err := knative.Brokers.Brokers(a.Namespace).Get(names.Broker(a))
	switch {
	case err == nil && metav1.IsControlledBy(b, a):
		return sharedresources.ClassOf(b), nil
	case err != nil && !apierrs.IsNotFound(err):
		return "", err
	}
	return cfg.BrokerClass, nil
}

// configureRabbitMQ makes the configuration of a Broker of class RabbitMQBroker, and tells
// whether there can be such a Broker.
func (e *eventing) configureRabbitMQ(ctx context.Context, troubles *shared.Troubles) (able bool, err error) {
	spec := e.Spec.Eventing.RabbitMQ
	switch {
	case e.Rabbit == nil:
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonRabbitMQNotInstalled, Failed: true,
			Message: fmt.Sprintf("The cluster has no Brokers of class %s, of which each agent has one: install eventing-rabbitmq, or set eventing.enabled to false.", config.RabbitMQBrokerClass)})
		return false, nil
	case !e.Config.HasRabbitMQ() && (spec == nil || (spec.ClusterName == "" && spec.ConnectionSecret == nil)):
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonRabbitMQNotConfigured, Failed: true,
			Message: fmt.Sprintf("There is no RabbitMQ for the agent's broker: name it in eventing.rabbitmq or, for the cluster, as rabbitmq-cluster in %s.", config.EventingConfigName)})
		return false, nil
	}
	wanted := resources.MakeBrokerConfig(e.LambdaAgent, e.Config)
	has, err := e.ConfigSet().Ensure(ctx, e.LambdaAgent, wanted, nil)
	if err != nil {
		return false, troubles.Refused(err, v1alpha1.ReasonBrokerNotOwned, v1alpha1.ReasonBrokerRejected)
	}
	if field := sharedresources.BrokerConfigDiffers(has, wanted, spec); field != "" {
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerDiffers, Failed: true,
			Message: fmt.Sprintf("eventing.rabbitmq.%s: the agent's broker has another one, which cannot be changed: take the change back, or turn eventing.enabled off and on again, which drops the events that are on their way.", field)})
	}
	return true, nil
}
