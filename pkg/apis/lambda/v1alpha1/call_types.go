package v1alpha1

import (
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// CallSpec says how events and asynchronous calls are delivered, and where the outcomes
// of calls go. It needs a broker of class LambdaBroker.
type CallSpec struct {
	// DeliveryTimeout of one attempt to deliver an event, 1s to 15m. Default: that of
	// config-eventing or, if it is longer, what the timeouts of a function and its start
	// or of an agent's models add up to.
	// +optional
	DeliveryTimeout *Duration `json:"deliveryTimeout,omitempty"`

	// OnSuccess gets the outcome of each asynchronous call that succeeded, as an event
	// io.knative.lambda.response.success. In another namespace, the object of ref must
	// allow this one.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.ref) || has(self.ref.apiVersion) && (self.ref.apiVersion == 'v1' && self.ref.kind == 'Service' || self.ref.apiVersion == 'eventing.knative.dev/v1' && self.ref.kind == 'Broker' || self.ref.apiVersion == 'flows.knative.dev/v1' && self.ref.kind in ['Parallel', 'Sequence'] || self.ref.apiVersion == 'lambda.knative.io/v1alpha1' && self.ref.kind in ['LambdaAgent', 'LambdaFunction'] || self.ref.apiVersion == 'messaging.knative.dev/v1' && self.ref.kind in ['Channel', 'InMemoryChannel'] || self.ref.apiVersion == 'serving.knative.dev/v1' && self.ref.kind == 'Service')",message="ref.kind: expected Service (v1 or serving.knative.dev/v1), Broker (eventing.knative.dev/v1), Channel or InMemoryChannel (messaging.knative.dev/v1), Parallel or Sequence (flows.knative.dev/v1), LambdaAgent or LambdaFunction (lambda.knative.io/v1alpha1)"
	OnSuccess *duckv1.Destination `json:"onSuccess,omitempty"`

	// OnFailure gets the outcome of each asynchronous call that failed for good, as an
	// event io.knative.lambda.response.error or io.knative.lambda.response.timeout. In
	// another namespace, the object of ref must allow this one.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.ref) || has(self.ref.apiVersion) && (self.ref.apiVersion == 'v1' && self.ref.kind == 'Service' || self.ref.apiVersion == 'eventing.knative.dev/v1' && self.ref.kind == 'Broker' || self.ref.apiVersion == 'flows.knative.dev/v1' && self.ref.kind in ['Parallel', 'Sequence'] || self.ref.apiVersion == 'lambda.knative.io/v1alpha1' && self.ref.kind in ['LambdaAgent', 'LambdaFunction'] || self.ref.apiVersion == 'messaging.knative.dev/v1' && self.ref.kind in ['Channel', 'InMemoryChannel'] || self.ref.apiVersion == 'serving.knative.dev/v1' && self.ref.kind == 'Service')",message="ref.kind: expected Service (v1 or serving.knative.dev/v1), Broker (eventing.knative.dev/v1), Channel or InMemoryChannel (messaging.knative.dev/v1), Parallel or Sequence (flows.knative.dev/v1), LambdaAgent or LambdaFunction (lambda.knative.io/v1alpha1)"
	OnFailure *duckv1.Destination `json:"onFailure,omitempty"`
}
