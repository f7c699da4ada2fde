package dispatch

import (
	"k8s.io/apimachinery/pkg/types"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/filter"
)

// compiled filter of one generation of a Trigger. A Trigger without a queue has none: no
// event is judged by it.
type compiled struct {
	uid        types.UID
	generation int64
	filter     *filter.Filter
	err        error
}

// is the filter of a Trigger as it is.
func (c compiled) is(t *eventingv1.Trigger) bool {
	done := c.filter != nil || c.err != nil
	return c.uid == t.UID && c.generation == t.Generation && (done || assignment.Of(t).Queue == "")
}

// compile the filter of a Trigger, unless it is in use. That takes long for large filters,
// so that it is called without a lock.
func (d *Dispatcher) compile(t *eventingv1.Trigger) compiled {
	if s := d.subscription(t.UID); s != nil && s.filter.is(t) {
		return s.filter
	}
	c := compiled{uid: t.UID, generation: t.Generation}
	if assignment.Of(t).Queue != "" {
		c.filter, c.err = filter.New(&t.Spec)
	}
	return c
}
