package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	informers "knative.dev/eventing/pkg/client/informers/externalversions/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
)

// Watch applies the Triggers of this project's Brokers to the dispatcher, now and at
// each change. It returns when all that exist are applied. The informers have to run.
func (d *Dispatcher) Watch(ctx context.Context, triggers informers.TriggerInformer, brokers informers.BrokerInformer) error {
	w := &watch{d: d, triggers: triggers, brokers: brokers}
	onBrokers, err := brokers.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: w.broker, DeleteFunc: w.broker, UpdateFunc: func(_, after any) { w.broker(after) },
	})
	if err != nil {
		return fmt.Errorf("cannot watch Brokers: %w", err)
	}
	// Triggers need their Brokers.
	if !cache.WaitForCacheSync(ctx.Done(), onBrokers.HasSynced) {
		return errNotSynced
	}
	onTriggers, err := triggers.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: w.trigger, DeleteFunc: w.deleted, UpdateFunc: w.updated,
	})
	if err != nil {
		return fmt.Errorf("cannot watch Triggers: %w", err)
	}
	if !cache.WaitForCacheSync(ctx.Done(), onTriggers.HasSynced) {
		return errNotSynced
	}
	return nil
}

var errNotSynced = errors.New("the caches of Brokers and Triggers are not complete: " +
	"check that Knative Eventing is installed and that the ServiceAccount may list them")

type watch struct {
	d        *Dispatcher
	triggers informers.TriggerInformer
	brokers  informers.BrokerInformer
	// mu keeps an older Trigger from being applied after a newer one: the informers call
	// from two goroutines. Filters are compiled without it.
	mu sync.Mutex
}

// broker applies the Triggers of a Broker.
func (w *watch) broker(object any) {
	if deleted, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = deleted.Obj
	}
	broker, ok := object.(*eventingv1.Broker)
	if !ok || !assignment.Serves(broker) {
		return
	}
	triggers, err := w.triggers.Lister().Triggers(broker.Namespace).List(labels.Everything())
	if err != nil {
		return // a lister fails for no reason
	}
	for _, t := range triggers {
		if t.Spec.Broker == broker.Name {
			w.trigger(t)
		}
	}
}

// trigger applies the newest state of a Trigger if its Broker is of this project's
// class. If the Broker does not exist, only a Trigger that has been served is concerned.
func (w *watch) trigger(object any) {
	named, ok := object.(*eventingv1.Trigger)
	if !ok {
		return
	}
	for {
		t, err := w.triggers.Lister().Triggers(named.Namespace).Get(named.Name)
		// It was deleted, which has an event of its own; or another generation is compiled.
		if err != nil || w.apply(t, w.d.compile(t)) {
			return
		}
	}
}

// apply the newest state of a Trigger. It returns false if the filter is of another state.
func (w *watch) apply(compiledOf *eventingv1.Trigger, c compiled) (applied bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, err := w.triggers.Lister().Triggers(compiledOf.Namespace).Get(compiledOf.Name)
	switch {
	case err != nil:
		return true
	case t.DeletionTimestamp != nil:
		w.d.Remove(t.UID)
		return true
	case !c.is(t):
		return false
	}
	broker, err := w.brokers.Lister().Brokers(t.Namespace).Get(t.Spec.Broker)
	switch {
	case apierrs.IsNotFound(err):
		if _, known := w.d.Queue(t.UID); known {
			w.d.apply(t, nil, c)
		}
	case err == nil && assignment.Serves(broker):
		w.d.apply(t, broker, c)
	}
	return true
}

// updated applies a Trigger, which may have been deleted and created with the same name
// in between.
func (w *watch) updated(before, after any) {
	old, _ := before.(*eventingv1.Trigger)
	if t, ok := after.(*eventingv1.Trigger); ok && old != nil && old.UID != t.UID {
		w.remove(old.UID)
	}
	w.trigger(after)
}

func (w *watch) deleted(object any) {
	if deleted, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = deleted.Obj
	}
	if t, ok := object.(*eventingv1.Trigger); ok {
		w.remove(t.UID)
	}
}

func (w *watch) remove(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.d.Remove(uid)
}
