// Package optional has informers of kinds that a cluster may not have. They
// start as soon as the API server serves the kinds; nothing waits for them.
package optional

import (
	"context"
	"fmt"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/logging"
)

// interval at which the API server is asked for kinds that are not there.
var interval = 20 * time.Second

// patience with the first list of kinds that are there.
const patience = time.Minute

// Discovery is what of a discovery client is needed. It may be called by every
// authenticated user of a cluster.
type Discovery interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// Kinds are used together or not at all.
type Kinds struct {
	// Name for a person.
	Name string
	// Resources that the API server must serve.
	Resources []schema.GroupVersionResource
	// Start starts their informers and returns when the caches are filled.
	Start func(context.Context) error
	// Found is called after Start, where they were not there at first.
	Found func()
}

// Run starts those kinds that are there before it returns, and the others later,
// when they appear.
func Run(ctx context.Context, d Discovery, all ...Kinds) {
	for _, k := range all {
		if k.try(ctx, d) {
			continue
		}
		logging.FromContext(ctx).Infof("%s is not installed: looking for it again every %v", k.Name, interval)
		go wait.PollUntilContextCancel(ctx, interval, false, func(ctx context.Context) (bool, error) { //nolint:errcheck // ends with the program
			if !k.try(ctx, d) {
				return false, nil
			}
			k.Found()
			return true, nil
		})
	}
}

// try starts the kinds if they are there, and tells whether it did.
func (k *Kinds) try(ctx context.Context, d Discovery) bool {
	logger := logging.FromContext(ctx)
	there, err := served(d, k.Resources)
	if err != nil {
		logger.Errorw("Failed to find out whether "+k.Name+" is installed", "error", err)
	}
	if !there {
		return false
	}
	running, stop := context.WithCancel(ctx)
	context.AfterFunc(ctx, stop)
	if err := k.Start(running); err != nil {
		stop()
		logger.Errorw("Failed to read the kinds of "+k.Name, "error", err)
		return false
	}
	logger.Info("Using " + k.Name)
	return true
}

// Served says whether the API server serves the resources.
func Served(d Discovery, resources ...schema.GroupVersionResource) (bool, error) {
	return served(d, resources)
}

func served(d Discovery, resources []schema.GroupVersionResource) (bool, error) {
	lists := map[string]map[string]bool{}
	for _, r := range resources {
		version := r.GroupVersion().String()
		if lists[version] == nil {
			list, err := d.ServerResourcesForGroupVersion(version)
			if apierrs.IsNotFound(err) {
				return false, nil
			} else if err != nil {
				return false, err
			}
			names := map[string]bool{}
			for i := range list.APIResources {
				names[list.APIResources[i].Name] = true
			}
			lists[version] = names
		}
		if !lists[version][r.Resource] {
			return false, nil
		}
	}
	return true, nil
}

// Factory is a generated SharedInformerFactory.
type Factory interface {
	Start(stop <-chan struct{})
}

// Sync starts a factory's informers and waits until the caches are filled: wait is
// the factory's WaitForCacheSync. It gives up after a while, so that rights that are
// missing do not hold up what needs none of these kinds.
func Sync[K comparable](ctx context.Context, f Factory, waitFor func(<-chan struct{}) map[K]bool) error {
	f.Start(ctx.Done())
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for kind, synced := range waitFor(bounded.Done()) {
		if !synced {
			return fmt.Errorf("%v could not be listed within %v", kind, patience)
		}
	}
	return nil
}
