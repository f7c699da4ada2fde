package plane

import (
	"context"
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	rabbitlisters "knative.dev/eventing-rabbitmq/pkg/client/listers/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// Reasons of ConfigErrors, for the condition of a Broker.
const (
	// ReasonConfigNotSupported: the Broker's configuration is of a kind that its class
	// does not know.
	ReasonConfigNotSupported = "ConfigNotSupported"
	// ReasonConfigMissing: the Broker's configuration does not exist.
	ReasonConfigMissing = "ConfigMissing"
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
type Selector struct {
	Connections *Connections
	// Configs of Brokers on RabbitMQ, nil while the cluster does not have the kind.
	Configs func() rabbitlisters.RabbitmqBrokerConfigLister
}

// Of is the connection that a Broker's events are on. The error is a *ConfigError if
// the Broker's configuration is wrong.
func (s *Selector) Of(ctx context.Context, b *eventingv1.Broker) (*Connection, error) {
	if b.Spec.Config != nil && !forChannels(b) {
		if err := s.onInstallation(ctx, b); err != nil {
			return nil, err
		}
	}
	if connection := s.Connections.Get(""); connection != nil {
		return connection, nil
	}
	return nil, configErrorf(ReasonNotConfigured, "The installation has no connection to RabbitMQ: run the setup Job, which writes the Secret of the controller")
}

// onInstallation is nil if a Broker is configured to be on the RabbitMQ of the
// installation. That is so by default where Knative's own Broker on RabbitMQ is.
func (s *Selector) onInstallation(ctx context.Context, b *eventingv1.Broker) error {
	of, configs := b.Spec.Config, s.Configs()
	if of.Kind != "RabbitmqBrokerConfig" || of.APIVersion != rabbitv1alpha1.SchemeGroupVersion.String() || configs == nil {
		return configErrorf(ReasonConfigNotSupported,
			"spec.config: a %s of %s does not configure Brokers of this class: remove spec.config to use the connection of the installation", of.Kind, of.APIVersion)
	}
	namespace := of.Namespace
	if namespace == "" {
		namespace = b.Namespace
	}
	cfg, err := configs.RabbitmqBrokerConfigs(namespace).Get(of.Name)
	if apierrs.IsNotFound(err) {
		return configErrorf(ReasonConfigMissing, "spec.config: RabbitmqBrokerConfig %s/%s does not exist", namespace, of.Name)
	} else if err != nil {
		return err
	}
	installed := config.FromContextOrDefaults(ctx).Eventing.RabbitMQCluster
	if ref := cfg.Spec.RabbitmqClusterReference; ref == nil || (types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}) != installed || installed.Name == "" {
		return configErrorf(ReasonConfigNotSupported,
			"spec.config: RabbitmqBrokerConfig %s/%s is of another RabbitMQ than that of the installation (rabbitmq-cluster in %s), which this class does not support: remove spec.config",
			namespace, of.Name, config.EventingConfigName)
	}
	return nil
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
