package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

const (
	// FunctionConditionReady is True when the newest spec serves.
	FunctionConditionReady = apis.ConditionReady
	// FunctionConditionSourceResolved is True when the source is known by its
	// digest.
	FunctionConditionSourceResolved apis.ConditionType = "SourceResolved"
	// FunctionConditionBuildSucceeded is True when the image of the source is
	// in the registry.
	FunctionConditionBuildSucceeded apis.ConditionType = "BuildSucceeded"
	// FunctionConditionServiceReady is True when the Knative Service serves
	// that image.
	FunctionConditionServiceReady apis.ConditionType = "ServiceReady"
	// FunctionConditionEventingReady is True when every broker, trigger and
	// dead letter queue that the spec asks for works.
	FunctionConditionEventingReady apis.ConditionType = "EventingReady"
)

// Reasons of a function's conditions.
const (
	// ReasonNotRequested says that the spec does not ask for it.
	ReasonNotRequested = "NotRequested"
	// ReasonUnknownLanguage says that config-runtimes does not offer the language,
	// or no longer does.
	ReasonUnknownLanguage = "UnknownLanguage"
	// ReasonVersionNotOffered says that config-runtimes offers the language, but not
	// the version, or no longer does. The message lists what it offers.
	ReasonVersionNotOffered = "VersionNotOffered"
	// ReasonResolvingSource says that the source is being asked what it is by
	// now. What it may answer with are the reasons of package source.
	ReasonResolvingSource = "ResolvingSource"
	// ReasonWaitingForSource says that the source is not resolved.
	ReasonWaitingForSource = "WaitingForSource"
	// ReasonInvalidConfiguration says that a ConfigMap of the operator cannot
	// serve the function; its administrator has to help.
	ReasonInvalidConfiguration = "InvalidConfiguration"
	// ReasonCheckingRegistry says that the registry is being asked whether it
	// has the image.
	ReasonCheckingRegistry = "CheckingRegistry"
	// ReasonQueued says that the build waits for others to end.
	ReasonQueued = "BuildQueued"
	// ReasonSharedBuild says that another function's build makes the image.
	ReasonSharedBuild = "WaitingForSharedBuild"
	// ReasonBuilding says that the build runs.
	ReasonBuilding = "Building"
	// ReasonConfirmingImage says that the registry is being asked for what a build has
	// pushed, and the image is signed.
	ReasonConfirmingImage = "ConfirmingImage"
	// ReasonRepositoryNotAllowed says that the image would go to a repository that is
	// not of the function's namespace.
	ReasonRepositoryNotAllowed = "RepositoryNotAllowed"
	// ReasonWaitingForSecret says that a Secret with the registry's credentials is
	// not there yet.
	ReasonWaitingForSecret = "WaitingForSecret"
	// ReasonImageLost says that the registry has deleted the image, which is built
	// again.
	ReasonImageLost = "ImageLost"
	// ReasonRetrying says that the build failed by the infrastructure's fault
	// and will be tried again.
	ReasonRetrying = "BuildRetrying"
	// ReasonWaitingForBuild says that there is no image yet.
	ReasonWaitingForBuild = "WaitingForBuild"
	// ReasonServiceNotOwned says that a Knative Service of that name is
	// somebody else's.
	ReasonServiceNotOwned = "ServiceNotOwned"
	// ReasonServiceRejected says that the API server refused the Knative
	// Service.
	ReasonServiceRejected = "ServiceRejected"
	// ReasonNoModelProxy says that the configuration names no image of the model
	// proxy.
	ReasonNoModelProxy = "NoModelProxy"
	// ReasonConcurrencyExceedsMemory is of an event: the memory limit has less than 16 MiB
	// for each worker, which has one call at a time.
	ReasonConcurrencyExceedsMemory = "ConcurrencyExceedsMemory"
	// ReasonServiceNotReconciled says that Knative has not yet seen the newest
	// Service.
	ReasonServiceNotReconciled = "ServiceNotReconciled"
	// ReasonBuildNotOwned says that a build Job or its input of that name is
	// somebody else's.
	ReasonBuildNotOwned = "BuildNotOwned"
	// ReasonBuildRejected says that the API server refused the build Job, for
	// example by a quota or a Pod Security level.
	ReasonBuildRejected = "BuildRejected"
	// ReasonBuildCancelled says that somebody has cancelled the build.
	ReasonBuildCancelled = "BuildCancelled"
)

var functionConditions = apis.NewLivingConditionSet(
	FunctionConditionSourceResolved,
	FunctionConditionBuildSucceeded,
	FunctionConditionServiceReady,
	FunctionConditionEventingReady,
)

// GetConditionSet implements duckv1.KRShaped.
func (*LambdaFunction) GetConditionSet() apis.ConditionSet { return functionConditions }

// IsReady tells whether the newest spec serves.
func (f *LambdaFunction) IsReady() bool {
	return f.Status.ObservedGeneration == f.Generation && f.Status.GetCondition(FunctionConditionReady).IsTrue()
}

