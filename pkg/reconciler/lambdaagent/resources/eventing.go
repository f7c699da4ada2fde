package resources

import (
	"encoding/json"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// BrokerURL is where the agent sends its events. It is known before there is a broker,
// so that no revision has to wait for one.
func BrokerURL(a *v1alpha1.LambdaAgent) *apis.URL {
	return v1alpha1.AgentBrokerURL(types.NamespacedName{Namespace: a.Namespace, Name: a.Name})
}

// MakeBroker makes the agent's broker.
func MakeBroker(a *v1alpha1.LambdaAgent, cfg *config.Eventing) *eventingv1.Broker {
	return shared.MakeBroker(objectMeta(a, names.Broker(a)), names.BrokerConfig(a), cfg)
}

// MakeBrokerConfig makes what says which RabbitMQ the broker is on.
func MakeBrokerConfig(a *v1alpha1.LambdaAgent, cfg *config.Eventing) *rabbitv1alpha1.RabbitmqBrokerConfig {
	return shared.MakeBrokerConfig(objectMeta(a, names.BrokerConfig(a)), rabbitMQ(a), cfg)
}

func rabbitMQ(a *v1alpha1.LambdaAgent) *v1alpha1.RabbitMQSpec {
	if e := a.Spec.ActiveEventing(); e != nil {
		return e.RabbitMQ
	}
	return nil
}

// DeadLetters are the settings of the spec, where there are any in force.
func DeadLetters(a *v1alpha1.LambdaAgent) *v1alpha1.DeadLetterSpec {
	if e := a.Spec.ActiveEventing(); e != nil {
		return e.DLQ
	}
	return nil
}

// WantsDeadLetters tells whether the agent is to have a dead letter queue, and whether
// its own spec says so.
func WantsDeadLetters(a *v1alpha1.LambdaAgent, cfg *config.Eventing) (wanted, explicit bool) {
	if a.Spec.ActiveEventing() == nil {
		return false, false
	}
	return shared.WantsDeadLetters(DeadLetters(a), cfg)
}

// MakeDeadLetterQueue makes the agent's queue.
func MakeDeadLetterQueue(a *v1alpha1.LambdaAgent, cfg *config.Eventing) *topologyv1beta1.Queue {
	return shared.MakeDeadLetterQueue(objectMeta(a, names.DeadLetterQueue(a)), names.RabbitMQDeadLetterQueue(a), cfg)
}

// MakeDeadLetterPolicy makes the policy that bounds the queue.
func MakeDeadLetterPolicy(a *v1alpha1.LambdaAgent, cfg *config.Eventing) *topologyv1beta1.Policy {
	return shared.MakeDeadLetterPolicy(objectMeta(a, names.DeadLetterQueue(a)), names.RabbitMQDeadLetterQueue(a), DeadLetters(a), cfg)
}

// MakeDeadLetterBinding binds the queue to the dead letter exchange of a Trigger.
func MakeDeadLetterBinding(a *v1alpha1.LambdaAgent, t *eventingv1.Trigger, late bool, cfg *config.Eventing) *topologyv1beta1.Binding {
	return shared.MakeDeadLetterBinding(objectMeta(a, shared.BindingName(t.Name)), names.RabbitMQDeadLetterQueue(a), t, late, cfg)
}

// DeadLetterSink is where the broker sends what it cannot deliver. Its path proves to
// the receiver that the operator has made it for this agent.
func DeadLetterSink(a *v1alpha1.LambdaAgent, keys *keyring.Keyring, cfg *config.Eventing) *duckv1.Destination {
	return shared.DeadLetterSink(at(a, receiverpath.DeadLetters).Path(keys), cfg)
}

// at is what the receiver serves for the agent.
func at(a *v1alpha1.LambdaAgent, purpose keyring.Purpose) receiverpath.Target {
	return receiverpath.Target{Purpose: purpose, Kind: receiverpath.Agent, Namespace: a.Namespace, Name: a.Name}
}

// MakeSubscription makes the Trigger that delivers events with exactly these
// attributes to the agent. What an agent on this project's runtime refuses for good is
// tried again like all else, so that it ends as a dead letter: the broker would take
// an answer of 4xx for a delivery.
func MakeSubscription(a *v1alpha1.LambdaAgent, exact map[string]string, deadLetters *duckv1.Destination, cfg *config.Eventing) *eventingv1.Trigger {
	to := duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: a.Namespace, Name: names.Service(a)}}
	if deadLetters != nil {
		to.URI = &apis.URL{Path: "/", RawQuery: events.Subscriber{Permanent: events.PermanentRetry}.Query()}
	}
	return makeTrigger(a, names.Subscription(a, hash(exact)), exact, to, deadLetters, cfg)
}

