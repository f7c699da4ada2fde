package assignment

import (
	"strings"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// installation stands for the connection of the installation in the status of a Broker
// whose configuration names it. Names of other connections have a dot.
const installation = "installation"

// Connected says which connection to RabbitMQ the events of a Broker are on, empty for the
// installation's. ok is false while the controller has not connected a Broker that is
// configured: its events must be on no other connection.
func Connected(b *eventingv1.Broker) (connection string, ok bool) {
	name := b.Status.Annotations[lambda.ConnectionAnnotationKey]
	if name == installation || !Configured(b) {
		return "", true
	}
	name = ofNamespace(b.Namespace, name)
	return name, name != ""
}

// Connect a Broker: record its connection in its status, empty for the installation's.
func Connect(b *eventingv1.Broker, connection string) {
	if !Configured(b) {
		Disconnect(b)
		return
	}
	if connection == "" {
		connection = installation
	}
	if b.Status.Annotations == nil {
		b.Status.Annotations = map[string]string{}
	}
	b.Status.Annotations[lambda.ConnectionAnnotationKey] = connection
}

// Disconnect a Broker that may not use its connection any more.
func Disconnect(b *eventingv1.Broker) {
	delete(b.Status.Annotations, lambda.ConnectionAnnotationKey)
	if len(b.Status.Annotations) == 0 {
		b.Status.Annotations = nil
	}
}

// Configured says whether spec.config of a Broker is for its class. Eventing's admission
// gives a ConfigMap, which is for a class on channels, to each Broker that has no
// configuration and whose class is not listed in config-br-defaults.
func Configured(b *eventingv1.Broker) bool {
	c := b.Spec.Config
	return c != nil && (c.APIVersion != "v1" || c.Kind != "ConfigMap")
}

// ofNamespace is the name of a connection if it is one of the namespace, and empty otherwise:
// users who may write the status of an object must not choose those of others.
func ofNamespace(namespace, connection string) string {
	if of, _, ok := strings.Cut(connection, "."); ok && of == namespace {
		return connection
	}
	return ""
}
