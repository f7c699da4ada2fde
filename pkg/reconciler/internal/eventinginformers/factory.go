// Package eventinginformers lets the operator start on clusters without Knative
// Eventing.
//
// Eventing's generated reconcilers get their informers from injection, which starts
// all of them and waits until their caches are filled. An informer of a kind that the
// API server does not serve would wait forever, and with it every reconciler of the
// process. This package replaces injection's factory by one whose informers wait for
// their kind without holding others up.
package eventinginformers

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"knative.dev/eventing/pkg/client/clientset/versioned/scheme"
	"knative.dev/eventing/pkg/client/informers/externalversions"
	"knative.dev/eventing/pkg/client/informers/externalversions/eventing"
	"knative.dev/eventing/pkg/client/informers/externalversions/internalinterfaces"
	"knative.dev/eventing/pkg/client/injection/informers/factory"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/optional"
)

// Importing eventing's factory runs its registration first: this one replaces what
// that puts on the context.
func init() {
	injection.Default.RegisterInformerFactory(func(ctx context.Context) context.Context {
		return context.WithValue(ctx, factory.Key{}, &optionalFactory{
			SharedInformerFactory: factory.Get(ctx),
			discovery:             kubeclient.Get(ctx).Discovery(),
			informers:             map[schema.GroupVersionKind]*Informer{},
			log:                   logging.FromContext(ctx),
		})
	})
}

// optionalFactory makes Informers of the kinds of group eventing.knative.dev.
type optionalFactory struct {
	externalversions.SharedInformerFactory
	discovery optional.Discovery
	informers map[schema.GroupVersionKind]*Informer // set up by one goroutine
	log       logger
}

// logger is what of a SugaredLogger is needed.
type logger interface {
	Infow(msg string, keysAndValues ...any)
	Errorw(msg string, keysAndValues ...any)
}

// Eventing implements SharedInformerFactory.
func (f *optionalFactory) Eventing() eventing.Interface { return eventing.New(f, "", nil) }

// InformerFor implements SharedInformerFactory.
func (f *optionalFactory) InformerFor(obj runtime.Object, newInformer internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	kinds, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil || len(kinds) == 0 {
		return f.SharedInformerFactory.InformerFor(obj, newInformer)
	}
	if i := f.informers[kinds[0]]; i != nil {
		return i
	}
	i := newOptional(f.SharedInformerFactory.InformerFor(obj, newInformer), kinds[0], f.discovery, f.log)
	if err := i.SetTransform(cachetransform.Strip); err != nil {
		f.log.Errorw("The cache of a kind is larger than it needs to be", "kind", kinds[0].Kind, "error", err)
	}
	f.informers[kinds[0]] = i
	return i
}