// MakeRoute makes the Trigger that passes the agent's events of a type on to another
// agent's broker; relay passes those of others on, too.
func MakeRoute(a *v1alpha1.LambdaAgent, eventType string, target types.NamespacedName, relay bool, deadLetters *duckv1.Destination, cfg *config.Eventing) *eventingv1.Trigger {
	exact := map[string]string{"type": eventType}
	if !relay {
		exact["source"] = a.EventSource()
	}
	to := duckv1.Destination{Ref: &duckv1.KReference{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Broker", Namespace: target.Namespace, Name: target.Name}}
	return makeTrigger(a, names.Route(a, hash(exact, target)), exact, to, deadLetters, cfg)
}

func makeTrigger(a *v1alpha1.LambdaAgent, name string, exact map[string]string, to duckv1.Destination, deadLetters *duckv1.Destination, cfg *config.Eventing) *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: objectMeta(a, name),
		Spec: eventingv1.TriggerSpec{
			Broker:     names.Broker(a),
			Filter:     &eventingv1.TriggerFilter{Attributes: exact},
			Subscriber: to,
			Delivery:   shared.Delivery(DeadLetters(a), cfg.Delivery.Timeout, nil, cfg),
		},
	}
	t.Annotations = shared.TriggerAnnotations(rabbitMQ(a), cfg)
	if deadLetters != nil {
		t.Spec.Delivery.DeadLetterSink = shared.BoundSink(deadLetters, shared.BindingName(name))
	}
	return t.DeepCopy()
}

// MakeRetirement makes what lets RabbitMQ make dead letters of what waits in the queue of
// a route whose agent has gone.
func MakeRetirement(a *v1alpha1.LambdaAgent, t *eventingv1.Trigger, broker types.UID, target types.NamespacedName, cfg *config.Eventing) *topologyv1beta1.Policy {
	return shared.MakeRetirement(objectMeta(a, shared.RetirementName(t.Name)), t, broker, lambda.GoneRoutingKey+target.String(), cfg)
}

// RetireRoute says since when the agent at the other end of a route has gone, and leads
// what waits to the receiver of dead letters, if there is one: the broker would try each
// event in vain first. There is none to name where RabbitMQ itself does what is needed.
func RetireRoute(t *eventingv1.Trigger, target types.NamespacedName, deadLetters *duckv1.Destination, now time.Time) {
	if t.Annotations == nil {
		t.Annotations = map[string]string{}
	}
	t.Annotations[lambda.RetiredAnnotationKey] = now.UTC().Format(time.RFC3339)
	if deadLetters != nil {
		to := deadLetters.DeepCopy()
		to.URI.RawQuery = events.RetiredQuery(target.String())
		t.Spec.Subscriber.Ref, t.Spec.Subscriber.URI = to.Ref, to.URI
	}
}

// MutateTrigger sets on existing what this project owns, and takes back that it was
// to go.
func MutateTrigger(existing, desired *eventingv1.Trigger) {
	shared.MutateTrigger(existing, desired)
	delete(existing.Annotations, lambda.RetiredAnnotationKey)
}

// LeadsToBroker tells whether a Trigger leads to a broker.
func LeadsToBroker(t *eventingv1.Trigger) bool {
	return t.Spec.Subscriber.Ref != nil && t.Spec.Subscriber.Ref.Kind == "Broker"
}

// TargetOf is the agent that a route's Trigger leads to, or led to; false where it is
// no route's.
func TargetOf(t *eventingv1.Trigger) (target types.NamespacedName, ok bool) {
	to := t.Spec.Subscriber
	switch {
	case LeadsToBroker(t):
		return types.NamespacedName{Namespace: to.Ref.Namespace, Name: to.Ref.Name}, true
	case to.URI != nil:
		target.Namespace, target.Name, ok = strings.Cut(to.URI.URL().Query().Get(events.GoneQuery), "/")
	}
	return target, ok
}

func hash(what ...any) string {
	text, err := json.Marshal(what) // keys are sorted
	if err != nil {
		panic(err) // strings only
	}
	return build.Hash(string(text))
}
