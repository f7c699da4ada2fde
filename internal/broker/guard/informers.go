package guard

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	lambdainformers "github.com/brunovlucena/knative-lambda-operator/pkg/client/informers/externalversions/lambda/v1alpha1"
)

// noResync: what the caches hold is only looked up.
const noResync = 0

// Clients of the API server.
type Clients struct {
	Kube     kubernetes.Interface
	Metadata metadata.Interface
	Lambda   lambdaclientset.Interface
}

// Watch Services, pods behind them, and what their owners allow. The caches are complete
// when it returns; ctx bounds how long that takes, and the informers run as long as running
// does. They keep some 1 KB for each Service and 200 B for each pod.
func Watch(running, ctx context.Context, clients Clients, brokers eventinglisters.BrokerLister) (Cluster, error) {
	kube := informers.NewSharedInformerFactoryWithOptions(clients.Kube, noResync, informers.WithTransform(strip))
	services, slices := kube.Core().V1().Services().Informer(), kube.Discovery().V1().EndpointSlices().Informer()
	agents := lambdainformers.NewLambdaAgentInformer(clients.Lambda, metav1.NamespaceAll, noResync, cache.Indexers{})
	objects := metadatainformer.NewSharedInformerFactoryWithOptions(clients.Metadata, noResync, metadatainformer.WithTransform(strip))
	metadataOf := func(r schema.GroupVersionResource) cache.SharedIndexInformer {
		return objects.ForResource(r).Informer()
	}
	namespaces := metadataOf(corev1.SchemeGroupVersion.WithResource("namespaces"))
	functions := metadataOf(v1alpha1.SchemeGroupVersion.WithResource(lambda.LambdaFunctionResource.Resource))
	all := []cache.SharedIndexInformer{services, slices, agents, namespaces, functions}
	c := &caches{
		services: services.GetIndexer(), slices: slices.GetIndexer(), agents: agents.GetIndexer(),
		namespaces: namespaces.GetIndexer(), functions: functions.GetIndexer(), brokers: brokers,
	}
	switch installed, err := hasKnativeServices(clients.Kube); {
	case err != nil:
		return nil, err
	case installed:
		knative := metadataOf(knativeServices)
		c.knative, all = knative.GetIndexer(), append(all, knative)
	}
	if err := errors.Join(services.AddIndexers(serviceIndexers), slices.AddIndexers(sliceIndexers), agents.SetTransform(strip)); err != nil {
		return nil, err
	}
	kube.Start(running.Done())
	objects.Start(running.Done())
	go agents.Run(running.Done())
	for _, i := range all {
		if !cache.WaitForCacheSync(ctx.Done(), i.HasSynced) {
			return nil, errors.New("the caches of deliveries' targets are not complete: check that the ServiceAccount may list them")
		}
	}
	return c, nil
}

var knativeServices = schema.GroupVersionResource{Group: serving.GroupName, Version: "v1", Resource: "services"}

func hasKnativeServices(kube kubernetes.Interface) (bool, error) {
	_, err := kube.Discovery().ServerResourcesForGroupVersion(knativeServices.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot find out whether Knative Serving is installed: %w", err)
	}
	return true, nil
}

// anySelector stands for any selector that is not empty.
var anySelector = map[string]string{"": ""}

// strip an object to what is looked up.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Service:
		spec := corev1.ServiceSpec{Type: o.Spec.Type, ExternalName: o.Spec.ExternalName, ClusterIP: o.Spec.ClusterIP, ClusterIPs: o.Spec.ClusterIPs}
		if len(o.Spec.Selector) > 0 {
			spec.Selector = anySelector
		}
		return &corev1.Service{ObjectMeta: stripMeta(o, serving.ServiceLabelKey), Spec: spec}, nil
	case *discoveryv1.EndpointSlice:
		meta := stripMeta(o, discoveryv1.LabelServiceName, discoveryv1.LabelManagedBy)
		meta.OwnerReferences = nil
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta}
		var addresses []string // one endpoint is enough for all
		for i := range o.Endpoints {
			addresses = append(addresses, o.Endpoints[i].Addresses...)
		}
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: addresses}}
		return slice, nil
	case *v1alpha1.LambdaAgent:
		a := &v1alpha1.LambdaAgent{ObjectMeta: stripMeta(o)}
		if e := o.Spec.Eventing; e != nil {
			a.Spec.Eventing = &v1alpha1.AgentEventing{AllowedSourceNamespaces: e.AllowedSourceNamespaces}
		}
		return a, nil
	case *metav1.PartialObjectMetadata:
		return &metav1.PartialObjectMetadata{TypeMeta: o.TypeMeta, ObjectMeta: stripMeta(o)}, nil
	}
	return object, nil
}

// stripMeta keeps the names, the controller, what is allowed, and some labels.
func stripMeta(o metav1.Object, labels ...string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion()}
	if owner := metav1.GetControllerOf(o); owner != nil {
		meta.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	if allowed, ok := o.GetAnnotations()[lambda.AllowedSourceNamespacesAnnotationKey]; ok {
		meta.Annotations = map[string]string{lambda.AllowedSourceNamespacesAnnotationKey: allowed}
	}
	for _, key := range labels {
		if value, ok := o.GetLabels()[key]; ok {
			if meta.Labels == nil {
				meta.Labels = map[string]string{}
			}
			meta.Labels[key] = value
		}
	}
	return meta
}
