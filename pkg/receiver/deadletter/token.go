package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/auth"
)

// triggerKind and brokerKind are of Knative's names of identities and audiences.
var (
	triggerKind = eventingv1.SchemeGroupVersion.WithKind("Trigger")
	brokerKind  = eventingv1.SchemeGroupVersion.WithKind("Broker")
)

// Tokens makes OIDC tokens, as Knative's auth.OIDCTokenProvider does.
type Tokens interface {
	GetJWT(serviceAccount types.NamespacedName, audience string) (string, error)
}

// endpoint is a URL that may ask for a token, as Brokers do with Knative's feature
// authentication-oidc.
type endpoint struct {
	url string
	// audience of the tokens; empty sends none.
	audience string
	// account whose token is sent: that of a Trigger, as the Broker's EventPolicies have it
	// when the Trigger delivers.
	account func(context.Context) (types.NamespacedName, error)
}

// audienceOf a Broker: Knative derives it from the name, and so what is in a status is not
// needed.
func audienceOf(broker types.NamespacedName) string {
	return auth.GetAudienceDirect(brokerKind, broker.Namespace, broker.Name)
}

// accountOf a Trigger, which Knative makes.
func accountOf(t *eventingv1.Trigger) types.NamespacedName {
	return types.NamespacedName{Namespace: t.Namespace, Name: auth.GetOIDCServiceAccountNameForResource(triggerKind, t.ObjectMeta)}
}

// accountOn a Broker: that of the first Trigger of an owner on it, by name.
func accountOn(broker types.NamespacedName, list func(context.Context) ([]eventingv1.Trigger, error)) func(context.Context) (types.NamespacedName, error) {
	var mu sync.Mutex
	var found types.NamespacedName
	return func(ctx context.Context) (types.NamespacedName, error) {
		mu.Lock()
		defer mu.Unlock()
		if found.Name != "" {
			return found, nil
		}
		triggers, err := list(ctx)
		if err != nil {
			return found, fmt.Errorf("listing Triggers: %w", err)
		}
		slices.SortFunc(triggers, func(a, b eventingv1.Trigger) int { return strings.Compare(a.Name, b.Name) })
		for i := range triggers {
			if triggers[i].Spec.Broker == broker.Name && triggers[i].Namespace == broker.Namespace {
				found = accountOf(&triggers[i])
				return found, nil
			}
		}
		return found, errors.New("there is no Trigger on the Broker whose ServiceAccount could send the event")
	}
}

// token for an endpoint.
func (s Sender) token(ctx context.Context, to endpoint) (string, error) {
	account, err := to.account(ctx)
	if err != nil {
		return "", err
	}
	token, err := s.Tokens.GetJWT(account, to.audience)
	if apierrs.IsForbidden(err) {
		return "", fmt.Errorf("the receiver may not make tokens; an administrator adds the component oidc: %w", err)
	}
	return token, err
}
