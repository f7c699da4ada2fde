package server

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/filter"
)

// TestSlim_LargeTriggers: a cache keeps little of a Trigger that is too large, and no event
// matches it.
func TestSlim_LargeTriggers(t *testing.T) {
	t.Parallel()
	expressions := func(n int) (all []eventingv1.SubscriptionsAPIFilter) {
		for range n {
			all = append(all, eventingv1.SubscriptionsAPIFilter{CESQL: "type LIKE '%a%b' OR TRUE"})
		}
		return all
	}
	megabyte := strings.Repeat("v", 1<<20)
	for name, tt := range map[string]struct {
		trigger eventingv1.Trigger
		valid   bool
	}{
		"small":             {eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Filters: expressions(3)}}, true},
		"12,001 filters":    {eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Filters: expressions(12_001)}}, false},
		"long filter":       {eventingv1.Trigger{Spec: eventingv1.TriggerSpec{Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": megabyte}}}}, false},
		"long annotation":   {eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": megabyte}}}, true},
		"long status field": {eventingv1.Trigger{Status: eventingv1.TriggerStatus{}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "long status field" {
				tt.trigger.Status.Annotations = map[string]string{"a": megabyte}
			}
			if _, err := slim(&tt.trigger); err != nil {
				t.Fatal(err)
			}
			kept, err := json.Marshal(tt.trigger)
			if err != nil || len(kept) > 1_000 {
				t.Errorf("%d bytes are kept, %v", len(kept), err)
			}
			if _, err := filter.New(&tt.trigger.Spec); (err == nil) != tt.valid {
				t.Errorf("the filter is valid: %v, want %t", err, tt.valid)
			}
		})
	}
}
