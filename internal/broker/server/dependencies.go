package server

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	eventinginformers "knative.dev/eventing/pkg/client/informers/externalversions/eventing/v1"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	"knative.dev/eventing/pkg/eventingtls"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/budget"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/calls"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
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
	Clients Clients
	// Connections besides that of Engine.
	Connections *ownConnections
	// Replica is the name of this one among the others.
	Replica string
	// Requests of senders and Deliveries to subscribers have a budget each: subscribers
	// that hang keep no sender out.
	Requests, Deliveries *budget.Budget
	Meters               metric.MeterProvider
	Traces               trace.TracerProvider

	Brokers  eventinginformers.BrokerInformer
	Triggers eventinginformers.TriggerInformer
	Policies policylisters.EventPolicyLister
	// TrustBundles are the CA certificates that the cluster trusts.
	TrustBundles corev1listers.ConfigMapNamespaceLister
	// Permit decides where events may be delivered, and where connections may lead.
	Permit delivery.Permit
	// Features of Knative Eventing.
	Features *features
}

// installed says whether the cluster has Brokers.
func (d *Dependencies) installed() (bool, error) {
	_, err := d.Clients.Eventing.Discovery().ServerResourcesForGroupVersion(eventingv1.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// watch fills the caches, until ctx ends. The informers run as long as running does.
func (d *Dependencies) watch(running, ctx context.Context, eventingNamespace string) error {
	kinds := externalversions.NewSharedInformerFactoryWithOptions(d.Clients.Eventing, resync, externalversions.WithTransform(slim))
	d.Brokers, d.Triggers = kinds.Eventing().V1().Brokers(), kinds.Eventing().V1().Triggers()
	d.Policies = kinds.Eventing().V1alpha1().EventPolicies().Lister()
	d.Brokers.Informer()
	if err := d.Triggers.Informer().AddIndexers(cache.Indexers{calls.Index: calls.IndexFunc}); err != nil {
		return err
	}
	kinds.Start(running.Done())
	if err := d.watchBundles(running, ctx, eventingNamespace); err != nil {
		return err
	}
	return synced(kinds.WaitForCacheSync(ctx.Done()))
}

// watchBundles of CA certificates. It is a right in another namespace, which an overlay
// grants: without it only the certificates that an address names are trusted.
func (d *Dependencies) watchBundles(running, ctx context.Context, namespace string) error {
	selected := func(o *metav1.ListOptions) { o.LabelSelector = eventingtls.TrustBundleLabelSelector }
	factory := informers.NewSharedInformerFactoryWithOptions(d.Clients.Kube, resync,
		informers.WithNamespace(namespace), informers.WithTransform(slim), informers.WithTweakListOptions(selected))
	d.TrustBundles = factory.Core().V1().ConfigMaps().Lister().ConfigMaps(namespace)
	options := metav1.ListOptions{Limit: 1}
	selected(&options)
	_, err := d.Clients.Kube.CoreV1().ConfigMaps(namespace).List(ctx, options)
	if apierrors.IsForbidden(err) {
		slog.Info("The CA certificates of the cluster are not used: the ServiceAccount may not list ConfigMaps", "namespace", namespace)
		return nil
	}
	if err != nil {
		return err
	}
	factory.Start(running.Done())
	return synced(factory.WaitForCacheSync(ctx.Done()))
}

func synced(caches ...map[reflect.Type]bool) error {
	for _, of := range caches {
		for kind, ok := range of {
			if !ok {
				return fmt.Errorf("the cache of %v is not complete: check that the ServiceAccount may list it", kind)
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
	if t, ok := object.(*eventingv1.Trigger); ok {
		slimTrigger(t)
	}
	return object, nil
}
