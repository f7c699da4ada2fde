package eventinginformers

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/optional"
)

// interval at which the API server is asked for a kind that it does not serve.
const interval = 20 * time.Second

// startTimeout is how long the process waits for the first list of a kind. Later, a
// missing right holds up only what needs the kind.
const startTimeout = time.Minute

// Informer of a kind that the cluster may not have. It starts when the API server
// serves the kind.
type Informer struct {
	cache.SharedIndexInformer
	resource  schema.GroupVersionResource
	discovery optional.Discovery
	log       logger
	interval  time.Duration

	// released lets the process start without the kind.
	released atomic.Bool
}

func newOptional(informer cache.SharedIndexInformer, kind schema.GroupVersionKind, d optional.Discovery, log logger) *Informer {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return &Informer{SharedIndexInformer: informer, resource: resource, discovery: d, log: log, interval: interval}
}

// HasSynced implements SharedIndexInformer. It is also true while the cluster does not
// have the kind, so that the process starts; Filled says whether the cache can be
// relied on.
func (i *Informer) HasSynced() bool { return i.released.Load() || i.Filled() }

// Filled says whether the cache has every object of the kind.
func (i *Informer) Filled() bool { return i.SharedIndexInformer.HasSynced() }

// Run implements SharedIndexInformer.
func (i *Informer) Run(stop <-chan struct{}) { i.RunWithContext(wait.ContextForChannel(stop)) }

// RunWithContext implements SharedIndexInformer.
func (i *Informer) RunWithContext(ctx context.Context) {
	if !i.served() {
		i.released.Store(true)
		i.log.Infow("A kind of Knative Eventing is not installed: looking for it again", "resource", i.resource.String(), "interval", i.interval)
		if wait.PollUntilContextCancel(ctx, i.interval, false, func(context.Context) (bool, error) { return i.served(), nil }) != nil {
			return
		}
	}
	time.AfterFunc(startTimeout, func() {
		if !i.Filled() && ctx.Err() == nil {
			i.released.Store(true)
			i.log.Errorw("A kind of Knative Eventing cannot be listed: see the rights of the controller", "resource", i.resource.String())
		}
	})
	i.SharedIndexInformer.RunWithContext(ctx)
}

func (i *Informer) served() bool {
	served, err := optional.Served(i.discovery, i.resource)
	if err != nil {
		i.log.Errorw("Failed to find out whether a kind is installed", "resource", i.resource.String(), "error", err)
	}
	return served
}

// Filled says whether the informer's cache has every object of its kind. Informers of
// kinds that every cluster has are filled before reconcilers start.
func Filled(informer cache.SharedIndexInformer) bool {
	if i, ok := informer.(*Informer); ok {
		return i.Filled()
	}
	return informer.HasSynced()
}
