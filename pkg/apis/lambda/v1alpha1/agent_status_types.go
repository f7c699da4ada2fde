package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// LambdaAgentStatus says what of an agent runs.
type LambdaAgentStatus struct {
	duckv1.Status `json:",inline"`

	// URL at which the agent answers from outside.
	// +optional
	URL *apis.URL `json:"url,omitempty"`

	// Address at which events and requests reach the agent in the cluster.
	// +optional
	Address *duckv1.Addressable `json:"address,omitempty"`

	// Visibility that is in force.
	// +optional
	Visibility Visibility `json:"visibility,omitempty"`

	// Domains of spec.domains.
	// +optional
	Domains []DomainStatus `json:"domains,omitempty"`

	// Image that runs, with its tag or digest.
	// +optional
	Image string `json:"image,omitempty"`

	// Scaling is what of spec.scaling is in force, defaults included.
	// +optional
	Scaling *ScalingStatus `json:"scaling,omitempty"`

	// EventSource is the CloudEvents source that the agent emits with; empty where
	// eventing is off.
	// +optional
	EventSource string `json:"eventSource,omitempty"`

	// Approval is how a supervised agent asks, defaults included.
	// +optional
	Approval *ApprovalStatus `json:"approval,omitempty"`

	// Broker of the agent.
	// +optional
	Broker *BrokerStatus `json:"broker,omitempty"`

	// CallsURL accepts asynchronous calls in the cluster: any body by POST, which is
	// answered as soon as it is stored.
	// +optional
	CallsURL *apis.URL `json:"callsURL,omitempty"`

	// Routes from and to the agent.
	// +optional
	Routes []RouteStatus `json:"routes,omitempty"`

	// Permissions of the agent's ServiceAccount.
	// +optional
	Permissions *PermissionsStatus `json:"permissions,omitempty"`

	// Model that the agent uses.
	// +optional
	Model *ModelStatus `json:"model,omitempty"`

	// LatestCreatedRevisionName is the newest revision.
	// +optional
	LatestCreatedRevisionName string `json:"latestCreatedRevisionName,omitempty"`

	// LatestReadyRevisionName is the newest revision that can serve.
	// +optional
	LatestReadyRevisionName string `json:"latestReadyRevisionName,omitempty"`
}

// ApprovalStatus is how a supervised agent asks for approval.
type ApprovalStatus struct {
	// Providers that are asked.
	// +optional
	Providers []ApprovalProvider `json:"providers,omitempty"`

	// Timeout of an approval.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`

	// TimeoutAction when no decision arrived in time: deny or approve.
	// +optional
	TimeoutAction string `json:"timeoutAction,omitempty"`
}

// RouteStatus is a route from or to an agent.
type RouteStatus struct {
	// Kind of the route: subscription, intent, forward.
	Kind string `json:"kind"`

	// EventType that takes the route.
	EventType string `json:"eventType"`

	// Agent at the other end.
	// +optional
	Agent string `json:"agent,omitempty"`

	// Namespace of the agent at the other end.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Ready reports whether events flow.
	Ready bool `json:"ready"`

	// Reason why they do not.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// PermissionsStatus is what the agent's ServiceAccount may do now.
type PermissionsStatus struct {
	// Allowed is what it may do.
	// +optional
	Allowed []string `json:"allowed,omitempty"`

	// Withdrawn is what events took away.
	// +optional
	Withdrawn []WithdrawnPermission `json:"withdrawn,omitempty"`

	// VerifiedTime is when admission last verified that the users who gave the
	// permissions hold them.
	// +optional
	VerifiedTime *metav1.Time `json:"verifiedTime,omitempty"`

	// EventControls are the event types and sources that may withdraw and restore
	// permissions, with the defaults of the cluster's configuration.
	// +optional
	EventControls *EventControlsStatus `json:"eventControls,omitempty"`
}

// EventControlsStatus are the event controls in force.
type EventControlsStatus struct {
	// Types of events.
	// +optional
	Types []string `json:"types,omitempty"`

	// Sources of events, with * for any run of characters.
	// +optional
	Sources []string `json:"sources,omitempty"`
}

// WithdrawnPermission is a permission that an event took away.
type WithdrawnPermission struct {
	// Permission that was taken away.
	Permission string `json:"permission"`

	// Until when; empty is until it is given back.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// Source of the event that took it away.
	// +optional
	Source string `json:"source,omitempty"`

	// Reason that the event gave.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// ModelStatus is the model that an agent uses.
type ModelStatus struct {
	// Provider, Endpoint and Model as the spec that is in force names them.
	// +optional
	Provider string `json:"provider,omitempty"`
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// +optional
	Model string `json:"model,omitempty"`

	// LastProbeTime of the model's endpoint.
	// +optional
	LastProbeTime *metav1.Time `json:"lastProbeTime,omitempty"`
}
