package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// LambdaFunctionStatus says what of a function runs.
type LambdaFunctionStatus struct {
	duckv1.Status `json:",inline"`

	// URL at which the function answers from outside.
	// +optional
	URL *apis.URL `json:"url,omitempty"`

	// Address at which events and requests reach the function in the cluster.
	// +optional
	Address *duckv1.Addressable `json:"address,omitempty"`

	// Visibility that is in force.
	// +optional
	Visibility Visibility `json:"visibility,omitempty"`

	// Domains of spec.domains.
	// +optional
	Domains []DomainStatus `json:"domains,omitempty"`

	// Source is what the source resolved to.
	// +optional
	Source *SourceStatus `json:"source,omitempty"`

	// Runtime is what of spec.runtime is in force, defaults included.
	// +optional
	Runtime *RuntimeStatus `json:"runtime,omitempty"`

	// Scaling is what of spec.scaling is in force, defaults included.
	// +optional
	Scaling *ScalingStatus `json:"scaling,omitempty"`

	// Concurrency is how many calls a pod takes at once, and why.
	// +optional
	Concurrency *ConcurrencyStatus `json:"concurrency,omitempty"`

	// Build is the newest build, or the image that was found instead of one.
	// +optional
	Build *BuildStatus `json:"build,omitempty"`

	// LatestCreatedRevisionName is the newest revision.
	// +optional
	LatestCreatedRevisionName string `json:"latestCreatedRevisionName,omitempty"`

	// LatestReadyRevisionName is the newest revision that can serve.
	// +optional
	LatestReadyRevisionName string `json:"latestReadyRevisionName,omitempty"`

	// Traffic is how requests are split between revisions.
	// +optional
	Traffic []servingv1.TrafficTarget `json:"traffic,omitempty"`

	// Brokers that the function receives from.
	// +optional
	Brokers []BrokerStatus `json:"brokers,omitempty"`

	// CallsURL accepts asynchronous calls in the cluster: any body by POST, which is
	// answered as soon as it is stored.
	// +optional
	CallsURL *apis.URL `json:"callsURL,omitempty"`

	// DeadLetterSinkURI is where undeliverable events go.
	// +optional
	DeadLetterSinkURI *apis.URL `json:"deadLetterSinkUri,omitempty"`
}

// SourceStatus is what a source resolved to.
type SourceStatus struct {
	// Type of the source.
	Type SourceType `json:"type"`

	// Digest of the content: sha256:<hexadecimal>.
	// +optional
	Digest string `json:"digest,omitempty"`

	// URL of the object store or of the git repository.
	// +optional
	URL string `json:"url,omitempty"`

	// Bucket and Key of an object.
	// +optional
	Bucket string `json:"bucket,omitempty"`
	// +optional
	Key string `json:"key,omitempty"`

	// VersionID of the object, where its bucket has versions.
	// +optional
	VersionID string `json:"versionId,omitempty"`

	// ETag of the object; of a prefix a digest of all that is below it.
	// +optional
	ETag string `json:"etag,omitempty"`

	// Size of the object, or of all below the prefix, in bytes.
	// +optional
	Size int64 `json:"size,omitempty"`

	// Ref of a git source as the spec has it.
	// +optional
	Ref string `json:"ref,omitempty"`

	// Path in a git repository.
	// +optional
	Path string `json:"path,omitempty"`

	// Commit that the ref is.
	// +optional
	Commit string `json:"commit,omitempty"`
}

// RuntimeStatus is the language that runs a function.
type RuntimeStatus struct {
	// Language of the function; empty for a ready-made image that names none.
	// +optional
	Language string `json:"language,omitempty"`

	// Version of the language that is used. It is newer than that of the spec where a
	// newer one runs what was written for an older one.
	// +optional
	Version string `json:"version,omitempty"`

	// VersionDefaulted says that the spec names no version. The version then stays as
	// long as the cluster offers it.
	// +optional
	VersionDefaulted bool `json:"versionDefaulted,omitempty"`

	// Handler that is called.
	// +optional
	Handler string `json:"handler,omitempty"`

	// Timeout of one invocation.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`
}

// ScalingStatus bounds the number of replicas.
type ScalingStatus struct {
	// MinReplicas are always there.
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// MaxReplicas are never exceeded; without it or with 0 there is no bound.
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
}

// ConcurrencyStatus is how many calls a pod takes at once, and why.
type ConcurrencyStatus struct {
	// PerPod is the number of calls that a pod has in hand at once, at most. Without it
	// there is no bound.
	// +optional
	PerPod *int32 `json:"perPod,omitempty"`

	// AutoscalerTarget is the number of calls per pod that the autoscaler aims at, where
	// Knative Serving's target percentage is the default of 70. It is missing where the
	// autoscaler watches another metric.
	// +optional
	AutoscalerTarget *Number `json:"autoscalerTarget,omitempty"`

	// WorkersPerPod is the number of worker processes. It is missing where the pod decides,
	// by its CPUs.
	// +optional
	WorkersPerPod *int32 `json:"workersPerPod,omitempty"`

	// Isolation says whether calls share a worker.
	// +optional
	Isolation Isolation `json:"isolation,omitempty"`

	// LimitedBy is the field that bounds perPod, or default.
	// +optional
	LimitedBy string `json:"limitedBy,omitempty"`
}

// BuildStatus is the newest build, or the image that was found instead of one.
type BuildStatus struct {
	// Reference is the image's name by content: the same source, base image and
	// settings give the same reference.
	// +optional
	Reference string `json:"reference,omitempty"`

	// Rebuild is the value of the rebuild annotation that this build answers.
	// +optional
	Rebuild string `json:"rebuild,omitempty"`

	// Settings is a hash of what of spec.build does not change the image, but may
	// make its build fail: a build that failed is tried anew with other settings.
	// +optional
	Settings string `json:"settings,omitempty"`

	// Image is the built image with its digest.
	// +optional
	Image string `json:"image,omitempty"`

	// JobName of the build; empty where there was none: the registry had the
	// image, or it was made without a pod.
	// +optional
	JobName string `json:"jobName,omitempty"`

	// Strategy that made the image; empty where the registry had it.
	// +optional
	Strategy BuildStrategy `json:"strategy,omitempty"`

	// Attempts of this build so far.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// StartTime of the last attempt.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// CompletionTime of the last attempt.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// Failure of the last attempt.
	// +optional
	Failure *BuildFailure `json:"failure,omitempty"`
}

// BuildFailure is why a build failed.
type BuildFailure struct {
	// Step that failed: source, build, push.
	// +optional
	Step string `json:"step,omitempty"`

	// Reason in CamelCase.
	Reason string `json:"reason"`

	// Message for a person.
	// +optional
	Message string `json:"message,omitempty"`

	// Retryable reports whether the fault may pass by itself.
	// +optional
	Retryable bool `json:"retryable,omitempty"`

	// Log is the last lines of the failing step.
	// +optional
	Log string `json:"log,omitempty"`
}

// BrokerStatus is a broker that a function or agent uses.
type BrokerStatus struct {
	// Name of the broker.
	Name string `json:"name"`

	// URL at which the broker takes events.
	// +optional
	URL *apis.URL `json:"url,omitempty"`

	// Ready reports whether it does.
	// +optional
	Ready bool `json:"ready,omitempty"`
}
