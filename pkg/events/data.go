package events

// Error is the data of ResponseError and ResponseTimeout.
type Error struct {
	// Type of the error, in the words of the function's language.
	Type string `json:"type" jsonschema:"type of the error, in the words of the function's language"`
	// Message of the error.
	Message string `json:"message" jsonschema:"what went wrong"`
	// Permanent errors come again with each retry.
	Permanent bool `json:"permanent" jsonschema:"whether it comes again with each retry"`
	// Stack trace, where the function's owner turned it on.
	Stack string `json:"stack,omitempty" jsonschema:"stack trace, where the function's owner turned it on"`
}

// Object names a function or an agent.
type Object struct {
	Kind       string `json:"kind" jsonschema:"LambdaFunction or LambdaAgent"`
	Namespace  string `json:"namespace" jsonschema:"its namespace"`
	Name       string `json:"name" jsonschema:"its name"`
	UID        string `json:"uid" jsonschema:"its UID"`
	Generation int64  `json:"generation" jsonschema:"generation of its spec"`
}

// Lifecycle is the data of the lifecycle events of functions and agents.
type Lifecycle struct {
	Object
	URL     string `json:"url,omitempty" jsonschema:"URL at which it answers from outside"`
	Reason  string `json:"reason,omitempty" jsonschema:"reason of the condition Ready, where it is not True"`
	Message string `json:"message,omitempty" jsonschema:"message of the condition Ready, where it is not True"`
}

// BuildLifecycle is the data of the lifecycle events of builds.
type BuildLifecycle struct {
	Object
	Reference      string `json:"reference,omitempty" jsonschema:"name of the image by its content"`
	Image          string `json:"image,omitempty" jsonschema:"the image with its digest, when it is there"`
	Job            string `json:"job,omitempty" jsonschema:"Job of the build; none where the image was there or was made without one"`
	Strategy       string `json:"strategy,omitempty" jsonschema:"what made the image; none where the registry had it"`
	Attempt        int32  `json:"attempt,omitempty" jsonschema:"which attempt it is"`
	StartTime      string `json:"startTime,omitempty" jsonschema:"when the attempt began, as RFC 3339"`
	CompletionTime string `json:"completionTime,omitempty" jsonschema:"when the attempt ended, as RFC 3339"`
	Step           string `json:"step,omitempty" jsonschema:"step that failed"`
	Reason         string `json:"reason,omitempty" jsonschema:"why it failed, or what it waits for, in CamelCase"`
	Message        string `json:"message,omitempty" jsonschema:"the same for a person"`
}

// ServiceLifecycle is the data of the lifecycle events of Knative Services.
type ServiceLifecycle struct {
	Object
	Revision string `json:"revision,omitempty" jsonschema:"the revision that it is about"`
	URL      string `json:"url,omitempty" jsonschema:"URL at which it answers from outside"`
	Replicas *int32 `json:"replicas,omitempty" jsonschema:"pods that are ready"`
}

// Alert is the data of the alerts.
type Alert struct {
	Name    string            `json:"name" jsonschema:"name of the alert"`
	Summary string            `json:"summary" jsonschema:"what is wrong, in a sentence"`
	Labels  map[string]string `json:"labels,omitempty" jsonschema:"what it is about"`
}

// Audit is the data of NotificationAuditChange and NotificationAuditAccess.
type Audit struct {
	Object
	Action string `json:"action" jsonschema:"what was done: created, updated, deleted; listed, shown, replayed, purged; granted, denied; withdrawn, restored"`
	Actor  string `json:"actor,omitempty" jsonschema:"user name of who did it, as the API server knows it"`
	Time   string `json:"time,omitempty" jsonschema:"when, as RFC 3339"`
}

// ApprovalRequest is the data of ApprovalRequested.
type ApprovalRequest struct {
	Action      string         `json:"action" jsonschema:"what the agent wants to do, in a few words; at most 1024 characters"`
	Description string         `json:"description,omitempty" jsonschema:"why, for whoever decides"`
	Arguments   map[string]any `json:"arguments,omitempty" jsonschema:"with what; all of the data together may be 64 KiB"`
}

// ApprovalOutcome is the data of ApprovalGranted and ApprovalDenied.
type ApprovalOutcome struct {
	Request   string `json:"request" jsonschema:"id of the event that asked"`
	Action    string `json:"action,omitempty" jsonschema:"what was asked for"`
	Digest    string `json:"digest,omitempty" jsonschema:"SHA-256 of the data that was decided upon, in hexadecimal digits"`
	Decision  string `json:"decision" jsonschema:"granted or denied"`
	DecidedBy string `json:"decidedBy,omitempty" jsonschema:"who decided: a user of the cluster, the custom provider, or timeout"`
	Reason    string `json:"reason,omitempty" jsonschema:"why"`
	Time      string `json:"time,omitempty" jsonschema:"when, as RFC 3339"`
}

// PermissionControl is the data of ControlPermission.
type PermissionControl struct {
	Permission string `json:"permission" jsonschema:"brokers, triggers, functions, or * for all of them"`
	Action     string `json:"action" jsonschema:"withdraw, or restore what an event withdrew"`
	Duration   string `json:"duration,omitempty" jsonschema:"how long it stays withdrawn, such as 1h; default until it is restored"`
	Reason     string `json:"reason,omitempty" jsonschema:"why, for people"`
}

// The actions of a PermissionControl.
const (
	PermissionWithdraw = "withdraw"
	PermissionRestore  = "restore"
)
