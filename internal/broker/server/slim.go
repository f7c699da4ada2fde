package server

import (
	"maps"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/filtersize"
)

const (
	// maxAnnotation is how long an annotation of a Trigger is that is looked up, in bytes.
	maxAnnotation = 4 << 10
	// tooLarge stands for filters that exceed the bounds. It is no expression, so that no
	// event is judged by it. The conditions of the Trigger name what is wrong.
	tooLarge = "the filters of this Trigger are too large"
)

// slimTrigger drops what is too large to be of use: a tenant may store a megabyte in each
// Trigger, and every replica keeps all of them.
func slimTrigger(t *eventingv1.Trigger) {
	if filtersize.Trigger(&t.Spec) != nil {
		t.Spec.Filter, t.Spec.Filters = nil, []eventingv1.SubscriptionsAPIFilter{{CESQL: tooLarge}}
	}
	long := func(_, value string) bool { return len(value) > maxAnnotation }
	maps.DeleteFunc(t.Annotations, long)
	maps.DeleteFunc(t.Status.Annotations, long)
}
