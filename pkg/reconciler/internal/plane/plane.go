// Package plane is what the reconcilers of Brokers and Triggers share: the connections
// to RabbitMQ, the replicas that are ready, and the features of Knative Eventing.
package plane

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"knative.dev/eventing/pkg/auth"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/connection"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// Service of the event plane in the operator's namespace.
const Service = lambda.BrokerService

// CertificateSecret in the operator's namespace has the certificate of the ingress and
// its CA, as cert-manager writes it.
const CertificateSecret = "knative-lambda-broker-tls"

// FeaturesNamespace has the ConfigMap config-features of Knative Eventing.
const FeaturesNamespace = "knative-eventing"

// named selects one object.
func named(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	}
}

func labelled(selector string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) { o.LabelSelector = selector }
}

// filtered is a factory of informers that see only what is selected.
func filtered(kube kubernetes.Interface, resync time.Duration, namespace string, selected func(*metav1.ListOptions)) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(kube, resync, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(selected), informers.WithTransform(stripManagedFields))
}

// stripManagedFields is a cache.TransformFunc. Unlike cachetransform.Strip it keeps the
// data of ConfigMaps, which is what these caches are for.
func stripManagedFields(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

// Informers of what injection does not have, or only for the whole cluster.
type Informers struct {
	// EndpointSlices of the event plane.
	EndpointSlices cache.SharedIndexInformer
	// Certificate is the Secret of the ingress's certificate.
	Certificate cache.SharedIndexInformer
	// Features is the ConfigMap of eventing's features.
	Features cache.SharedIndexInformer
	// Connections is the Secret with the connections of Brokers. Follow starts it.
	Connections cache.SharedIndexInformer
	// Identities are the ServiceAccounts of Triggers.
	Identities cache.SharedIndexInformer

	factories []informers.SharedInformerFactory
}

// NewInformers returns informers that Start starts.
func NewInformers(kube kubernetes.Interface, resync time.Duration, namespace string) *Informers {
	endpoints := filtered(kube, resync, namespace, labelled(discoveryv1.LabelServiceName+"="+Service))
	certificate := filtered(kube, resync, namespace, named(CertificateSecret))
	features := filtered(kube, resync, FeaturesNamespace, named("config-features"))
	identities := filtered(kube, resync, metav1.NamespaceAll, labelled(auth.OIDCLabelSelector))
	return &Informers{
		EndpointSlices: endpoints.Discovery().V1().EndpointSlices().Informer(),
		Certificate:    certificate.Core().V1().Secrets().Informer(),
		Features:       features.Core().V1().ConfigMaps().Informer(),
		Connections:    connection.NewInformer(kube, namespace),
		Identities:     identities.Core().V1().ServiceAccounts().Informer(),
		factories:      []informers.SharedInformerFactory{endpoints, certificate, features, identities},
	}
}

// Start the informers and wait until their caches are filled.
func (i *Informers) Start(ctx context.Context) {
	for _, f := range i.factories {
		f.Start(ctx.Done())
	}
	for _, f := range i.factories {
		f.WaitForCacheSync(ctx.Done())
	}
}

// caCerts of the ingress, nil where it has no certificate.
func caCerts(secrets cache.Store) *string {
	for _, obj := range secrets.List() {
		if s, ok := obj.(*corev1.Secret); ok && len(s.Data["ca.crt"]) > 0 {
			ca := string(s.Data["ca.crt"])
			return &ca
		}
	}
	return nil
}
