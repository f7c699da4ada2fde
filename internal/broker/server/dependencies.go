package server

import (
	"context"
	"fmt"
	"reflect"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	eventinginformers "knative.dev/eventing/pkg/client/informers/externalversions/eventing/v1"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	"knative.dev/eventing/pkg/eventingtls"

	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
)

const (
	// resync of informers is off: what they hold is only looked up.
	resync = 0
	// lastApplied is as long as the object, and never looked up here.
	lastApplied = corev1.LastAppliedConfigAnnotation
)

// Dependencies of the ingress and the dispatcher.
type Dependencies struct {
	Engine  Engine
	Budget  *budget.Budget
	Clients Clients
	Meters  metric.MeterProvider
	Traces  trace.TracerProvider

	Brokers  eventinginformers.BrokerInformer
	Triggers eventinginformers.TriggerInformer
	Policies policylisters.EventPolicyLister
	// TrustBundles are the CA certificates that the cluster trusts.
	TrustBundles corev1listers.ConfigMapNamespaceLister
	// ConfigMaps of Knative Eventing.
	eventing informers.SharedInformerFactory
}

// watch fills the caches, until ctx ends. The informers run as long as running does.
func (d *Dependencies) watch(running, ctx context.Context, eventingNamespace string) error {
	kinds := externalversions.NewSharedInformerFactoryWithOptions(d.Clients.Eventing, resync, externalversions.WithTransform(slim))
	d.Brokers, d.Triggers = kinds.Eventing().V1().Brokers(), kinds.Eventing().V1().Triggers()
	d.Policies = kinds.Eventing().V1alpha1().EventPolicies().Lister()
	d.Brokers.Informer()
	d.Triggers.Informer()
	bundles := informers.NewSharedInformerFactoryWithOptions(d.Clients.Kube, resync, informers.WithNamespace(eventingNamespace), informers.WithTransform(slim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = eventingtls.TrustBundleLabelSelector }))
	d.TrustBundles = bundles.Core().V1().ConfigMaps().Lister().ConfigMaps(eventingNamespace)
	kinds.Start(running.Done())
	bundles.Start(running.Done())
	return synced(kinds.WaitForCacheSync(ctx.Done()), bundles.WaitForCacheSync(ctx.Done()))
}

func synced(caches ...map[reflect.Type]bool) error {
	for _, of := range caches {
		for kind, ok := range of {
			if !ok {
				return fmt.Errorf("the cache of %v is not complete: check that Knative Eventing is installed and that the ServiceAccount may list it", kind)
			}
		}
	}
	return nil
}

// slim drops what is never looked up: who changed which field, and the object as it was
// applied.
func slim(object any) (any, error) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		return unknown, nil
	}
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
		if annotations := o.GetAnnotations(); annotations[lastApplied] != "" {
			delete(annotations, lastApplied)
			o.SetAnnotations(annotations)
		}
	}
	return object, nil
}
