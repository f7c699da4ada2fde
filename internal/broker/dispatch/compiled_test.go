package dispatch

import (
	"strings"
	"testing"
	"testing/synctest"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/assignment"
)

func expressions(n int) func(*eventingv1.Trigger) {
	return func(t *eventingv1.Trigger) {
		t.Spec.Filters = nil
		for range n {
			t.Spec.Filters = append(t.Spec.Filters, eventingv1.SubscriptionsAPIFilter{CESQL: "type LIKE '%o%' OR TRUE"})
		}
	}
}

// TestCompile_Once: a change of the status compiles nothing, and what exceeds the bounds is
// not compiled at all.
func TestCompile_Once(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.apply(expressions(3))
		first := f.d.subscription(f.trigger.UID).filter.filter
		changed := f.trigger.DeepCopy()
		changed.Status.SubscriberURI = nil
		f.d.Apply(changed, f.broker)
		if got := f.d.subscription(f.trigger.UID); got.filter.filter != first || got.waiting != "the subscriber is not resolved" {
			t.Errorf("waiting %q, compiled again: %t", got.waiting, got.filter.filter != first)
		}
		f.apply(expressions(12_001))
		if got := f.d.Waiting(f.trigger.UID); !strings.Contains(got, "expected at most 64 filters, got 12001: spec.filters") {
			t.Errorf("waiting %q", got)
		}
		if got := f.generations(`["greeter-uid"]`); got != "{}" {
			t.Errorf("generations are %s, want none: the filter is not valid", got)
		}
		f.apply(expressions(1))
		if got := f.generations(`["greeter-uid"]`); got != `{"greeter-uid":4}` {
			t.Errorf("generations are %s", got)
		}
	})
}

// TestUndeclared: a queue is consumed when the controller says that it is declared.
func TestUndeclared(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		undeclared := func(is bool) func(*eventingv1.Trigger) {
			return func(t *eventingv1.Trigger) {
				a := assignment.Of(t)
				a.Undeclared = is
				a.Record(t)
			}
		}
		consumers := func() int {
			synctest.Wait()
			state, err := f.engine.Inspect(t.Context(), f.queue())
			f.must(err)
			return state.Consumers
		}
		for _, is := range []bool{true, false, true} {
			f.apply(undeclared(is))
			if got := consumers(); (got == 0) != is {
				t.Errorf("undeclared %t: %d consumers", is, got)
			}
		}
	})
}
