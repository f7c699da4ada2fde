package plane

import (
	"context"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"knative.dev/eventing/pkg/apis/feature"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// Configuration puts this project's configuration and eventing's features on the
// context of each reconcile. Those features are in eventing's namespace, which the
// process's own ConfigMap watcher does not watch.
type Configuration struct {
	Config *config.Store

	features atomic.Pointer[feature.Flags]
}

// ToContext implements reconciler.ConfigStore.
func (c *Configuration) ToContext(ctx context.Context) context.Context {
	if c.Config != nil {
		ctx = c.Config.ToContext(ctx)
	}
	return feature.ToContext(ctx, c.Features())
}

// Features of Knative Eventing, its defaults while the ConfigMap is not known.
func (c *Configuration) Features() feature.Flags {
	if f := c.features.Load(); f != nil {
		return *f
	}
	return feature.FromContextOrDefaults(context.Background())
}

// Handler keeps the features of each version of config-features, and calls changed
// after each. A version that cannot be parsed leaves the earlier ones in force.
func (c *Configuration) Handler(changed func(), invalid func(error)) cache.ResourceEventHandler {
	set := func(obj any) {
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return
		}
		flags, err := feature.NewFlagsConfigFromConfigMap(cm)
		if err != nil {
			invalid(err)
			return
		}
		c.features.Store(&flags)
		changed()
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: set, UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(any) { c.features.Store(nil); changed() },
	}
}
