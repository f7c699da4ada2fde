package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"
	"knative.dev/pkg/webhook/resourcesemantics"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// LambdaFunction turns source code into a container image, built in the
// cluster, and runs it as a Knative Service that scales from zero and answers
// HTTP requests and CloudEvents.
//
// +genclient
// +genreconciler
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:path=lambdafunctions,shortName=lf;lfunc,categories=all;knative
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Language",type=string,JSONPath=`.status.runtime.language`
// +kubebuilder:printcolumn:name="Version",type=string,priority=1,JSONPath=`.status.runtime.version`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.status.build.image`
// +kubebuilder:printcolumn:name="Concurrency",type=integer,priority=1,JSONPath=`.status.concurrency.perPod`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"app.kubernetes.io/name=knative-lambda","app.kubernetes.io/version=devel","duck.knative.dev/addressable=true","knative.dev/crd-install=true"}
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name: must be no more than 63 characters"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name: must be a DNS-1035 label: lower-case letters, digits and '-', beginning with a letter"
type LambdaFunction struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says what to run and how it is called.
	// +required
	Spec LambdaFunctionSpec `json:"spec,omitempty"`

	// Status says what runs.
	// +optional
	Status LambdaFunctionStatus `json:"status,omitempty"`
}

var (
	_ apis.Validatable             = (*LambdaFunction)(nil)
	_ apis.Defaultable             = (*LambdaFunction)(nil)
	_ apis.HasSpec                 = (*LambdaFunction)(nil)
	_ runtime.Object               = (*LambdaFunction)(nil)
	_ kmeta.OwnerRefable           = (*LambdaFunction)(nil)
	_ duckv1.KRShaped              = (*LambdaFunction)(nil)
	_ resourcesemantics.GenericCRD = (*LambdaFunction)(nil)
)

// LambdaFunctionSpec says what to run and how it is called.
//
// +kubebuilder:validation:XValidation:rule="has(self.source.image) || (has(self.runtime) && has(self.runtime.language) && size(self.runtime.language) > 0)",message="spec.runtime.language: missing; name the language of the source"
// +kubebuilder:validation:XValidation:rule="!has(self.runtime) || !has(self.runtime.isolation) || self.runtime.isolation != 'exclusive' || !has(self.runtime.workers) || !has(self.scaling) || !has(self.scaling.concurrency) || self.runtime.workers == self.scaling.concurrency",message="spec.runtime.workers: with isolation exclusive, expected the number of scaling.concurrency, or only one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.source.image) || (!has(self.http) || !has(self.http.cors) && !has(self.http.maxBodySize)) && (!has(self.runtime) || !has(self.runtime.workers) && !has(self.runtime.isolation) && !has(self.runtime.interface) && !has(self.runtime.httpEvent))",message="a ready-made image answers requests itself: remove http.cors, http.maxBodySize, runtime.workers, runtime.isolation, runtime.interface and runtime.httpEvent"
// +kubebuilder:validation:XValidation:rule="!has(self.domains) || size(self.domains) == 0 || !has(self.visibility) || self.visibility != 'cluster-local'",message="spec.domains: would publish the function: remove them, or set visibility: external"
// +kubebuilder:validation:XValidation:rule="!has(self.schedules) || size(self.schedules) == 0 || (has(self.eventing) && has(self.eventing.enabled) && self.eventing.enabled)",message="spec.schedules: expected eventing.enabled to be true: the events of schedules come through a Broker"
type LambdaFunctionSpec struct {
	// Source is where the code comes from.
	Source FunctionSource `json:"source"`

	// Runtime is the language that runs the code.
	// +optional
	Runtime FunctionRuntime `json:"runtime,omitempty,omitzero"`

	// Exposure is who can call the function, and by which names.
	Exposure `json:",inline"`

	// HTTP is how the function answers requests.
	// +optional
	HTTP *HTTPSpec `json:"http,omitempty"`

	// Build says how the image is made.
	// +optional
	Build BuildSpec `json:"build,omitempty,omitzero"`

	// Scaling bounds the number of replicas.
	// +optional
	Scaling ScalingSpec `json:"scaling,omitempty,omitzero"`

	// FunctionPod is what of Kubernetes' own pod settings a function may use.
	FunctionPod `json:",inline"`

	// Triggers deliver events of existing brokers to the function.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Triggers []FunctionTrigger `json:"triggers,omitempty"`

	// Eventing gives the function a broker, a dead letter queue and a sink.
	// +optional
	Eventing *FunctionEventing `json:"eventing,omitempty"`

	// Schedules send events to the function at certain times.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Schedules []Schedule `json:"schedules,omitempty"`

	// Observability says what the function reports about itself.
	// +optional
	Observability *ObservabilitySpec `json:"observability,omitempty"`

	// Traffic splits requests between the function's revisions; default 100 %
	// to the latest that is ready.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.map(t, has(t.percent) ? t.percent : 0).sum() == 100",message="the percents must add up to 100"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.percent) || (self.percent >= 0 && self.percent <= 100)",message="expected a percent from 0 to 100",fieldPath=".percent"
	// +kubebuilder:validation:items:XValidation:rule="!(has(self.revisionName) && self.revisionName != '' && has(self.latestRevision) && self.latestRevision)",message="expected only one of latestRevision, revisionName"
	Traffic []servingv1.TrafficTarget `json:"traffic,omitempty"`
}

