// Package cachetransform keeps out of the informers' caches what no reconciler
// reads.
package cachetransform

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Strip is a cache.TransformFunc: managedFields are 25 to 30 % of an object
// and nobody here reads them; of a Pod only metadata, the container's names and
// the status matter to a build; of a ConfigMap its data never does; of what is only
// referred to, who and which version it is.
func Strip(obj any) (any, error) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return tombstone, nil
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return obj, nil //nolint:nilerr // not an API object: nothing to strip
	}
	accessor.SetManagedFields(nil)
	switch o := obj.(type) {
	case *metav1.PartialObjectMetadata:
		// kubectl's annotation of what was last applied has a Secret's values in it.
		o.Annotations, o.Labels, o.OwnerReferences, o.Finalizers = nil, nil, nil, nil
	case *corev1.Pod:
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName}
	case *corev1.ConfigMap:
		o.Data, o.BinaryData = nil, nil
	}
	return obj, nil
}
