package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// FunctionTrigger delivers events of an existing broker to the function.
type FunctionTrigger struct {
	// Broker of the function's namespace; default eventing.broker, else the
	// cluster's default (config-eventing).
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Broker string `json:"broker,omitempty"`

	// Filter is the attributes that an event must have, exactly. An empty value
	// says that any will do.
	// +optional
	Filter *eventingv1.TriggerFilter `json:"filter,omitempty"`

	// Filters are filters of the CloudEvents Subscriptions API; all must match,
	// and filter too.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Filters []EventFilter `json:"filters,omitempty"`

	// Delivery overrides how often and how fast a delivery is tried again, and
	// where events go that cannot be delivered. In another namespace, the object of
	// deadLetterSink.ref must allow this one.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.deadLetterSink) || !has(self.deadLetterSink.ref) || has(self.deadLetterSink.ref.apiVersion) && (self.deadLetterSink.ref.apiVersion == 'v1' && self.deadLetterSink.ref.kind == 'Service' || self.deadLetterSink.ref.apiVersion == 'eventing.knative.dev/v1' && self.deadLetterSink.ref.kind == 'Broker' || self.deadLetterSink.ref.apiVersion == 'flows.knative.dev/v1' && self.deadLetterSink.ref.kind in ['Parallel', 'Sequence'] || self.deadLetterSink.ref.apiVersion == 'lambda.knative.io/v1alpha1' && self.deadLetterSink.ref.kind in ['LambdaAgent', 'LambdaFunction'] || self.deadLetterSink.ref.apiVersion == 'messaging.knative.dev/v1' && self.deadLetterSink.ref.kind in ['Channel', 'InMemoryChannel'] || self.deadLetterSink.ref.apiVersion == 'serving.knative.dev/v1' && self.deadLetterSink.ref.kind == 'Service')",message="deadLetterSink.ref.kind: expected Service (v1 or serving.knative.dev/v1), Broker (eventing.knative.dev/v1), Channel or InMemoryChannel (messaging.knative.dev/v1), Parallel or Sequence (flows.knative.dev/v1), LambdaAgent or LambdaFunction (lambda.knative.io/v1alpha1)"
	Delivery *eventingduckv1.DeliverySpec `json:"delivery,omitempty"`
}

// FunctionEventing gives a function a broker, a dead letter queue and a sink.
type FunctionEventing struct {
	// Enabled turns all of it on. A function without triggers then gets the
	// events io.knative.lambda.invoke.* whose subject is <namespace>/<name>.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// Broker to use, made when missing; default the namespace's shared one
	// (config-eventing).
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Broker string `json:"broker,omitempty"`

	// RabbitMQ says how the broker reaches and uses RabbitMQ.
	// +optional
	RabbitMQ *RabbitMQSpec `json:"rabbitmq,omitempty"`

	// DLQ is the dead letter queue.
	// +optional
	DLQ *DeadLetterSpec `json:"dlq,omitempty"`

	// Sink gets the function's replies; default the broker that the event came
	// from. In another namespace, the object of ref must allow this one.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.ref) || has(self.ref.apiVersion) && (self.ref.apiVersion == 'v1' && self.ref.kind == 'Service' || self.ref.apiVersion == 'eventing.knative.dev/v1' && self.ref.kind == 'Broker' || self.ref.apiVersion == 'flows.knative.dev/v1' && self.ref.kind in ['Parallel', 'Sequence'] || self.ref.apiVersion == 'lambda.knative.io/v1alpha1' && self.ref.kind in ['LambdaAgent', 'LambdaFunction'] || self.ref.apiVersion == 'messaging.knative.dev/v1' && self.ref.kind in ['Channel', 'InMemoryChannel'] || self.ref.apiVersion == 'serving.knative.dev/v1' && self.ref.kind == 'Service')",message="ref.kind: expected Service (v1 or serving.knative.dev/v1), Broker (eventing.knative.dev/v1), Channel or InMemoryChannel (messaging.knative.dev/v1), Parallel or Sequence (flows.knative.dev/v1), LambdaAgent or LambdaFunction (lambda.knative.io/v1alpha1)"
	Sink *duckv1.Destination `json:"sink,omitempty"`

	CallSpec `json:",inline"`
}

// RabbitMQSpec says how a broker reaches and uses RabbitMQ.
//
// +kubebuilder:validation:XValidation:rule="!has(self.clusterName) || size(self.clusterName) == 0 || !has(self.connectionSecret)",message="expected only one of clusterName, connectionSecret"
// +kubebuilder:validation:XValidation:rule="!has(self.parallelism) || !has(self.prefetchCount)",message="expected only one of parallelism, prefetchCount"
type RabbitMQSpec struct {
	// ClusterName of a RabbitmqCluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ClusterName string `json:"clusterName,omitempty"`

	// Namespace of the RabbitmqCluster; default the function's.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// ConnectionSecret names a Secret with uri, username, password and port.
	// +optional
	ConnectionSecret *corev1.LocalObjectReference `json:"connectionSecret,omitempty"`

	// QueueType of the broker's queues; default quorum.
	// +optional
	// +kubebuilder:validation:Enum=quorum;classic
	QueueType string `json:"queueType,omitempty"`

	// Parallelism is the number of events in delivery at once.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Parallelism *int32 `json:"parallelism,omitempty"`

	// PrefetchCount is the older name of parallelism.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	PrefetchCount *int32 `json:"prefetchCount,omitempty"`
}

// DeadLetterSpec is a bounded queue for events that could not be delivered.
type DeadLetterSpec struct {
	// Enabled gives the function or agent a dead letter queue; default true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// RetryMaxAttempts before an event is a dead letter; default 5.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	RetryMaxAttempts *int32 `json:"retryMaxAttempts,omitempty"`

	// RetryBackoffDelay before the first retry; default 1s.
	// +optional
	RetryBackoffDelay *Duration `json:"retryBackoffDelay,omitempty"`

	// BackoffPolicy of further retries; default exponential.
	// +optional
	// +kubebuilder:validation:Enum=linear;exponential
	BackoffPolicy string `json:"backoffPolicy,omitempty"`

	// MessageTTL is how long a dead letter is kept.
	// +optional
	MessageTTL *Duration `json:"messageTTL,omitempty"`

	// MaxLength is the number of dead letters that are kept.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxLength *int64 `json:"maxLength,omitempty"`

	// OverflowPolicy of a full queue.
	// +optional
	// +kubebuilder:validation:Enum=drop-head;reject-publish
	OverflowPolicy string `json:"overflowPolicy,omitempty"`
}
