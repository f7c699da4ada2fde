package dispatch

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// defaultParallelism of an unordered Trigger.
const defaultParallelism = 100

// subscription is what a Trigger asks for, at one generation. It never changes.
type subscription struct {
	uid             types.UID
	namespace, name string
	generation      int64
	broker          types.NamespacedName
	brokerUID       types.UID

	// queue that the Trigger's events go to, and those that are to be consumed now.
	queue  string
	queues []string
	// connection that the queues are on, and that of the Broker, for replies. Empty is the
	// installation's.
	connection, replies string
	// parallelism of the queues that are not ordered.
	parallelism int

	filter         compiled
	subscriber     duckv1.Addressable
	policy         delivery.Policy
	format         *eventingduckv1.FormatType
	serviceAccount string
	// sink of dead letters; nil if there is none.
	sink *duckv1.Addressable
	// deadLetterQueue is for events that no sink accepts; empty if there is none.
	deadLetterQueue string

	// deletedTarget is namespace/name of the agent that the events are for, if it was
	// deleted: nothing is delivered, and events become dead letters.
	deletedTarget string

	// callee of asynchronous calls, whose outcomes are reported as events of the source;
	// both are zero if the Trigger delivers none.
	callee        calls.Callee
	outcomeSource string

	// waiting says why nothing is delivered; empty if it is. Events wait in the queue.
	waiting string
}

// newSubscription of a Trigger. broker is nil while it does not exist. The filter is of
// the same generation.
func newSubscription(t *eventingv1.Trigger, broker *eventingv1.Broker, c compiled) *subscription {
	a := assignment.Of(t)
	s := &subscription{
		uid: t.UID, namespace: t.Namespace, name: t.Name, generation: t.Generation,
		broker: types.NamespacedName{Namespace: t.Namespace, Name: t.Spec.Broker},
		queue:  a.Queue, queues: a.Draining, connection: a.Connection, filter: c, parallelism: parallelismOf(t), deadLetterQueue: deadLetterQueueOf(t),
		deletedTarget: deletedTargetOf(t),
	}
	s.callee, s.outcomeSource, _ = calls.Of(t)
	if len(s.queues) == 0 && a.Queue != "" {
		s.queues = []string{a.Queue}
	}
	if account := t.Status.Auth; account != nil && account.ServiceAccountName != nil {
		s.serviceAccount = *account.ServiceAccountName
	}
	if t.Status.SubscriberURI != nil {
		s.subscriber = duckv1.Addressable{URL: t.Status.SubscriberURI, CACerts: t.Status.SubscriberCACerts, Audience: t.Status.SubscriberAudience}
	}
	err := s.fill(t, broker)
	if err == nil && a.Undeclared {
		// To consume a queue while it is declared may close the connection of all tenants.
		err = fmt.Errorf("the queue is not declared yet")
	}
	if err != nil {
		s.waiting = err.Error()
	}
	return s
}

// fill in what may keep the Trigger from being served.
func (s *subscription) fill(t *eventingv1.Trigger, broker *eventingv1.Broker) (err error) {
	if s.filter.err != nil {
		return s.filter.err
	}
	if broker == nil {
		return fmt.Errorf("there is no Broker %q in namespace %q", t.Spec.Broker, t.Namespace)
	}
	s.brokerUID = broker.UID
	var connected bool
	if s.replies, connected = assignment.Connected(broker); !connected {
		return fmt.Errorf("the Broker has no connection to RabbitMQ yet")
	}
	s.sink = sinkOf(t, broker)
	spec := t.Spec.Delivery
	if spec == nil {
		spec = broker.Spec.Delivery
	}
	if s.policy, err = delivery.PolicyOf(spec); err != nil {
		return err
	}
	if spec != nil {
		s.format = spec.Format
	}
	switch {
	case len(s.queues) == 0:
		return fmt.Errorf("the Trigger has no queue yet")
	case s.deletedTarget != "" && s.sink == nil && s.deadLetterQueue == "":
		// Without a place for dead letters the events would be dropped.
		return fmt.Errorf("agent %s was deleted, and the Trigger has no dead letter queue", s.deletedTarget)
	case s.deletedTarget != "": // needs no subscriber
	case s.subscriber.URL == nil:
		return fmt.Errorf("the subscriber is not resolved")
	case !dependencyReady(t):
		return fmt.Errorf("the dependency is not ready")
	}
	return nil
}

// parallelismOf the queues that are not ordered. The controller reports an annotation
// that is not valid.
func parallelismOf(t *eventingv1.Trigger) int {
	if n, err := assignment.Parallelism(t); err == nil && n > 1 {
		return n
	}
	return defaultParallelism
}

// dependencyReady is true without a dependency.
func dependencyReady(t *eventingv1.Trigger) bool {
	if t.Annotations[eventingv1.DependencyAnnotation] == "" {
		return true
	}
	condition := t.Status.GetCondition(eventingv1.TriggerConditionDependency)
	return condition != nil && condition.IsTrue()
}

// sinkOf dead letters: the Trigger's own, or else the Broker's.
func sinkOf(t *eventingv1.Trigger, broker *eventingv1.Broker) *duckv1.Addressable {
	status := t.Status.DeliveryStatus
	if !status.IsSet() {
		status = broker.Status.DeliveryStatus
	}
	if !status.IsSet() {
		return nil
	}
	return &duckv1.Addressable{URL: status.DeadLetterSinkURI, CACerts: status.DeadLetterSinkCACerts, Audience: status.DeadLetterSinkAudience}
}

// deadLetterQueueOf a Trigger, if it is one of the Trigger's namespace: users who may edit
// a Trigger must not write into the queues of others.
func deadLetterQueueOf(t *eventingv1.Trigger) string {
	name := t.Annotations[lambda.DeadLetterQueueAnnotationKey]
	if !strings.HasPrefix(name, events.DeadLetterQueue(t.Namespace, "")) || strings.HasSuffix(name, ".") {
		return ""
	}
	return name
}

// deletedTargetOf a Trigger; empty if there is none, or if it is no namespace/name.
func deletedTargetOf(t *eventingv1.Trigger) string {
	target := t.Annotations[lambda.DeletedTargetAnnotationKey]
	namespace, name, _ := strings.Cut(target, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return ""
	}
	return target
}

// destination of the events; nil if it is not resolved. That of a deleted agent is its
// Broker, so that dead letters can be replayed once the agent is back.
func (s *subscription) destination() *apis.URL {
	if s.deletedTarget == "" {
		return s.subscriber.URL
	}
	namespace, name, _ := strings.Cut(s.deletedTarget, "/")
	return v1alpha1.AgentBrokerURL(types.NamespacedName{Namespace: namespace, Name: name})
}

// draining reports whether the Trigger has a queue that gets no more events.
func (s *subscription) draining() bool {
	return s != nil && len(s.queues) > 0 && s.queues[0] != s.queue
}

// reports whether the outcomes of what is delivered are reported.
func (s *subscription) reports() bool { return s.outcomeSource != "" }

// key of the Trigger in log lines.
func (s *subscription) key() string { return s.namespace + "/" + s.name }
