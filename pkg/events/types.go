// Package events holds the CloudEvents types of the platform,
// io.knative.lambda.<category>.<entity>.<action>, and the data of each. It is
// linked into function images, so it imports nothing; the JSON schemas of the
// data are in its sub-package schema.
package events

// Prefix of every type of the platform.
const Prefix = "io.knative.lambda."

// Types of the commands that the receiver carries out.
const (
	CommandFunctionDeploy   = Prefix + "command.function.deploy"
	CommandFunctionRollback = Prefix + "command.function.rollback"
	CommandFunctionDelete   = Prefix + "command.function.delete"

	CommandBuildStart  = Prefix + "command.build.start"
	CommandBuildCancel = Prefix + "command.build.cancel"
	CommandBuildRetry  = Prefix + "command.build.retry"

	CommandServiceCreate = Prefix + "command.service.create"
	CommandServiceUpdate = Prefix + "command.service.update"
	CommandServiceDelete = Prefix + "command.service.delete"

	CommandDeadLetterList   = Prefix + "command.deadletter.list"
	CommandDeadLetterReplay = Prefix + "command.deadletter.replay"
	CommandDeadLetterPurge  = Prefix + "command.deadletter.purge"
)

// Types of the events with which the controller tells what became of functions
// and agents.
const (
	LifecycleFunctionCreated  = Prefix + "lifecycle.function.created"
	LifecycleFunctionUpdated  = Prefix + "lifecycle.function.updated"
	LifecycleFunctionDeleted  = Prefix + "lifecycle.function.deleted"
	LifecycleFunctionReady    = Prefix + "lifecycle.function.ready"
	LifecycleFunctionDegraded = Prefix + "lifecycle.function.degraded"

	LifecycleAgentCreated  = Prefix + "lifecycle.agent.created"
	LifecycleAgentUpdated  = Prefix + "lifecycle.agent.updated"
	LifecycleAgentDeleted  = Prefix + "lifecycle.agent.deleted"
	LifecycleAgentReady    = Prefix + "lifecycle.agent.ready"
	LifecycleAgentDegraded = Prefix + "lifecycle.agent.degraded"

	LifecycleBuildStarted     = Prefix + "lifecycle.build.started"
	LifecycleBuildProgressing = Prefix + "lifecycle.build.progressing"
	LifecycleBuildCompleted   = Prefix + "lifecycle.build.completed"
	LifecycleBuildFailed      = Prefix + "lifecycle.build.failed"
	LifecycleBuildTimeout     = Prefix + "lifecycle.build.timeout"
	LifecycleBuildCancelled   = Prefix + "lifecycle.build.cancelled"

	LifecycleServiceCreated = Prefix + "lifecycle.service.created"
	LifecycleServiceUpdated = Prefix + "lifecycle.service.updated"
	LifecycleServiceDeleted = Prefix + "lifecycle.service.deleted"
	LifecycleServiceReady   = Prefix + "lifecycle.service.ready"
	LifecycleServiceScaled  = Prefix + "lifecycle.service.scaled"
)

// Types of events to functions. Any other type invokes a function as well.
const (
	InvokeSync      = Prefix + "invoke.sync"
	InvokeAsync     = Prefix + "invoke.async"
	InvokeScheduled = Prefix + "invoke.scheduled"
	InvokeRetry     = Prefix + "invoke.retry"
)

// Types of the events with which functions answer, and the receiver a command.
const (
	// ResponseSuccess carries what a handler returned.
	ResponseSuccess = Prefix + "response.success"
	// ResponseError carries an Error: the handler failed.
	ResponseError = Prefix + "response.error"
	// ResponseTimeout carries an Error: the handler took too long.
	ResponseTimeout = Prefix + "response.timeout"
)

// Types of the events by which a supervised agent asks whether it may act, and is
// answered.
const (
	// ApprovalRequested carries an ApprovalRequest.
	ApprovalRequested = Prefix + "approval.requested"
	// ApprovalGranted and ApprovalDenied carry an ApprovalOutcome.
	ApprovalGranted = Prefix + "approval.granted"
	ApprovalDenied  = Prefix + "approval.denied"
)

// ControlPermission carries a PermissionControl, as do the types that an agent
// names in permissions.eventControls.
const ControlPermission = Prefix + "control.permission.change"

// Types of notifications.
const (
	NotificationAlertCritical = Prefix + "notification.alert.critical"
	NotificationAlertWarning  = Prefix + "notification.alert.warning"
	NotificationAlertInfo     = Prefix + "notification.alert.info"
	NotificationAuditAccess   = Prefix + "notification.audit.access"
	NotificationAuditChange   = Prefix + "notification.audit.change"
)

// Extension attributes of the platform.
const (
	// HopsExtension counts how many functions and agents an event has come
	// through.
	HopsExtension = "lambdahops"
	// CausationExtension is the id of the event that an event answers.
	CausationExtension = "causationid"
	// RetryExtension is on a dead letter that is sent again: how often its event
	// has been so.
	RetryExtension = "lambdaretry"

	// ErrorCodeExtension of a dead letter is the HTTP status that the function
	// answered, or -1 where it did not answer.
	ErrorCodeExtension = "lambdaerrorcode"
	// ErrorReasonExtension of a dead letter is why it could not be delivered.
	ErrorReasonExtension = "lambdaerrorreason"
	// AttemptsExtension of a dead letter is how often it was sent.
	AttemptsExtension = "lambdaattempts"
	// OriginExtension of a dead letter is where it was sent to.
	OriginExtension = "lambdaorigin"
	// DeadTimeExtension of a dead letter is when it became one.
	DeadTimeExtension = "lambdadeadtime"

	// DataOmittedExtension is "true" on the outcome of a call whose result was too long to
	// be kept.
	DataOmittedExtension = "lambdadataomitted"
)

// MaxHops that an event may have; one more and it is refused, so that functions
// that answer each other do not do so for ever.
const MaxHops = 10

// Source of the events that a component, a function or an agent emits.
func Source(component, namespace, name string) string {
	return "io.knative.lambda/" + component + "/" + namespace + "/" + name
}

// FunctionSubject is the subject of events that invoke a function by its name.
func FunctionSubject(namespace, function string) string { return namespace + "/" + function }

// AgentSubject is the subject of events that invoke an agent by its name. No function has
// it: names have no slashes.
func AgentSubject(namespace, agent string) string { return namespace + "/agents/" + agent }

// DeadLetterQueue is the name of a function's dead letter queue in RabbitMQ.
func DeadLetterQueue(namespace, function string) string {
	return "lambda.dlq." + namespace + "." + function
}

// AgentDeadLetterQueue is the name of an agent's. Neither names nor namespaces have
// dots, so it is no function's.
func AgentDeadLetterQueue(namespace, agent string) string {
	return "lambda.dlq." + namespace + ".agents." + agent
}