// FunctionPod is what of Kubernetes' own pod settings a function may use; each
// field means what it means in a PodSpec.
type FunctionPod struct {
	// Resources of the function's container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty,omitzero"`

	// Env is the function's environment. PORT and names that begin with K_ or
	// LAMBDA_ are the platform's.
	// +optional
	// +kubebuilder:validation:MaxItems=512
	// +kubebuilder:validation:items:XValidation:rule="self.name != 'PORT' && !self.name.startsWith('K_') && !self.name.startsWith('LAMBDA_')",message="the platform sets PORT, K_* and LAMBDA_* itself: choose another name",messageExpression="'the platform sets PORT, K_* and LAMBDA_* itself: choose another name than ' + self.name",fieldPath=".name"
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom takes environment from ConfigMaps and Secrets.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// ServiceAccountName is what the function runs as. Without one it gets no
	// API token.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// SecurityContext of the container. What it leaves out is as Pod Security's
	// profile restricted asks: not root, no capabilities, no more privileges than
	// at the start, the runtime's seccomp profile. An image that has to run as root
	// says runAsNonRoot: false.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.privileged) || !self.privileged",message="privileged: expected false or nothing"
	// +kubebuilder:validation:XValidation:rule="!has(self.capabilities) || !has(self.capabilities.add) || size(self.capabilities.add) == 0",message="capabilities.add: must not be set"
	// +kubebuilder:validation:XValidation:rule="!has(self.appArmorProfile) && !has(self.procMount) && !has(self.seLinuxOptions) && !has(self.windowsOptions)",message="must not set appArmorProfile, procMount, seLinuxOptions or windowsOptions"
	// +kubebuilder:validation:XValidation:rule="!has(self.seccompProfile) || self.seccompProfile.type in ['RuntimeDefault', 'Localhost']",message="seccompProfile.type: expected RuntimeDefault or Localhost"
	// +kubebuilder:validation:XValidation:rule="!has(self.seccompProfile) || (self.seccompProfile.type == 'Localhost') == (has(self.seccompProfile.localhostProfile) && self.seccompProfile.localhostProfile != '')",message="seccompProfile.localhostProfile: goes with type Localhost, and that with it"
	// +kubebuilder:validation:XValidation:rule="!has(self.runAsNonRoot) || !self.runAsNonRoot || !has(self.runAsUser) || self.runAsUser != 0",message="runAsUser: 0 is root, and runAsNonRoot is true"
	// +kubebuilder:validation:XValidation:rule="(!has(self.runAsUser) || self.runAsUser >= 0 && self.runAsUser <= 2147483647) && (!has(self.runAsGroup) || self.runAsGroup >= 0 && self.runAsGroup <= 2147483647)",message="runAsUser and runAsGroup: expected 0 to 2147483647"
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`

	// ImagePullSecrets are the Secrets with which the node pulls the image.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// PodSettings are those that agents have, too.
	PodSettings `json:",inline"`
}

// FunctionRuntime is the language that runs the code.
type FunctionRuntime struct {
	// Language is one of the cluster's configuration (config-runtimes).
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Language string `json:"language,omitempty"`

	// Version of the language. Default: the newest that the cluster offers when the
	// function is created, and that one as long as the cluster offers it.
	// status.runtime shows what is in force: a newer Go also runs what was written for
	// an older one. Where the cluster does not offer the version, a condition says
	// which it offers.
	// +optional
	Version RuntimeVersion `json:"version,omitempty"`

	// Handler is the function that is called: for Python <module>.<function>.
	// Default: that of the language (config-runtimes), in status.runtime.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_./-]*$')",message="expected a name such as main.handler"
	Handler string `json:"handler,omitempty"`

	// Timeout of one call, from its arrival to the end of its answer, streams and waiting
	// included; longer ones end with an error. Default: function-timeout of
	// config-defaults, in status.runtime.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`

	// Workers is the number of worker processes in a pod. Default: with isolation shared
	// the CPU limit, else the node's CPUs, from 2 to 8; with exclusive scaling.concurrency,
	// else the CPU limit rounded up, else 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Workers *int32 `json:"workers,omitempty"`

	// Isolation exclusive gives each worker one call at a time, in its main thread: for
	// handlers that are not safe to run beside themselves. The pod then takes as many calls
	// as it has workers. Default shared; exclusive for languages whose workers take one
	// call at a time (protocol frames or aws-lambda in config-runtimes).
	// +optional
	Isolation Isolation `json:"isolation,omitempty"`

	// Interface of the handler, where the worker does not recognise it by itself. Default
	// auto.
	// +optional
	Interface Interface `json:"interface,omitempty"`

	// HTTPEvent is what the handler gets of a plain request: decoded, the body by its
	// content type, or aws-v2, the event of a function URL of AWS Lambda. Default decoded;
	// aws-v2 for programs for AWS Lambda.
	// +optional
	HTTPEvent HTTPEvent `json:"httpEvent,omitempty"`
}

// LambdaFunctionList is a list of LambdaFunctions.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type LambdaFunctionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []LambdaFunction `json:"items"`
}

// GetGroupVersionKind implements kmeta.OwnerRefable.
func (*LambdaFunction) GetGroupVersionKind() schema.GroupVersionKind {
	return SchemeGroupVersion.WithKind("LambdaFunction")
}

// GetUntypedSpec implements apis.HasSpec.
func (f *LambdaFunction) GetUntypedSpec() interface{} { return f.Spec }

// GetStatus implements duckv1.KRShaped.
func (f *LambdaFunction) GetStatus() *duckv1.Status { return &f.Status.Status }
