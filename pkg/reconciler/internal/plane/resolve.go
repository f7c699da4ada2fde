package plane

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/secret"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// allowedNamespaces is the annotation of RabbitMQ's cluster and topology operators: the
// namespaces that may use a RabbitmqCluster, besides its own.
const allowedNamespaces = "rabbitmq.com/topology-allowed-namespaces"

// Objects that configurations of Brokers refer to. They are read when a Broker is
// reconciled: a watch would keep the Secrets of all users in memory.
type Objects interface {
	Secret(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error)
	// RabbitmqCluster of RabbitMQ's cluster operator. It is not found where the cluster
	// does not have the kind.
	RabbitmqCluster(ctx context.Context, name types.NamespacedName) (*unstructured.Unstructured, error)
}

// resolve the configuration of a Broker. The settings are nil, and the name is empty, if it
// leads to the RabbitMQ of the installation.
func (s *Selector) resolve(ctx context.Context, b *eventingv1.Broker) (name string, settings *connection.Settings, err error) {
	of := b.Spec.Config
	switch {
	case of.Kind == "Secret" && of.APIVersion == "v1":
		if of.Namespace != "" && of.Namespace != b.Namespace {
			return "", nil, configErrorf(ReasonConfigNotAllowed,
				"spec.config: Secret %s/%s is in another namespace: name a Secret of namespace %s", of.Namespace, of.Name, b.Namespace)
		}
		settings, err = s.fromSecret(ctx, types.NamespacedName{Namespace: b.Namespace, Name: of.Name})
	case of.Kind == "RabbitmqBrokerConfig" && of.APIVersion == rabbitv1alpha1.SchemeGroupVersion.String() && s.Configs() != nil:
		settings, err = s.fromConfig(ctx, b)
	default:
		return "", nil, configErrorf(ReasonConfigNotSupported,
			"spec.config: a %s of %s does not configure Brokers of this class: name a Secret, or remove spec.config to use the connection of the installation",
			of.Kind, of.APIVersion)
	}
	if err != nil || settings == nil {
		return "", nil, err
	}
	return settings.Name(b.Namespace), settings, nil
}

// fromConfig is nil if the configuration names the RabbitMQ of the installation. That is so
// by default where Knative's own Broker on RabbitMQ is.
func (s *Selector) fromConfig(ctx context.Context, b *eventingv1.Broker) (*connection.Settings, error) {
	namespace := cmp.Or(b.Spec.Config.Namespace, b.Namespace)
	cfg, err := s.Configs().RabbitmqBrokerConfigs(namespace).Get(b.Spec.Config.Name)
	if apierrs.IsNotFound(err) {
		return nil, configErrorf(ReasonConfigMissing, "spec.config: RabbitmqBrokerConfig %s/%s does not exist", namespace, b.Spec.Config.Name)
	} else if err != nil {
		return nil, err
	}
	settings, err := s.fromReference(ctx, b.Namespace, cfg)
	if err != nil || settings == nil {
		return nil, err
	}
	if cfg.Spec.Vhost != "" {
		settings.VirtualHost = cfg.Spec.Vhost
	}
	settings.QueueType = string(cfg.Spec.QueueType)
	return settings, nil
}

