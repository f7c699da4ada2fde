package v1

import (
	"encoding/json"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Problem is the body of each response that is no success.
type Problem struct {
	Error string `json:"error"`
}

// Call is the response to an asynchronous call that was stored.
type Call struct {
	// ID of the call's event. Its outcome has it as causationid.
	ID string `json:"id"`
}

// Outcome of an asynchronous call.
type Outcome struct {
	// ID and Source of the call's event.
	ID     string `json:"id"`
	Source string `json:"source"`
	// Type of the event that reports the outcome: io.knative.lambda.response.success,
	// .error or .timeout.
	Type string `json:"type"`
	// Time of the outcome, as RFC 3339.
	Time string `json:"time"`
	// ErrorCode is the HTTP status of the last answer; -1 if there was none. It is 0
	// after success, as Attempts is.
	ErrorCode   int    `json:"errorCode,omitempty"`
	ErrorReason string `json:"errorReason,omitempty"`
	// Attempts to deliver the call.
	Attempts int `json:"attempts,omitempty"`
	// Event that reports the outcome, in CloudEvents' JSON format.
	Event json.RawMessage `json:"event"`
}

// OutcomeList is the response to GET of OutcomesPath.
type OutcomeList struct {
	Items []Outcome `json:"items"`
}

// DeadLetter describes a dead letter without its data.
type DeadLetter struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`
	// ErrorCode is the HTTP status of the last answer; -1 if there was none.
	ErrorCode   int    `json:"errorCode,omitempty"`
	ErrorReason string `json:"errorReason,omitempty"`
	// Attempts to deliver the event; 0 if the broker does not say.
	Attempts int `json:"attempts,omitempty"`
	// Origin is the URL that the event was sent to.
	Origin string `json:"origin,omitempty"`
	// DeadTime is when the event became a dead letter, as RFC 3339.
	DeadTime string `json:"deadTime,omitempty"`
	// Size of the data in bytes.
	Size int `json:"size"`
}

// DeadLetterList is the response to GET without ParamID.
type DeadLetterList struct {
	Items []DeadLetter `json:"items"`
}

// ShownDeadLetter is a dead letter with its event in CloudEvents' JSON format, or with its
// bytes if it is no event.
type ShownDeadLetter struct {
	DeadLetter
	Event json.RawMessage `json:"event,omitempty"`
	Raw   []byte          `json:"raw,omitempty"`
}

// ShownDeadLetterList is the response to GET with ParamID.
type ShownDeadLetterList struct {
	Items []ShownDeadLetter `json:"items"`
}

// ReplayResult is what became of one dead letter.
type ReplayResult struct {
	DeadLetter
	// Status of the answer; 0 if there was none.
	Status int `json:"status,omitempty"`
	// Error says why the dead letter remains in its queue; empty if it was accepted.
	Error string `json:"error,omitempty"`
}

// ReplayLine is a line of the response to a replay: a result, or the reason why the
// replay ended before all dead letters had been sent.
type ReplayLine struct {
	*ReplayResult
	Problem string `json:"problem,omitempty"`
}

// Purged is the response to DELETE.
type Purged struct {
	Purged int `json:"purged"`
}

// ApprovalDecision is the body of POST to ApprovalsPath. The response is the
// ApprovalRequest.
type ApprovalDecision struct {
	Decision v1alpha1.ApprovalDecision `json:"decision"`
	// Provider to answer for; default the first one that is pending.
	Provider v1alpha1.ApprovalProvider `json:"provider,omitempty"`
	Reason   string                    `json:"reason,omitempty"`
}
