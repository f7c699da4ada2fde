package lambdaagent

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	sharedresources "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
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
	// letters is where those of its Triggers go; nil is nowhere.
	letters *duckv1.Destination
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
	knative, active := r.kinds.Knative(), a.Spec.ActiveEventing()
	switch {
	case active == nil:
		a.Status.Broker, a.Status.Routes = nil, nil
		a.Status.MarkEventingNotRequested()
		if knative == nil {
			return nil
		}
	case knative == nil:
		a.Status.Broker, a.Status.Routes = nil, nil
		a.Status.MarkBrokerFailed(v1alpha1.ReasonEventingNotInstalled, "The cluster has no Knative Eventing, which an agent's broker needs: install it, or set eventing.enabled to false.")
		a.Status.MarkRoutingPending(v1alpha1.ReasonBrokerNotReady, waitsForBroker)
		return nil
	case !r.indexed():
		r.enqueueAfter(a, indexPatience)
		return nil
	}
	e := &eventing{LambdaAgent: a, index: r.index, keys: r.Keys.Newest(), Pass: &shared.Pass{
		Owner: a, Labels: labels.Set{lambda.AgentLabelKey: resources.Labels(a)[lambda.AgentLabelKey]},
		Config: config.FromContextOrDefaults(ctx).Eventing, Clock: r.clock, Knative: knative, Rabbit: r.kinds.Rabbit(),
	}}
	if active == nil {
		return e.remove(ctx)
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

// reconcileRouting makes the Triggers and tells of each subscription and route.
func (e *eventing) reconcileRouting(ctx context.Context) error {
	wanted, explicit := resources.WantsDeadLetters(e.LambdaAgent, e.Config)
	kept, err := e.DeadLetters(ctx, wanted, explicit, resources.MakeDeadLetterQueue(e.LambdaAgent, e.Config), resources.MakeDeadLetterPolicy(e.LambdaAgent, e.Config))
	if err != nil {
		return err
	}
	if kept {
		e.letters = resources.DeadLetterSink(e.LambdaAgent, e.keys, e.Config)
	}
	current, err := e.subscribe(ctx)
	if err != nil {
		return err
	}
	routes, err := e.route(ctx)
	if err != nil {
		return err
	}
	current = append(current, routes...)
	for _, desired := range resources.MakeReceiverTriggers(e.LambdaAgent, e.Controls(config.FromContextOrDefaults(ctx).Events), e.letters, e.keys, e.Config) {
		t, _, err := e.ensure(ctx, desired)
		if err != nil {
			return err
		}
		if t != nil {
			current = append(current, t)
		}
	}
	return e.removeTriggers(ctx, current)
}

// remove takes away what eventing has made, and nothing else: the broker last, so that
// Triggers do not outlive it.
func (e *eventing) remove(ctx context.Context) error {
	triggers, err := e.Triggers()
	if err != nil {
		return err
	}
	for _, t := range triggers {
		if metav1.IsControlledBy(t, e.LambdaAgent) {
			if err := e.TriggerSet().Delete(ctx, e.LambdaAgent, t.Name); err != nil {
				return err
			}
		}
	}
	if err := e.Prune(ctx); err != nil {
		return err
	}
	if _, err := e.DeadLetters(ctx, false, false, resources.MakeDeadLetterQueue(e.LambdaAgent, e.Config), resources.MakeDeadLetterPolicy(e.LambdaAgent, e.Config)); err != nil {
		return err
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
	e.Status.Broker = nil
	if b := e.made; b != nil {
		s := &v1alpha1.BrokerStatus{Name: b.Name, URL: resources.BrokerURL(e.LambdaAgent)}
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
	spec := e.Spec.Eventing.RabbitMQ
	switch {
	case e.Rabbit == nil:
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonRabbitMQNotInstalled, Failed: true,
			Message: "The cluster has no RabbitMQ brokers, of which each agent has one: install them, or set eventing.enabled to false."})
		return nil
	case !e.Config.HasRabbitMQ() && (spec == nil || (spec.ClusterName == "" && spec.ConnectionSecret == nil)):
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonRabbitMQNotConfigured, Failed: true,
			Message: fmt.Sprintf("There is no RabbitMQ for the agent's broker: name it in eventing.rabbitmq or, for the cluster, as rabbitmq-cluster in %s.", config.EventingConfigName)})
		return nil
	}
	wanted := resources.MakeBrokerConfig(e.LambdaAgent, e.Config)
	has, err := e.ConfigSet().Ensure(ctx, e.LambdaAgent, wanted, nil)
	if err != nil {
		return troubles.Refused(err, v1alpha1.ReasonBrokerNotOwned, v1alpha1.ReasonBrokerRejected)
	}
	if field := sharedresources.BrokerConfigDiffers(has, wanted, spec); field != "" {
		troubles.Tell(&shared.Trouble{Reason: v1alpha1.ReasonBrokerDiffers, Failed: true,
			Message: fmt.Sprintf("eventing.rabbitmq.%s: the agent's broker has another one, which cannot be changed: take the change back, or turn eventing.enabled off and on again, which drops the events that are on their way.", field)})
	}
	b, err := e.BrokerSet().Ensure(ctx, e.LambdaAgent, resources.MakeBroker(e.LambdaAgent, e.Config), nil)
	if err != nil {
		return troubles.Refused(err, v1alpha1.ReasonBrokerNotOwned, v1alpha1.ReasonBrokerRejected)
	}
	e.made = b
	return nil
}
