package v1alpha1

// Reasons of a function's EventingReady.
const (
	// ReasonEventingNotInstalled says that the cluster has no Knative Eventing.
	ReasonEventingNotInstalled = "EventingNotInstalled"
	// ReasonRabbitMQNotInstalled says that the cluster has no brokers on RabbitMQ.
	ReasonRabbitMQNotInstalled = "RabbitMQNotInstalled"
	// ReasonRabbitMQNotConfigured says that the installation has no RabbitMQ, or that
	// config-eventing names none for Brokers of class RabbitMQBroker.
	ReasonRabbitMQNotConfigured = "RabbitMQNotConfigured"
	// ReasonSinkNotResolved says that the sink has no address.
	ReasonSinkNotResolved = "SinkNotResolved"
	// ReasonFilterNotSupported says that the class of the Broker evaluates exact
	// attributes only.
	ReasonFilterNotSupported = "FilterNotSupported"
	// ReasonCallsNotSupported says that the class of the Broker reports no outcomes of
	// asynchronous calls.
	ReasonCallsNotSupported = "CallsNotSupported"
	// ReasonBrokerNotFound says that there is no such broker.
	ReasonBrokerNotFound = "BrokerNotFound"
	// ReasonBrokerNotReady says that a broker does not work (yet).
	ReasonBrokerNotReady = "BrokerNotReady"
	// ReasonBrokerDiffers says that functions that share a broker ask for
	// different settings of it.
	ReasonBrokerDiffers = "BrokerSettingsDiffer"
	// ReasonBrokerRejected says that the API server refused the broker.
	ReasonBrokerRejected = "BrokerRejected"
	// ReasonTriggerNotReady says that a trigger does not work (yet).
	ReasonTriggerNotReady = "TriggerNotReady"
	// ReasonTriggerNotOwned says that a trigger of that name is somebody else's.
	ReasonTriggerNotOwned = "TriggerNotOwned"
	// ReasonTriggerRejected says that the API server refused a trigger.
	ReasonTriggerRejected = "TriggerRejected"
	// ReasonPingSourceNotInstalled says that the cluster has no PingSources, which
	// schedules need.
	ReasonPingSourceNotInstalled = "PingSourceNotInstalled"
	// ReasonScheduleNotSupported says that the class of the Broker has no schedules.
	ReasonScheduleNotSupported = "ScheduleNotSupported"
	// ReasonScheduleNotReady says that the PingSource of a schedule does not work (yet).
	ReasonScheduleNotReady = "ScheduleNotReady"
	// ReasonScheduleNotOwned says that a PingSource of that name belongs to another owner.
	ReasonScheduleNotOwned = "ScheduleNotOwned"
	// ReasonScheduleRejected says that the API server refused the PingSource of a
	// schedule.
	ReasonScheduleRejected = "ScheduleRejected"
	// ReasonDeadLetterQueueNotReady says that RabbitMQ has no dead letter queue (yet).
	ReasonDeadLetterQueueNotReady = "DeadLetterQueueNotReady"
	// ReasonDeadLetterBoundsNotSet says that the dead letter queue works with other bounds
	// than those that were asked for.
	ReasonDeadLetterBoundsNotSet = "DeadLetterBoundsNotSet"
)

// MarkEventingNotRequested says that the spec asks for no events.
func (s *LambdaFunctionStatus) MarkEventingNotRequested() {
	functionConditions.Manage(s).MarkTrueWithReason(FunctionConditionEventingReady, ReasonNotRequested, "The spec asks for no triggers and no eventing.")
}

// MarkEventingReady says that every broker, trigger and dead letter queue works.
func (s *LambdaFunctionStatus) MarkEventingReady() {
	functionConditions.Manage(s).MarkTrue(FunctionConditionEventingReady)
}

// MarkEventingReadyBut says that all works, and what is not as it was asked for.
func (s *LambdaFunctionStatus) MarkEventingReadyBut(reason, message string) {
	functionConditions.Manage(s).MarkTrueWithReason(FunctionConditionEventingReady, reason, "%s", message)
}

// MarkEventingPending says which broker, trigger or queue is on its way.
func (s *LambdaFunctionStatus) MarkEventingPending(reason, message string) {
	functionConditions.Manage(s).MarkUnknown(FunctionConditionEventingReady, reason, "%s", message)
}

// MarkEventingFailed says which broker, trigger or queue does not work, and why.
func (s *LambdaFunctionStatus) MarkEventingFailed(reason, message string) {
	functionConditions.Manage(s).MarkFalse(FunctionConditionEventingReady, reason, "%s", message)
}
