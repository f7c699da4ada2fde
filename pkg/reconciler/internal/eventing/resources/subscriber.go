package resources

import (
	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// Subscribers are whose keys sign the queries of Triggers' subscribers: one kind of one
// object, so that no key is good for another.
type Subscribers struct {
	Keys                  *keyring.Keyring
	Kind, Namespace, Name string
}

const subscriberPurpose keyring.Purpose = "subscriber"

// AddKey gives the key to the program that the Service runs. It does not change when
// Triggers do, so that these need no new revision.
func (s Subscribers) AddKey(service *servingv1.Service) {
	container := &service.Spec.Template.Spec.Containers[0]
	key := s.Keys.Derive(subscriberPurpose, s.Kind, s.Namespace, s.Name)
	container.Env = append(container.Env, corev1.EnvVar{Name: events.SubscriberKeyVariable, Value: key})
}

// Sign signs the query of the Trigger's subscriber, if it has one. While the keyring is
// rotated it signs with both keys: revisions with either of them run.
func (s Subscribers) Sign(t *eventingv1.Trigger) {
	if u := t.Spec.Subscriber.URI; u != nil {
		u.RawQuery = events.Sign(u.RawQuery, s.Keys.DeriveAll(subscriberPurpose, s.Kind, s.Namespace, s.Name)...)
	}
}
