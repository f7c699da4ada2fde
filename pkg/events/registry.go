package events

// Category of a type.
type Category string

// Categories in the order of the documentation.
const (
	Command      Category = "command"
	LifecycleOf  Category = "lifecycle"
	Invoke       Category = "invoke"
	Response     Category = "response"
	Approval     Category = "approval"
	Control      Category = "control"
	Notification Category = "notification"
)

// Definition of a type.
type Definition struct {
	// Type of the event.
	Type string
	// Category of the type.
	Category Category
	// Summary says what the event asks for or tells.
	Summary string
	// Data is a value of the Go type of the event's data; nil where it is the
	// user's.
	Data any
}

// All types of the platform.
var All = []Definition{
	{CommandFunctionDeploy, Command, "Create a function, or change it to this spec.", FunctionDeploy{}},
	{CommandFunctionRollback, Command, "Send all traffic to an earlier revision.", FunctionRollback{}},
	{CommandFunctionDelete, Command, "Delete a function.", FunctionDelete{}},
	{CommandBuildStart, Command, "Build the source again, although it has not changed.", BuildStart{}},
	{CommandBuildCancel, Command, "End the build that runs or waits.", BuildCancel{}},
	{CommandBuildRetry, Command, "Build again after a failed build.", BuildRetry{}},
	{CommandServiceCreate, Command, "Create a function from a ready-made image.", ServiceCreate{}},
	{CommandServiceUpdate, Command, "Change how a function runs: image, scaling, environment, resources.", ServiceUpdate{}},
	{CommandServiceDelete, Command, "Delete a function whose source is an image.", ServiceDelete{}},
	{CommandDeadLetterList, Command, "List a function's dead letters.", DeadLetterList{}},
	{CommandDeadLetterReplay, Command, "Redeliver dead letters to the function.", DeadLetterReplay{}},
	{CommandDeadLetterPurge, Command, "Remove dead letters.", DeadLetterPurge{}},

	{LifecycleFunctionCreated, LifecycleOf, "There is a new function.", Lifecycle{}},
	{LifecycleFunctionUpdated, LifecycleOf, "A function's spec has changed.", Lifecycle{}},
	{LifecycleFunctionDeleted, LifecycleOf, "A function is deleted.", Lifecycle{}},
	{LifecycleFunctionReady, LifecycleOf, "The newest spec of a function serves.", Lifecycle{}},
	{LifecycleFunctionDegraded, LifecycleOf, "A function's newest spec does not serve: it has failed, or serves no more.", Lifecycle{}},
	{LifecycleAgentCreated, LifecycleOf, "There is a new agent.", Lifecycle{}},
	{LifecycleAgentUpdated, LifecycleOf, "An agent's spec has changed.", Lifecycle{}},
	{LifecycleAgentDeleted, LifecycleOf, "An agent is deleted.", Lifecycle{}},
	{LifecycleAgentReady, LifecycleOf, "The newest spec of an agent serves.", Lifecycle{}},
	{LifecycleAgentDegraded, LifecycleOf, "An agent's newest spec does not serve: it has failed, or serves no more.", Lifecycle{}},
	{LifecycleBuildStarted, LifecycleOf, "An attempt to build an image has begun.", BuildLifecycle{}},
	{LifecycleBuildProgressing, LifecycleOf, "A build waits, or an attempt failed and another follows; the reason says which.", BuildLifecycle{}},
	{LifecycleBuildCompleted, LifecycleOf, "The image is in the registry: built, or found there.", BuildLifecycle{}},
	{LifecycleBuildFailed, LifecycleOf, "A build failed and is not tried again by itself.", BuildLifecycle{}},
	{LifecycleBuildTimeout, LifecycleOf, "A build took longer than it may.", BuildLifecycle{}},
	{LifecycleBuildCancelled, LifecycleOf, "A build was cancelled, or made pointless by a newer spec.", BuildLifecycle{}},
	{LifecycleServiceCreated, LifecycleOf, "A function or agent has its first revision.", ServiceLifecycle{}},
	{LifecycleServiceUpdated, LifecycleOf, "A function or agent has a new revision.", ServiceLifecycle{}},
	{LifecycleServiceDeleted, LifecycleOf, "The Knative Service goes with its function or agent.", ServiceLifecycle{}},
	{LifecycleServiceReady, LifecycleOf, "A revision serves.", ServiceLifecycle{}},
	{LifecycleServiceScaled, LifecycleOf, "The number of ready pods has changed.", ServiceLifecycle{}},

	{InvokeSync, Invoke, "Invoke a function and wait for its answer.", nil},
	{InvokeAsync, Invoke, "Invoke a function or an agent through a broker. Its outcome is a response event.", nil},
	{InvokeScheduled, Invoke, "Invoke a function at a time, for example from a PingSource.", nil},
	{InvokeRetry, Invoke, "Invoke a function again with the data of an earlier event.", nil},

	{ResponseSuccess, Response, "What a handler or an agent returned; for a command, a CommandResult.", nil},
	{ResponseError, Response, "A handler failed, a call failed for good, or a command was refused.", Error{}},
	{ResponseTimeout, Response, "A handler took longer than its timeout.", Error{}},

	{ApprovalRequested, Approval, "A supervised agent asks whether it may act. It waits for the outcome.", ApprovalRequest{}},
	{ApprovalGranted, Approval, "The agent may act.", ApprovalOutcome{}},
	{ApprovalDenied, Approval, "The agent may not act, or nobody said so in time.", ApprovalOutcome{}},

	{ControlPermission, Control, "Withdraw permissions of an agent, or give them back.", PermissionControl{}},

	{NotificationAlertCritical, Notification, "Somebody has to act now.", Alert{}},
	{NotificationAlertWarning, Notification, "Somebody has to act soon.", Alert{}},
	{NotificationAlertInfo, Notification, "Worth to know.", Alert{}},
	{NotificationAuditAccess, Notification, "Somebody read, replayed or purged dead letters, or decided an approval.", Audit{}},
	{NotificationAuditChange, Notification, "Somebody created, changed or deleted a function or an agent, or an event changed its permissions.", Audit{}},
}
