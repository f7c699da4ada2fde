package v1alpha1

import (
	"encoding/json"

	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
)

// EventFilter is a filter of the CloudEvents Subscriptions API: one of the
// dialects exact, prefix, suffix, all, any, not, cesql. Filters hold filters, which a
// structural schema cannot say: validation checks them.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type EventFilter struct {
	eventingv1.SubscriptionsAPIFilter `json:",inline"`
}

// MarshalJSON writes the filter as Knative Eventing does.
func (f EventFilter) MarshalJSON() ([]byte, error) {
	return json.Marshal(f.SubscriptionsAPIFilter)
}

// UnmarshalJSON reads the filter as Knative Eventing does.
func (f *EventFilter) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &f.SubscriptionsAPIFilter)
}
