package plane

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
)

// Registry writes the Secret with all connections besides that of the installation. Every
// replica of the controller may; a conflict is tried again with the next pass.
type Registry struct {
	Kube      kubernetes.Interface
	Namespace string
	// Secrets is a cache of the Secret.
	Secrets corev1listers.SecretLister
}

// secret as the cache has it, nil if it is not there.
func (r *Registry) secret() *corev1.Secret {
	s, err := r.Secrets.Secrets(r.Namespace).Get(connection.SecretName)
	if err != nil {
		return nil // a cache fails for no other reason
	}
	return s
}

// Installation is the UID of the Secret, which tells this installation from others; empty
// while there is none.
func (r *Registry) Installation() types.UID {
	if s := r.secret(); s != nil {
		return s.UID
	}
	return ""
}

// Names of all connections.
func (r *Registry) Names() (names []string) {
	if s := r.secret(); s != nil {
		for name := range s.Data {
			names = append(names, name)
		}
	}
	return names
}

// Put the settings of a connection. The error is a *ConfigError if there may be no further
// one.
func (r *Registry) Put(ctx context.Context, name string, settings *connection.Settings, limit int) error {
	has := r.secret()
	if has == nil {
		return configErrorf(ReasonNotConfigured, "Secret %s/%s is missing: apply the manifests of the operator", r.Namespace, connection.SecretName)
	}
	text, err := settings.Encode()
	if err != nil || bytes.Equal(has.Data[name], text) {
		return err
	}
	var full *connection.TooManyError
	if err := connection.Admit(has.Data, name, limit); errors.As(err, &full) {
		return configErrorf(ReasonTooManyConnections,
			"%s: use a connection of the installation or of another Broker, or ask an administrator to raise broker-connections in config-eventing", full)
	}
	wants := has.DeepCopy()
	if wants.Data == nil {
		wants.Data = map[string][]byte{}
	}
	wants.Data[name] = text
	return r.update(ctx, wants)
}

// Remove connections. It is no error if there are none of these names.
func (r *Registry) Remove(ctx context.Context, names ...string) error {
	has := r.secret()
	if has == nil {
		return nil
	}
	wants := has.DeepCopy()
	for _, name := range names {
		delete(wants.Data, name)
	}
	if len(wants.Data) == len(has.Data) {
		return nil
	}
	return r.update(ctx, wants)
}

func (r *Registry) update(ctx context.Context, wants *corev1.Secret) error {
	if _, err := r.Kube.CoreV1().Secrets(r.Namespace).Update(ctx, wants, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("failed to write the connections of Brokers: %w", err)
	}
	return nil
}
