// Package lambda holds the API group's name and every label and annotation key
// of the project.
package lambda

import "k8s.io/apimachinery/pkg/runtime/schema"

const (
	// GroupName is the API group of all kinds of this project.
	GroupName = "lambda.knative.io"

	// ManagedByLabelKey is on every child object that the controller makes;
	// informers are filtered by it.
	ManagedByLabelKey = "app.kubernetes.io/managed-by"

	// ManagedBy is the value of ManagedByLabelKey.
	ManagedBy = "knative-lambda-operator"

	// Selector of the children that informers watch.
	Selector = ManagedByLabelKey + "=" + ManagedBy

	// FunctionLabelKey carries the name of the LambdaFunction that a child
	// belongs to, shortened with a hash where it would not fit into a label.
	FunctionLabelKey = GroupName + "/function"

	// AgentLabelKey carries the name of the LambdaAgent that a child belongs
	// to, shortened likewise.
	AgentLabelKey = GroupName + "/agent"

	// ScheduleLabelKey carries the name of the schedule that a PingSource is made for.
	ScheduleLabelKey = GroupName + "/schedule"

	// LanguageLabelKey carries the language of the function that a child
	// belongs to.
	LanguageLabelKey = GroupName + "/language"

	// ImageLabelKey is on build Jobs: a hash of the image reference being
	// built, which is too long for a label.
	ImageLabelKey = GroupName + "/image"

	// ImageAnnotationKey is on build Jobs: the image reference being built.
	ImageAnnotationKey = GroupName + "/image"

	// KueueQueueLabelKey is on build Jobs that Kueue queues, and may be on a
	// function: the name of the LocalQueue.
	KueueQueueLabelKey = "kueue.x-k8s.io/queue-name"

	// RebuildAnnotationKey asks for a new build of unchanged source by a new
	// value.
	RebuildAnnotationKey = GroupName + "/rebuild"

	// CancelBuildAnnotationKey ends the build of the image whose tag it names, the
	// last part of status.build.reference. A rebuild has another tag.
	CancelBuildAnnotationKey = GroupName + "/cancel-build"

	// CommandsAnnotationKey holds the last commands that have changed a function,
	// so that none changes it twice.
	CommandsAnnotationKey = GroupName + "/commands"

	// CreatorAnnotationKey names who made an object. Admission writes it.
	CreatorAnnotationKey = GroupName + "/creator"

	// LastModifierAnnotationKey names who last changed an object's spec. Admission
	// writes it.
	LastModifierAnnotationKey = GroupName + "/last-modifier"

	// ReferencesAnnotationKey is on revisions of agents: a hash over the Secrets and
	// ConfigMaps that the revision refers to, so that a change of one rolls a new
	// revision.
	ReferencesAnnotationKey = GroupName + "/references"

	// PropagatedLabelsAnnotationKey is on Knative Services: the labels that are passed on from the function or agent, separated by
	// commas. One that is no longer there is taken off the Service.
	PropagatedLabelsAnnotationKey = GroupName + "/propagated-labels"
	// PropagatedAnnotationsAnnotationKey is the same for annotations.
	PropagatedAnnotationsAnnotationKey = GroupName + "/propagated-annotations"

	// ToldAnnotationKey holds what the lifecycle sink was last told of an object.
	ToldAnnotationKey = GroupName + "/told"

	// WithdrawnAnnotationKey holds, on an agent, the permissions that events have
	// withdrawn. The receiver writes it, and the controller removes expired entries.
	// Admission refuses changes by users.
	WithdrawnAnnotationKey = GroupName + "/withdrawn"

	// RestoreAnnotationKey is set by a user to restore withdrawn permissions of an agent:
	// their names, separated by commas, or * for all. Admission carries it out if the
	// user holds them. The receiver removes it with the next withdrawal.
	RestoreAnnotationKey = GroupName + "/restore"

	// VerifiedAnnotationKey holds, on an agent, the proof that admission has verified who
	// gives its permissions. Admission writes it.
	VerifiedAnnotationKey = GroupName + "/permissions-verified"

	// AllowedSourceNamespacesAnnotationKey is set by the owner of an object that other
	// namespaces may name as a sink, or that Triggers of theirs may deliver to: their names,
	// separated by commas, or * for all. On a Namespace it is for all Services in it.
	AllowedSourceNamespacesAnnotationKey = GroupName + "/allowed-source-namespaces"

	// BrokerClass is the class of the Brokers that the event plane serves.
	BrokerClass = "LambdaBroker"

	// BrokerService is the Service of the event plane in the operator's namespace.
	BrokerService = "knative-lambda-broker"

	// TriggerFinalizer is on each Trigger of the event plane: its queues are deleted
	// before it is.
	TriggerFinalizer = "triggers.broker." + GroupName

	// ParallelismAnnotationKey is set by a user on a Trigger: how many events are in
	// delivery at once, 1 to 1000. With 1 they are delivered in order. It is the key of
	// Knative's own Broker on RabbitMQ.
	ParallelismAnnotationKey = "rabbitmq.eventing.knative.dev/parallelism"

	// QueueAnnotationKey is in the status of a Trigger of the event plane: the queue
	// that its events wait in.
	QueueAnnotationKey = GroupName + "/queue"

	// QueueTypeAnnotationKey is in the status of a Trigger: quorum or classic.
	QueueTypeAnnotationKey = GroupName + "/queue-type"

	// BindingKeysAnnotationKey is in the status of a Trigger: the keys that its queue is
	// bound to, separated by commas. The first is the one that the Trigger asks for.
	BindingKeysAnnotationKey = GroupName + "/binding-keys"

	// DrainingAnnotationKey is in the status of a Trigger: queues that get no more events
	// and are deleted when they are empty, separated by commas.
	DrainingAnnotationKey = GroupName + "/draining-queues"

	// ConnectionAnnotationKey is in the status of a Trigger: the connection to RabbitMQ
	// that its queues are on. It is missing for that of the installation. It is in the
	// status of a Broker with a configuration: the connection that its events are on.
	ConnectionAnnotationKey = GroupName + "/connection"

	// UndeclaredAnnotationKey is in the status of a Trigger while its queue is not known to
	// be declared: it must not be consumed.
	UndeclaredAnnotationKey = GroupName + "/queue-undeclared"

	// DeadLetterQueueAnnotationKey is on a Trigger of the event plane: the queue that
	// gets events which cannot be delivered, where the Trigger has no dead letter sink
	// or the sink has not accepted them for 7 days. It has to be a dead letter queue of
	// the Trigger's namespace.
	DeadLetterQueueAnnotationKey = GroupName + "/dead-letter-queue"

	// DeletedTargetAnnotationKey is on a Trigger of the event plane whose events are for
	// an agent that was deleted: its namespace/name. The events become dead letters until
	// the annotation is removed.
	DeletedTargetAnnotationKey = GroupName + "/deleted-target"

	// OutcomeSourceAnnotationKey is on the Trigger of the event plane that delivers the
	// asynchronous calls of a function or an agent, which controls the Trigger: the source
	// of the events that report their outcomes.
	OutcomeSourceAnnotationKey = GroupName + "/outcome-source"

	// TombstoneLabelKey is on ConfigMaps that name queues of deleted Triggers, which
	// RabbitMQ still has.
	TombstoneLabelKey = GroupName + "/tombstone"
)

var (
	// LambdaFunctionResource is the resource of LambdaFunctions.
	LambdaFunctionResource = schema.GroupResource{Group: GroupName, Resource: "lambdafunctions"}

	// LambdaAgentResource is the resource of LambdaAgents.
	LambdaAgentResource = schema.GroupResource{Group: GroupName, Resource: "lambdaagents"}

	// ApprovalRequestResource is the resource of ApprovalRequests.
	ApprovalRequestResource = schema.GroupResource{Group: GroupName, Resource: "approvalrequests"}
)
