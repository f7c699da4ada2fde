package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ApprovalRequest is an action that a supervised agent waits to be allowed. The
// receiver makes it from the agent's event; nobody writes one by hand. Whoever may
// update lambdaagents/approvals decides it through the receiver.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=approvalrequests,categories=knative
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.spec.agent`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Deadline",type=date,JSONPath=`.spec.deadline`,priority=1
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.status.decision`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.status.decidedBy`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"app.kubernetes.io/name=knative-lambda","app.kubernetes.io/version=devel","knative.dev/crd-install=true"}
type ApprovalRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says what the agent asked for, and who decides by when.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec: cannot be changed"
	Spec ApprovalRequestSpec `json:"spec,omitempty"`

	// Status says what was decided.
	// +optional
	Status ApprovalRequestStatus `json:"status,omitempty"`
}

var _ runtime.Object = (*ApprovalRequest)(nil)

// ApprovalRequestSpec says what an agent asked for, and who decides by when, as
// the agent's approval was then.
type ApprovalRequestSpec struct {
	// Agent that asks.
	// +kubebuilder:validation:MaxLength=63
	Agent string `json:"agent"`

	// ID of the event by which it asks.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	ID string `json:"id"`

	// Action that it wants to take.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Action string `json:"action"`

	// Data of the event, as JSON.
	// +kubebuilder:validation:MaxLength=65536
	Data string `json:"data"`

	// Hops of the event: through how many functions and agents it came.
	// +optional
	Hops int32 `json:"hops,omitempty"`

	// Providers that are asked.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Providers []ApprovalProvider `json:"providers"`

	// RequireAll asks for the consent of each provider.
	// +optional
	RequireAll bool `json:"requireAll,omitempty"`

	// Deadline of the decision.
	Deadline metav1.Time `json:"deadline"`

	// TimeoutAction is what is decided at the deadline.
	// +kubebuilder:validation:Enum=deny;approve
	TimeoutAction string `json:"timeoutAction"`
}

// ApprovalDecision is what was decided.
//
// +kubebuilder:validation:Enum=granted;denied
type ApprovalDecision string

// The decisions.
const (
	ApprovalGranted ApprovalDecision = "granted"
	ApprovalDenied  ApprovalDecision = "denied"
)

// ApprovalRequestStatus says what was decided of a request, by whom, and who knows.
type ApprovalRequestStatus struct {
	// Decision; empty while the request waits.
	// +optional
	Decision ApprovalDecision `json:"decision,omitempty"`

	// DecidedBy is a user of the cluster, provider custom, or the timeout.
	// +optional
	DecidedBy string `json:"decidedBy,omitempty"`

	// Reason that was given for the decision.
	// +optional
	Reason string `json:"reason,omitempty"`

	// DecidedTime is when it was decided.
	// +optional
	DecidedTime *metav1.Time `json:"decidedTime,omitempty"`

	// Consents so far, where each provider has to consent.
	// +optional
	Consents []ApprovalConsent `json:"consents,omitempty"`

	// Notices to the providers.
	// +optional
	Notices []ApprovalNotice `json:"notices,omitempty"`

	// ToldTime is when the agent's broker took the outcome.
	// +optional
	ToldTime *metav1.Time `json:"toldTime,omitempty"`
}

// ApprovalConsent is the consent of one provider.
type ApprovalConsent struct {
	// Provider for which it was given.
	Provider ApprovalProvider `json:"provider"`

	// By whom.
	By string `json:"by"`

	// Time of the consent.
	Time metav1.Time `json:"time"`
}

// ApprovalNotice is what became of asking a provider.
type ApprovalNotice struct {
	// Provider that was asked.
	Provider ApprovalProvider `json:"provider"`

	// Time at which it took the question; none where it has not.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`

	// Error says why it has not; it is asked again.
	// +optional
	Error string `json:"error,omitempty"`
}

// ApprovalRequestList is a list of ApprovalRequests.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ApprovalRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []ApprovalRequest `json:"items"`
}
