package resources

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/deadletters"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// BrokerURL is where the agent sends its events, by the class of its Broker. It is known
// before there is a Broker, so that no revision has to wait for one.
func BrokerURL(a *v1alpha1.LambdaAgent, class string) *apis.URL {
	key := types.NamespacedName{Namespace: a.Namespace, Name: names.Broker(a)}
	if class == config.RabbitMQBrokerClass {
		return v1alpha1.RabbitMQBrokerURL(key)
	}
	return v1alpha1.AgentBrokerURL(key)
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

// WantsDeadLetters reports whether the agent is to have a dead letter queue, and whether
// its own spec says so.
func WantsDeadLetters(a *v1alpha1.LambdaAgent, cfg *config.Eventing) (wanted, explicit bool) {
	if a.Spec.ActiveEventing() == nil {
		return false, false
	}
	return shared.WantsDeadLetters(DeadLetters(a), cfg)
}

// DeadLetterBounds of the agent's queue.
func DeadLetterBounds(a *v1alpha1.LambdaAgent, cfg *config.Eventing) deadletters.Bounds {
	return shared.DeadLetterBounds(DeadLetters(a), cfg)
}

// DeadLetterSink is where a Broker of another class sends what it cannot deliver. Its path
// proves to the receiver that the operator has made it for this agent.
func DeadLetterSink(a *v1alpha1.LambdaAgent, keys *keyring.Keyring, cfg *config.Eventing) *duckv1.Destination {
	return shared.DeadLetterSink(at(a, receiverpath.DeadLetters).Path(keys), cfg)
}

// at is what the receiver serves for the agent.
func at(a *v1alpha1.LambdaAgent, purpose keyring.Purpose) receiverpath.Target {
	return receiverpath.Target{Purpose: purpose, Kind: receiverpath.Agent, Namespace: a.Namespace, Name: a.Name}
}

// Maker makes Triggers of an agent's Broker.
type Maker struct {
	Agent *v1alpha1.LambdaAgent
	// Class of the Broker. One of class RabbitMQBroker evaluates exact attributes only, and
	// those of a Trigger cannot be changed there, so that its name has a hash of them.
	Class string
	// Dead is where events go that cannot be delivered; nil is nowhere.
	Dead   *shared.Dead
	Config *config.Eventing
}

// Subscription makes the Trigger that delivers to the agent the events with exactly these
// attributes that pass the filters as well.
func (m *Maker) Subscription(exact map[string]string, filters []eventingv1.SubscriptionsAPIFilter) *eventingv1.Trigger {
	what := []any{exact}
	if len(filters) > 0 {
		what = append(what, filters)
	}
	return m.trigger(names.Subscription(m.Agent, hash(what...)), exact, filters, m.service())
}

// Schedules makes the Trigger that delivers the events of the agent's schedules.
func (m *Maker) Schedules() *eventingv1.Trigger {
	return m.trigger(names.Schedules(m.Agent), map[string]string{"source": ScheduleSource(m.Agent)}, nil, m.service())
}

// service is the agent as a subscriber.
func (m *Maker) service() duckv1.Destination {
	return duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: m.Agent.Namespace, Name: names.Service(m.Agent)}}
}

// Route makes the Trigger that passes the agent's events of a type on to another agent's
// Broker; relay passes those of others on, too.
func (m *Maker) Route(eventType string, target types.NamespacedName, relay bool) *eventingv1.Trigger {
	exact := map[string]string{"type": eventType}
	if !relay {
		exact["source"] = m.Agent.EventSource()
	}
	name := names.Route(m.Agent, hash(eventType, target))
	if m.Class == config.RabbitMQBrokerClass {
		name = names.Route(m.Agent, hash(exact, target))
	}
	to := duckv1.Destination{Ref: &duckv1.KReference{APIVersion: eventingv1.SchemeGroupVersion.String(), Kind: "Broker", Namespace: target.Namespace, Name: target.Name}}
	return m.trigger(name, exact, nil, to)
}

func (m *Maker) trigger(name string, exact map[string]string, filters []eventingv1.SubscriptionsAPIFilter, to duckv1.Destination) *eventingv1.Trigger {
	t := &eventingv1.Trigger{
		ObjectMeta: objectMeta(m.Agent, name),
		Spec: eventingv1.TriggerSpec{
			Broker:     names.Broker(m.Agent),
			Subscriber: to,
			Delivery:   shared.Delivery(DeadLetters(m.Agent), m.timeout(to), m.Config),
		},
	}
	if m.Class == config.RabbitMQBrokerClass {
		t.Spec.Filter = &eventingv1.TriggerFilter{Attributes: exact}
	} else {
		if len(exact) > 0 {
			t.Spec.Filters = append(t.Spec.Filters, eventingv1.SubscriptionsAPIFilter{Exact: exact})
		}
		t.Spec.Filters = append(t.Spec.Filters, filters...)
	}
	shared.SetParallelism(t, m.Class, rabbitMQ(m.Agent), m.Config)
	shared.SetDeadLetters(t, m.Class, m.Dead)
	return t.DeepCopy()
}

// TypeOf the events that a route's Trigger passes on.
func TypeOf(t *eventingv1.Trigger) string {
	if len(t.Spec.Filters) > 0 {
		return t.Spec.Filters[0].Exact["type"]
	}
	if t.Spec.Filter != nil {
		return t.Spec.Filter.Attributes["type"]
	}
	return ""
}

// DeliversTo reports whether a Trigger delivers to the agent's own Service.
func DeliversTo(a *v1alpha1.LambdaAgent, t *eventingv1.Trigger) bool {
	ref := t.Spec.Subscriber.Ref
	return ref != nil && ref.Kind == "Service" && ref.Namespace == a.Namespace && ref.Name == names.Service(a)
}

// TargetOf is the agent that a route's Trigger leads to; false where it is no route's.
func TargetOf(t *eventingv1.Trigger) (target types.NamespacedName, ok bool) {
	ref := t.Spec.Subscriber.Ref
	if ref == nil || ref.Kind != "Broker" || deliversOutcomes(t) {
		return target, false
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, true
}

func hash(what ...any) string {
	text, err := json.Marshal(what) // keys are sorted
	if err != nil {
		panic(err) // strings only
	}
	return build.Hash(string(text))
}