// fromReference of a configuration to a RabbitmqCluster or a Secret, for Brokers of a
// namespace; nil for the RabbitMQ of the installation.
func (s *Selector) fromReference(ctx context.Context, namespace string, cfg *rabbitv1alpha1.RabbitmqBrokerConfig) (*connection.Settings, error) {
	in := fmt.Sprintf("RabbitmqBrokerConfig %s/%s", cfg.Namespace, cfg.Name)
	ref := cfg.Spec.RabbitmqClusterReference
	if ref == nil || (ref.Name == "" && ref.ConnectionSecret == nil) {
		return nil, configErrorf(ReasonConfigMissing, "%s: spec.rabbitmqClusterReference names neither a RabbitmqCluster nor a connectionSecret", in)
	}
	if named := ref.ConnectionSecret; named != nil {
		if ref.Namespace != "" && ref.Namespace != namespace {
			return nil, configErrorf(ReasonConfigNotAllowed,
				"%s: connectionSecret %s/%s is in another namespace: name a Secret of namespace %s", in, ref.Namespace, named.Name, namespace)
		}
		return s.fromSecret(ctx, types.NamespacedName{Namespace: namespace, Name: named.Name})
	}
	cluster := types.NamespacedName{Namespace: cmp.Or(ref.Namespace, cfg.Namespace), Name: ref.Name}
	if cluster == config.FromContextOrDefaults(ctx).Eventing.RabbitMQCluster {
		return nil, nil
	}
	return s.fromCluster(ctx, namespace, cluster)
}

// fromCluster are the settings of the default user of a RabbitmqCluster that a namespace
// may use.
func (s *Selector) fromCluster(ctx context.Context, namespace string, name types.NamespacedName) (*connection.Settings, error) {
	cluster, err := s.Objects.RabbitmqCluster(ctx, name)
	if apierrs.IsNotFound(err) {
		return nil, configErrorf(ReasonConfigMissing, "RabbitmqCluster %s does not exist", name)
	} else if err != nil {
		return nil, fmt.Errorf("failed to read RabbitmqCluster %s: %w", name, err)
	}
	if namespace != name.Namespace && !allows(cluster.GetAnnotations()[allowedNamespaces], namespace) {
		refused := configErrorf(ReasonConfigNotAllowed,
			"RabbitmqCluster %s does not allow namespace %s: its owner has to list it in the annotation %s", name, namespace, allowedNamespaces)
		refused.Revoked = true
		return nil, refused
	}
	// Names in the status are of the cluster's own namespace, whatever else it says.
	user, _, _ := unstructured.NestedString(cluster.Object, "status", "binding", "name")
	if user == "" {
		user, _, _ = unstructured.NestedString(cluster.Object, "status", "defaultUser", "secretReference", "name")
	}
	if user == "" {
		return nil, configErrorf(ReasonConfigNotReady, "RabbitmqCluster %s has no Secret of its default user yet", name)
	}
	settings, err := s.fromSecret(ctx, types.NamespacedName{Namespace: name.Namespace, Name: user})
	if err != nil || settings.CA != "" {
		return settings, err
	}
	authority, _, _ := unstructured.NestedString(cluster.Object, "spec", "tls", "caSecretName")
	if authority == "" || !settings.TLS {
		return settings, nil
	}
	ca, err := s.secret(ctx, types.NamespacedName{Namespace: name.Namespace, Name: authority})
	if err != nil {
		return nil, err
	}
	settings.CA = string(ca.Data[secret.CA])
	return settings, nil
}

// allows says whether an annotation lists a namespace.
func allows(annotation, namespace string) bool {
	return slices.ContainsFunc(strings.Split(annotation, ","), func(one string) bool {
		one = strings.TrimSpace(one)
		return one == "*" || one == namespace
	})
}

func (s *Selector) fromSecret(ctx context.Context, name types.NamespacedName) (*connection.Settings, error) {
	o, err := s.secret(ctx, name)
	if err != nil {
		return nil, err
	}
	settings, err := connection.Parse(o.Data)
	if err != nil {
		return nil, configErrorf(ReasonSecretInvalid, "Secret %s: %s", name, err)
	}
	settings.From, settings.Source = name.Namespace, "Secret "+name.String()
	return &settings, nil
}

func (s *Selector) secret(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	o, err := s.Objects.Secret(ctx, name)
	if apierrs.IsNotFound(err) {
		return nil, configErrorf(ReasonSecretMissing, "Secret %s does not exist", name)
	} else if err != nil {
		return nil, fmt.Errorf("failed to read Secret %s: %w", name, err)
	}
	return o, nil
}
