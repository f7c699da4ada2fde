package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// EventingConfigName is the ConfigMap that says how functions and agents get and
// answer events.
const EventingConfigName = "config-eventing"

// RabbitMQBrokerClass is the class of Knative's own Brokers on RabbitMQ, for
// installations that run eventing-rabbitmq.
const RabbitMQBrokerClass = "RabbitMQBroker"

// Eventing says how functions and agents get and answer events.
type Eventing struct {
	// DefaultBroker is the broker of triggers and functions that name none.
	DefaultBroker string
	// BrokerClass of the Brokers that this project makes: LambdaBroker, which the event
	// plane serves, or RabbitMQBroker.
	BrokerClass string
	// RabbitMQCluster is the RabbitmqCluster that Brokers of class
	// RabbitMQBroker are on; its zero value says that there is none.
	RabbitMQCluster types.NamespacedName
	// ConnectionSecret names a Secret of the function's namespace with uri,
	// username, password and port, instead of RabbitMQCluster.
	ConnectionSecret string
	// QueueType of the brokers that this project makes: quorum or classic.
	QueueType string
	// Parallelism is how many events of a trigger are in delivery at once.
	Parallelism int
	// Delivery of functions that say nothing of it.
	Delivery Delivery
	// DeadLetters of functions that say nothing of them.
	DeadLetters DeadLetters
	// DeliveryGateways are the Services of Knative Serving's ingress, to which names of
	// Knative Services lead.
	DeliveryGateways []types.NamespacedName
	// DeliveryAllowedNetworks are those that the event plane delivers to for names and
	// addresses that are no Services, besides the public Internet.
	DeliveryAllowedNetworks []netip.Prefix
	// BrokerConnections is how many connections to RabbitMQ Brokers may have of their own.
	BrokerConnections int
	// ResponseSink is a URL that gets the errors of all functions as events;
	// empty is none.
	ResponseSink string
}

// Delivery is how often and how fast a delivery is tried again.
type Delivery struct {
	// Retry is the number of attempts after the first.
	Retry int
	// BackoffPolicy is linear or exponential.
	BackoffPolicy string
	// BackoffDelay before the first retry.
	BackoffDelay time.Duration
	// Timeout of one attempt. A function whose own timeout is longer gets as
	// long as that.
	Timeout time.Duration
}

// DeadLetters is what becomes of events that could not be delivered.
type DeadLetters struct {
	// Enabled gives every function that receives events a dead letter queue.
	Enabled bool
	// Receiver is the Service that puts dead letters into their queues.
	Receiver types.NamespacedName
	// MessageTTL is how long a dead letter is kept.
	MessageTTL time.Duration
	// MaxLength is the number of dead letters that one queue keeps.
	MaxLength int
	// OverflowPolicy of a full queue: drop-head or reject-publish.
	OverflowPolicy string
}

func defaultEventing() *Eventing {
	return &Eventing{
		DefaultBroker:     "default",
		BrokerClass:       lambda.BrokerClass,
		QueueType:         "quorum",
		Parallelism:       10,
		BrokerConnections: 8,
		Delivery:          Delivery{Retry: 5, BackoffPolicy: "exponential", BackoffDelay: time.Second, Timeout: 30 * time.Second},
		DeadLetters: DeadLetters{
			Enabled: true, MessageTTL: 7 * 24 * time.Hour, MaxLength: 10000, OverflowPolicy: "drop-head",
			Receiver: types.NamespacedName{Namespace: "knative-lambda", Name: "knative-lambda-receiver"},
		},
		DeliveryGateways: []types.NamespacedName{
			{Namespace: "kourier-system", Name: "kourier-internal"}, {Namespace: "kourier-system", Name: "kourier"},
			{Namespace: "istio-system", Name: "knative-local-gateway"}, {Namespace: "istio-system", Name: "istio-ingressgateway"},
			{Namespace: "contour-internal", Name: "envoy"}, {Namespace: "contour-external", Name: "envoy"},
		},
	}
}

// NewEventingFromConfigMap parses config-eventing. The error names the key and
// what would be right.
func NewEventingFromConfigMap(cm *corev1.ConfigMap) (*Eventing, error) {
	e := defaultEventing()
	if cm.Namespace != "" {
		e.DeadLetters.Receiver.Namespace = cm.Namespace
	}
	p := newParser(EventingConfigName, cm.Data)
	p.text("default-broker", &e.DefaultBroker, objectName)
	p.text("broker-class", &e.BrokerClass, oneOf(lambda.BrokerClass, RabbitMQBrokerClass))
	p.namespacedName("rabbitmq-cluster", &e.RabbitMQCluster)
	p.text("rabbitmq-connection-secret", &e.ConnectionSecret, secretName)
	p.text("queue-type", &e.QueueType, oneOf("quorum", "classic"))
	p.integer("parallelism", &e.Parallelism, 1, 1000)
	p.integer("delivery-retry", &e.Delivery.Retry, 0, 100)
	p.text("delivery-backoff-policy", &e.Delivery.BackoffPolicy, oneOf("linear", "exponential"))
	p.duration("delivery-backoff-delay", &e.Delivery.BackoffDelay, 100*time.Millisecond, time.Hour)
	p.duration("delivery-timeout", &e.Delivery.Timeout, time.Second, 24*time.Hour)
	p.boolean("dead-letters", &e.DeadLetters.Enabled)
	p.namespacedName("dead-letter-receiver", &e.DeadLetters.Receiver)
	p.duration("dead-letter-ttl", &e.DeadLetters.MessageTTL, time.Second, 365*24*time.Hour)
	p.integer("dead-letter-max-length", &e.DeadLetters.MaxLength, 1, 10_000_000)
	p.text("dead-letter-overflow-policy", &e.DeadLetters.OverflowPolicy, oneOf("drop-head", "reject-publish"))
	p.namespacedNames("delivery-gateways", &e.DeliveryGateways)
	p.networks("delivery-allowed-networks", &e.DeliveryAllowedNetworks)
	p.integer("broker-connections", &e.BrokerConnections, 0, 64)
	p.text("response-sink", &e.ResponseSink, httpURL)
	if e.ConnectionSecret != "" && e.RabbitMQCluster != (types.NamespacedName{}) {
		p.fail("rabbitmq-connection-secret", fmt.Errorf("expected only one of rabbitmq-cluster and rabbitmq-connection-secret"))
	}
	return e, p.done()
}

// HasRabbitMQ reports whether there is a RabbitMQ for Brokers of class RabbitMQBroker.
func (e *Eventing) HasRabbitMQ() bool {
	return e.ConnectionSecret != "" || e.RabbitMQCluster.Name != ""
}

func (p *parser) namespacedName(key string, to *types.NamespacedName) {
	if v, ok := p.value(key); ok {
		name, err := parseNamespacedName(v)
		p.fail(key, err)
		*to = name
	}
}

// namespacedNames reads a list of names.
func (p *parser) namespacedNames(key string, to *[]types.NamespacedName) {
	var texts []string
	var names []types.NamespacedName
	p.list(key, &texts, func(text string) error {
		name, err := parseNamespacedName(text)
		names = append(names, name)
		return err
	})
	if names != nil {
		*to = names
	}
}

func parseNamespacedName(text string) (types.NamespacedName, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, fmt.Errorf("expected <namespace>/<name>, got %q", text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}