// InitializeConditions makes every condition that is not there Unknown.
func (s *LambdaFunctionStatus) InitializeConditions() {
	functionConditions.Manage(s).InitializeConditions()
}

// Summarize makes Ready say what the first condition says, in the order of the
// phases, that is not True.
func (s *LambdaFunctionStatus) Summarize() {
	summarize(functionConditions.Manage(s), FunctionConditionSourceResolved, FunctionConditionBuildSucceeded, FunctionConditionServiceReady, ConditionDomainsReady, FunctionConditionEventingReady)
}

// MarkSourceResolved says that the source is known by its digest.
func (s *LambdaFunctionStatus) MarkSourceResolved() {
	functionConditions.Manage(s).MarkTrue(FunctionConditionSourceResolved)
}

// MarkSourceStale says that the source is known by its digest and could not be
// asked whether it still is: what runs, runs on.
func (s *LambdaFunctionStatus) MarkSourceStale(reason, message string) {
	functionConditions.Manage(s).MarkTrueWithReason(FunctionConditionSourceResolved, reason, "%s", message)
}

// MarkSourcePending says what resolving the source waits for.
func (s *LambdaFunctionStatus) MarkSourcePending(reason, message string) {
	functionConditions.Manage(s).MarkUnknown(FunctionConditionSourceResolved, reason, "%s", message)
}

// MarkSourceFailed says that the source cannot be had as it is.
func (s *LambdaFunctionStatus) MarkSourceFailed(reason, message string) {
	functionConditions.Manage(s).MarkFalse(FunctionConditionSourceResolved, reason, "%s", message)
}

// MarkBuildSucceeded says that the image is in the registry.
func (s *LambdaFunctionStatus) MarkBuildSucceeded() {
	functionConditions.Manage(s).MarkTrue(FunctionConditionBuildSucceeded)
}

// MarkBuildNotRequested says that the source is an image: nothing is built.
func (s *LambdaFunctionStatus) MarkBuildNotRequested() {
	functionConditions.Manage(s).MarkTrueWithReason(FunctionConditionBuildSucceeded, ReasonNotRequested, "The source is a ready-made image.")
}

// MarkBuildPending says what the build waits for.
func (s *LambdaFunctionStatus) MarkBuildPending(reason, message string) {
	functionConditions.Manage(s).MarkUnknown(FunctionConditionBuildSucceeded, reason, "%s", message)
}

// MarkBuildFailed says why there is no image and will be none of this spec.
func (s *LambdaFunctionStatus) MarkBuildFailed(reason, message string) {
	functionConditions.Manage(s).MarkFalse(FunctionConditionBuildSucceeded, reason, "%s", message)
}

// MarkServiceWaiting says what the Knative Service waits for.
func (s *LambdaFunctionStatus) MarkServiceWaiting(reason, message string) {
	functionConditions.Manage(s).MarkUnknown(FunctionConditionServiceReady, reason, "%s", message)
}

// MarkServiceFailed says why there can be no Knative Service.
func (s *LambdaFunctionStatus) MarkServiceFailed(reason, message string) {
	functionConditions.Manage(s).MarkFalse(FunctionConditionServiceReady, reason, "%s", message)
}

// PropagateService takes over what the Knative Service says of itself; its
// readiness only when it speaks of its newest generation.
func (s *LambdaFunctionStatus) PropagateService(service *servingv1.Service) {
	s.URL = service.Status.URL
	s.Address = service.Status.Address
	s.LatestCreatedRevisionName = service.Status.LatestCreatedRevisionName
	s.LatestReadyRevisionName = service.Status.LatestReadyRevisionName
	s.Traffic = service.Status.Traffic
	propagateService(functionConditions.Manage(s), FunctionConditionServiceReady, service)
}

// propagateService copies the readiness of a Knative Service to a condition.
// Where its newest revision has failed, Ready often only says that there is no
// revision to route to; why, is what the configuration says.
func propagateService(manager apis.ConditionManager, condition apis.ConditionType, service *servingv1.Service) {
	ready := service.Status.GetCondition(servingv1.ServiceConditionReady)
	if configurations := service.Status.GetCondition(servingv1.ServiceConditionConfigurationsReady); ready.IsFalse() && configurations.IsFalse() {
		ready = configurations
	}
	switch {
	case service.Generation != service.Status.ObservedGeneration:
		manager.MarkUnknown(condition, ReasonServiceNotReconciled, "Knative Serving has not yet seen the newest Service.")
	case ready == nil:
		manager.MarkUnknown(condition, ReasonServiceNotReconciled, "Knative Serving has not yet said whether the Service is ready.")
	case ready.Status == corev1.ConditionTrue:
		manager.MarkTrue(condition)
	case ready.Status == corev1.ConditionFalse:
		manager.MarkFalse(condition, ready.Reason, "%s", ready.Message)
	default:
		manager.MarkUnknown(condition, ready.Reason, "%s", ready.Message)
	}
}
