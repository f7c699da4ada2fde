package trigger

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/lru"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/delivery"
	"github.com/brunovlucena/knative-lambda-operator/internal/broker/filter"
)

const (
	// maxTriggers with a queue in one namespace, which every replica holds in memory and
	// consumes.
	maxTriggers = 500
	// retryTooMany is when a Trigger tries again that was one too many.
	retryTooMany = time.Minute
	// maxVerdicts is how many Triggers' filters are not compiled again.
	maxVerdicts = 10_000
)

// validity says what keeps dispatchers from consuming the queue of a Trigger, by its spec.
type validity struct {
	// verdicts on filters by the UID of the Trigger: compiling them takes long.
	verdicts *lru.Cache
}

type verdict struct {
	generation int64
	err        error
}

func newValidity() *validity { return &validity{lru.New(maxVerdicts)} }

// check a Trigger and the delivery spec of its Broker. The reason is for a condition.
func (v *validity) check(b *eventingv1.Broker, t *eventingv1.Trigger) (reason string, err error) {
	if err := v.filter(t); err != nil {
		return ReasonInvalidFilter, err
	}
	spec := t.Spec.Delivery
	if spec == nil {
		spec = b.Spec.Delivery
	}
	if _, err := delivery.PolicyOf(spec); err != nil {
		return ReasonInvalidDelivery, err
	}
	return "", nil
}

func (v *validity) filter(t *eventingv1.Trigger) error {
	if known, ok := v.verdicts.Get(t.UID); ok {
		if is, ok := known.(verdict); ok && is.generation == t.Generation {
			return is.err
		}
	}
	_, err := filter.New(&t.Spec)
	v.verdicts.Add(t.UID, verdict{t.Generation, err})
	return err
}

// mayHaveMore Triggers a namespace? Those that have a queue keep it.
func (r *Reconciler) mayHaveMore(namespace string) bool {
	all, err := r.triggers.Triggers(namespace).List(labels.Everything())
	if err != nil || len(all) < maxTriggers {
		return true // a cache does not fail
	}
	n := 0
	for _, t := range all {
		if assignment.Of(t).Queue != "" {
			n++
		}
	}
	return n < maxTriggers
}
