package trigger

import (
	"slices"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// ownership says whether a Trigger is this controller's.
type ownership int

const (
	// foreign Triggers are of a Broker of another class, or of none, and were never of
	// this one's.
	foreign ownership = iota
	// owned Triggers are of a Broker of this class, or were when it was deleted.
	owned
	// left Triggers were of this class, and are of another one now.
	left
)

// owners decides which Triggers are this controller's. A Trigger has no class: that of
// its Broker counts.
type owners struct{ brokers eventinglisters.BrokerLister }

func brokerOf(t *eventingv1.Trigger) types.NamespacedName {
	if ref := t.Spec.BrokerRef; ref != nil && ref.Name != "" {
		namespace := ref.Namespace
		if namespace == "" {
			namespace = t.Namespace
		}
		return types.NamespacedName{Namespace: namespace, Name: ref.Name}
	}
	return types.NamespacedName{Namespace: t.Namespace, Name: t.Spec.Broker}
}

// broker of a Trigger, nil if there is none or it is being deleted.
func (o *owners) broker(t *eventingv1.Trigger) (*eventingv1.Broker, error) {
	key := brokerOf(t)
	b, err := o.brokers.Brokers(key.Namespace).Get(key.Name)
	if apierrs.IsNotFound(err) {
		return nil, nil
	}
	return b, err
}

func (o *owners) of(t *eventingv1.Trigger) ownership {
	finalized := slices.Contains(t.Finalizers, lambda.TriggerFinalizer)
	b, err := o.broker(t)
	switch {
	case err != nil, b == nil:
		if finalized {
			return owned
		}
		return foreign
	case assignment.Serves(b):
		return owned
	case !finalized:
		return foreign
	case t.DeletionTimestamp != nil:
		return owned
	}
	return left
}

// concerns is a filter of event handlers: it passes Triggers that a reconcile may touch.
func (o *owners) concerns(obj any) bool {
	t, ok := obj.(*eventingv1.Trigger)
	return ok && o.of(t) != foreign
}
