package measure

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

// objects of a kind.
type objects struct {
	kind       attribute.KeyValue
	store      cache.Store
	leads      func(types.NamespacedName) bool
	clock      clock.PassiveClock
	namespaces *metrics.Open
	took       metric.Float64Histogram

	mu sync.Mutex
	// pursued are the objects whose newest spec is not Ready yet, or was once.
	pursued map[types.UID]pursuit
}

// pursuit of being Ready.
type pursuit struct {
	generation int64
	since      time.Time
	ended      bool
}

// Objects measures how many objects of the informer's kind have which conditions, and
// how long they take to be Ready: of those that this replica leads, so that the sum
// over all replicas is right.
func Objects(kind string, informer cache.SharedIndexInformer, leads func(types.NamespacedName) bool) error {
	meter := otel.Meter(Scope)
	took, err := metrics.ReadyDuration.Float64Histogram(meter)
	if err != nil {
		return err
	}
	o := &objects{kind: metrics.KindLabel.Of(kind), store: informer.GetStore(), leads: leads, clock: clock.RealClock{},
		namespaces: metrics.NamespaceLabel.Open(), took: took, pursued: map[types.UID]pursuit{}}
	if err := metrics.Objects.ObserveInt64Gauge(meter, o.count); err != nil {
		return err
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    o.changed,
		UpdateFunc: func(_, obj any) { o.changed(obj) },
		DeleteFunc: o.gone,
	})
	return err
}

// count tells metrics.Objects.
func (o *objects) count(_ context.Context, to metric.Int64Observer) error {
	type series struct {
		namespace string
		condition apis.ConditionType
		status    corev1.ConditionStatus
	}
	counts := map[series]int64{}
	for _, obj := range o.store.List() {
		object, ok := obj.(duckv1.KRShaped)
		if !ok {
			continue
		}
		if !o.leads(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}) {
			continue
		}
		namespace := o.namespaces.Bound(object.GetNamespace())
		for _, c := range object.GetStatus().Conditions {
			counts[series{namespace, c.Type, c.Status}]++
		}
	}
	for s, n := range counts {
		to.Observe(n, metrics.Set(o.kind, o.namespaces.Of(s.namespace), metrics.ConditionLabel.Of(string(s.condition)), metrics.StatusLabel.Of(string(s.status))))
	}
	return nil
}

// changed looks whether an object has become Ready with its newest spec. What was
// looked at by another process has no known beginning and is not measured.
func (o *objects) changed(obj any) {
	object, ok := obj.(duckv1.KRShaped)
	if !ok {
		return
	}
	status, now := object.GetStatus(), o.clock.Now()
	observed := status.ObservedGeneration == object.GetGeneration()
	o.mu.Lock()
	defer o.mu.Unlock()
	p, known := o.pursued[object.GetUID()]
	switch {
	case !known && status.ObservedGeneration == 0:
		// The API keeps whole seconds of the creation.
		p = pursuit{generation: object.GetGeneration(), since: earlier(now, object.GetCreationTimestamp().Add(time.Second))}
	case !known:
		p = pursuit{generation: object.GetGeneration(), since: now, ended: observed}
	case p.generation != object.GetGeneration():
		p = pursuit{generation: object.GetGeneration(), since: now}
	}
	ready := status.GetCondition(apis.ConditionReady)
	if !p.ended && observed && ready.IsTrue() {
		p.ended = true
		if o.leads(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}) {
			change := "updated"
			if p.generation == 1 {
				change = "created"
			}
			o.took.Record(context.Background(), now.Sub(p.since).Seconds(), metrics.Set(o.kind, metrics.ChangeLabel.Of(change)))
		}
	}
	o.pursued[object.GetUID()] = p
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (o *objects) gone(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	if object, ok := obj.(duckv1.KRShaped); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.pursued, object.GetUID())
	}
}
