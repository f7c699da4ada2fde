package plane

import (
	"context"
	"errors"
	"fmt"

	rabbitlisters "knative.dev/eventing-rabbitmq/pkg/client/listers/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// Reasons of ConfigErrors, for the condition of a Broker.
const (
	// ReasonConfigNotSupported: the Broker's configuration is of a kind that its class
	// does not know.
	ReasonConfigNotSupported = "ConfigNotSupported"
	// ReasonConfigMissing: the Broker's configuration, or what it refers to, does not exist.
	ReasonConfigMissing = "ConfigMissing"
	// ReasonConfigNotReady: the RabbitmqCluster has no Secret of its default user yet.
	ReasonConfigNotReady = "ConfigNotReady"
	// ReasonConfigNotAllowed: the configuration leads to a Secret or a RabbitmqCluster that
	// the Broker's namespace may not use.
	ReasonConfigNotAllowed = "ConfigNotAllowed"
	// ReasonSecretMissing: the Secret of the connection does not exist.
	ReasonSecretMissing = "ConnectionSecretMissing"
	// ReasonSecretInvalid: a key of the Secret is missing or not valid.
	ReasonSecretInvalid = "ConnectionSecretInvalid"
	// ReasonTooManyConnections: no further connection may be open.
	ReasonTooManyConnections = "TooManyConnections"
	// ReasonConnectionChanged: the configuration leads to another RabbitMQ than before.
	ReasonConnectionChanged = "ConnectionChanged"
	// ReasonNotConfigured: the installation has no connection to RabbitMQ.
	ReasonNotConfigured = "RabbitMQNotConfigured"
	// ReasonNotConnected: the Broker has no connection; its conditions say why.
	ReasonNotConnected = "BrokerNotConnected"
)

// ConfigError is what is wrong with the configuration of a Broker. A retry does not help.
type ConfigError struct {
	Reason, Message string
	// Revoked says that the Broker must not use the connection that it has any more.
	Revoked bool
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Message }

func configErrorf(reason, format string, args ...any) *ConfigError {
	return &ConfigError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Selector finds the connections of Brokers.
type Selector struct {
	Connections *Connections
	// Configs of Brokers on RabbitMQ, nil while the cluster does not have the kind.
	Configs func() rabbitlisters.RabbitmqBrokerConfigLister
	// Objects that configurations refer to.
	Objects Objects
	// Registry of the connections besides that of the installation.
	Registry *Registry
}

// Of is the connection that a Broker's events are on, as its status says. The error is a
// *ConfigError if it has none.
func (s *Selector) Of(b *eventingv1.Broker) (*Connection, error) {
	name, ok := assignment.Connected(b)
	if !ok {
		return nil, configErrorf(ReasonNotConnected, "The Broker has no connection to RabbitMQ: see its condition RabbitMQReady")
	}
	connection := s.Connections.Get(name)
	switch {
	case connection != nil:
		return connection, nil
	case name == "":
		return nil, configErrorf(ReasonNotConfigured, "The installation has no connection to RabbitMQ: run the setup Job, which writes the Secret of the controller")
	}
	return newConnection(name, nil), nil // about to be opened
}

// Connect a Broker to the RabbitMQ that its configuration names, and record that in its
// status. The error is a *ConfigError if the configuration is wrong. A Broker that is
// connected stays so, with the last valid settings, unless it was revoked.
func (s *Selector) Connect(ctx context.Context, b *eventingv1.Broker) (*Connection, error) {
	if !assignment.Configured(b) {
		assignment.Disconnect(b)
		return s.Of(b)
	}
	has, connected := assignment.Connected(b)
	name, settings, err := s.resolve(ctx, b)
	var wrong *ConfigError
	switch {
	case errors.As(err, &wrong) && wrong.Revoked:
		assignment.Disconnect(b)
		if err := s.Registry.Remove(ctx, has); err != nil {
			return nil, err
		}
		return nil, wrong
	case err != nil:
		return nil, err
	case connected && has != name && s.Connections.Get(has) != nil:
		return nil, configErrorf(ReasonConnectionChanged,
			"spec.config leads to another host, port or virtual host than before. The Broker stays on the earlier one: "+
				"restore it, or delete the Broker and its Triggers and create them again")
	}
	if settings != nil {
		if err := s.Registry.Put(ctx, name, settings, config.FromContextOrDefaults(ctx).Eventing.BrokerConnections); err != nil {
			return nil, err
		}
	}
	assignment.Connect(b, name)
	return s.Of(b)
}

// Get a connection by its name, nil if there is none.
func (s *Selector) Get(name string) *Connection { return s.Connections.Get(name) }

// Names of all connections.
func (s *Selector) Names() []string { return s.Connections.Names() }

// Check a connection on which an operation failed.
func (s *Selector) Check(name string) { s.Connections.Check(name) }
