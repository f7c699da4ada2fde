package plane

import (
	"context"
	"fmt"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

// Reasons of ConfigErrors, for the condition of a Broker.
const (
	// ReasonConfigNotSupported: the Broker's configuration is of a kind that its class
	// does not know.
	ReasonConfigNotSupported = "ConfigNotSupported"
	// ReasonNotConfigured: the installation has no connection to RabbitMQ.
	ReasonNotConfigured = "RabbitMQNotConfigured"
)

// ConfigError is what is wrong with the configuration of a Broker. A retry does not
// help; a change of the configuration enqueues the Broker.
type ConfigError struct{ Reason, Message string }

// Error implements error.
func (e *ConfigError) Error() string { return e.Message }

func configErrorf(reason, format string, args ...any) error {
	return &ConfigError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Selector finds the connections of Brokers.
type Selector struct{ Connections *Connections }

// Of is the connection that a Broker's events are on. The error is a *ConfigError if
// the Broker's configuration is wrong.
func (s *Selector) Of(_ context.Context, b *eventingv1.Broker) (*Connection, error) {
	if c := b.Spec.Config; c != nil && !forChannels(b) {
		return nil, configErrorf(ReasonConfigNotSupported,
			"spec.config: a %s of %s does not configure Brokers of this class: remove spec.config to use the connection of the installation", c.Kind, c.APIVersion)
	}
	if connection := s.Connections.Get(""); connection != nil {
		return connection, nil
	}
	return nil, configErrorf(ReasonNotConfigured, "The installation has no connection to RabbitMQ: run the setup Job, which writes the Secret of the controller")
}

// forChannels says whether a Broker is configured by a ConfigMap. Eventing's admission
// gives one, for a class on channels, to each Broker that has none and whose class is
// not listed in config-br-defaults. It says nothing of this class.
func forChannels(b *eventingv1.Broker) bool {
	return b.Spec.Config.APIVersion == "v1" && b.Spec.Config.Kind == "ConfigMap"
}

// Get a connection by its name, nil if there is none.
func (s *Selector) Get(name string) *Connection { return s.Connections.Get(name) }

// Check a connection on which an operation failed.
func (s *Selector) Check(name string) { s.Connections.Check(name) }
