package ingress

import (
	"context"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclient "knative.dev/eventing/pkg/client/clientset/versioned/typed/eventing/v1"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
)

const (
	// refreshEvery bounds how often one Broker is read from the API server.
	refreshEvery = time.Second
	// refreshTimeout is short: while the API server is away, events flow.
	refreshTimeout = time.Second
)

// ListedBrokers are the Brokers of this project's class in a cache.
type ListedBrokers struct {
	lister eventinglisters.BrokerLister
	client eventingclient.BrokersGetter
	recent *utilcache.Expiring
}

var _ Brokers = (*ListedBrokers)(nil)

// NewListedBrokers reads Brokers from the lister, and again from the API server after an
// event for which no Trigger was bound.
func NewListedBrokers(lister eventinglisters.BrokerLister, client eventingclient.BrokersGetter) *ListedBrokers {
	return &ListedBrokers{lister: lister, client: client, recent: utilcache.NewExpiring()}
}

// Get implements Brokers.
func (l *ListedBrokers) Get(namespace, name string) (Broker, bool) {
	b, err := l.lister.Brokers(namespace).Get(name)
	if err != nil {
		return Broker{}, false
	}
	return brokerOf(b)
}

// Refresh implements Brokers. The cache's answer holds if the API server does not answer,
// or was asked for this Broker less than a second ago.
func (l *ListedBrokers) Refresh(ctx context.Context, namespace, name string) (Broker, bool) {
	key := namespace + "/" + name
	if _, asked := l.recent.Get(key); asked {
		return l.Get(namespace, name)
	}
	l.recent.Set(key, true, refreshEvery)
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	b, err := l.client.Brokers(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return Broker{}, false
	case err != nil:
		slog.WarnContext(ctx, "Failed to read a Broker; using the cache", "namespace", namespace, "broker", name, "error", err)
		return l.Get(namespace, name)
	}
	return brokerOf(b)
}

// brokerOf an object; false if it is of another class.
func brokerOf(b *eventingv1.Broker) (Broker, bool) {
	if !assignment.Serves(b) {
		return Broker{}, false
	}
	known := Broker{Namespace: b.Namespace, Name: b.Name, UID: b.UID, Policies: b.Status.Policies}
	connection, connected := assignment.Connected(b)
	known.Connection, known.Unconnected = connection, !connected
	if b.Status.Address != nil {
		known.Audience = b.Status.Address.Audience
	}
	return known, true
}
