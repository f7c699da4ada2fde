package broker

import (
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
)

// ConditionRabbitMQ is True while the Broker's RabbitMQ takes events.
const ConditionRabbitMQ apis.ConditionType = "RabbitMQReady"

// Reasons of conditions.
const (
	// ReasonNoReplica: no replica of the event plane is ready.
	ReasonNoReplica = "NoReplicaReady"
	// ReasonUnavailable: RabbitMQ cannot be reached, or refuses.
	ReasonUnavailable = "RabbitMQUnavailable"
	// ReasonCredentialsRefused: RabbitMQ refuses the user, or has no such virtual host.
	ReasonCredentialsRefused = "CredentialsRefused"
	// ReasonHostNotAllowed: the Broker's namespace may not reach the host of its RabbitMQ.
	ReasonHostNotAllowed = "HostNotAllowed"
	// ReasonConnecting: the connection has not been tried yet.
	ReasonConnecting = "Connecting"
	// ReasonSinkNotResolved: the dead letter sink has no address.
	ReasonSinkNotResolved = "DeadLetterSinkNotResolved"
	// ReasonNoCertificate: Knative asks for https and the ingress has no certificate.
	ReasonNoCertificate = "CertificateMissing"
)

var conditions = apis.NewLivingConditionSet(
	eventingv1.BrokerConditionIngress,
	ConditionRabbitMQ,
	eventingv1.BrokerConditionAddressable,
	eventingv1.BrokerConditionDeadLetterSinkResolved,
	eventingv1.BrokerConditionEventPoliciesReady,
)

// RegisterConditions makes these the conditions of all Brokers in this process. Only
// the controller may: it reads nothing but the Ready condition of other classes.
func RegisterConditions() { eventingv1.RegisterAlternateBrokerConditionSet(conditions) }
