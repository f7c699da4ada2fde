package references

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/metadata/metadatalister"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/tracker"

	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/cachetransform"
)

// patience with the first list of what pods may refer to: functions and agents run without
// the right to list Secrets, too.
const patience = time.Minute

// Referred is a cache of what pods may refer to: metadata only.
type Referred struct {
	metadatalister.Lister
	// Synced reports whether it is filled: never where an administrator does not let
	// the controller list Secrets.
	Synced func() bool
}

// Objects that pods may refer to, by kind.
type Objects map[string]Referred

// Watcher fills the caches. The controllers of a process share one.
type Watcher struct {
	client metadata.Interface

	mu        sync.Mutex
	objects   Objects
	informers map[string]cache.SharedIndexInformer
}

// NewWatcher returns one that lists with the client.
func NewWatcher(client metadata.Interface) *Watcher { return &Watcher{client: client} }

type watcherKey struct{}

func init() {
	injection.Default.RegisterClient(func(ctx context.Context, cfg *rest.Config) context.Context {
		return context.WithValue(ctx, watcherKey{}, NewWatcher(metadata.NewForConfigOrDie(cfg)))
	})
}

// Get returns the process's.
func Get(ctx context.Context) *Watcher {
	w, ok := ctx.Value(watcherKey{}).(*Watcher)
	if !ok {
		logging.FromContext(ctx).Panic("Unable to fetch the watcher of references from context.")
	}
	return w
}

// Watch passes changes on to the tracker. Nothing of a Secret or a ConfigMap but its
// metadata is asked for, and of that only who and which version it is stays.
func (w *Watcher) Watch(ctx context.Context, tracked tracker.Interface) Objects {
	w.mu.Lock()
	defer w.mu.Unlock()
	var factory metadatainformer.SharedInformerFactory // nil: it has been started
	if w.objects == nil {
		factory = metadatainformer.NewSharedInformerFactory(w.client, controller.GetResyncPeriod(ctx))
		w.objects, w.informers = Objects{}, map[string]cache.SharedIndexInformer{}
		for kind, resource := range map[string]string{KindSecret: "secrets", KindConfigMap: "configmaps"} {
			gvr := corev1.SchemeGroupVersion.WithResource(resource)
			informer := factory.ForResource(gvr).Informer()
			if err := informer.SetTransform(cachetransform.Strip); err != nil {
				logging.FromContext(ctx).Fatalw("A cache would keep what must not be kept", "error", err)
			}
			w.informers[kind], w.objects[kind] = informer, Referred{metadatalister.New(informer.GetIndexer(), gvr), informer.HasSynced}
		}
	}
	for kind := range w.informers {
		w.observe(ctx, kind, controller.EnsureTypeMeta(tracked.OnChanged, corev1.SchemeGroupVersion.WithKind(kind)))
	}
	if factory != nil {
		start(ctx, factory)
	}
	return w.objects
}

// Observe calls with the metadata of each object of a kind that changes. Watch must have
// been called.
func (w *Watcher) Observe(ctx context.Context, kind string, changed func(any)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observe(ctx, kind, changed)
}

// observe calls with the metadata of each object of a kind that changes. mu is held.
func (w *Watcher) observe(ctx context.Context, kind string, changed func(any)) {
	if _, err := w.informers[kind].AddEventHandler(controller.HandleAll(changed)); err != nil {
		logging.FromContext(ctx).Errorw("Changes of a kind will not be observed", "kind", kind, "error", err)
	}
}

func start(ctx context.Context, factory metadatainformer.SharedInformerFactory) {
	factory.Start(ctx.Done())
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for resource, synced := range factory.WaitForCacheSync(bounded.Done()) {
		if !synced {
			logging.FromContext(ctx).Warnf("%s cannot be listed: their changes roll no new revisions: let the controller list and watch them", resource.Resource)
		}
	}
}

// Note returns a hash over the versions of what the references lead to, which is empty if
// nothing is there, and the first that leads nowhere and must not. Whatever becomes of any
// of them enqueues the owner.
func (o Objects) Note(owner metav1.Object, tracked tracker.Interface, all []Reference) (versions string, missing *Reference, err error) {
	var seen strings.Builder
	for i, ref := range all {
		object := tracker.Reference{APIVersion: "v1", Kind: ref.Kind, Namespace: owner.GetNamespace(), Name: ref.Name}
		if err := tracked.TrackReference(object, owner); err != nil { // before it is looked at
			return "", nil, fmt.Errorf("failed to track %s %q: %w", ref.Kind, ref.Name, err)
		}
		known := o[ref.Kind]
		if !known.Synced() { // it is Kubernetes that says what is missing, of the pods
			continue
		}
		found, err := known.Namespace(owner.GetNamespace()).Get(ref.Name)
		switch {
		case apierrs.IsNotFound(err) && !ref.Optional && missing == nil:
			missing = &all[i]
		case err != nil && !apierrs.IsNotFound(err):
			return "", nil, fmt.Errorf("failed to get %s %q: %w", ref.Kind, ref.Name, err)
		case err == nil:
			fmt.Fprintf(&seen, "%s/%s %s %s\n", ref.Kind, ref.Name, found.UID, found.ResourceVersion)
		}
	}
	if seen.Len() == 0 {
		return "", missing, nil
	}
	return build.Hash(seen.String()), missing, nil
}
