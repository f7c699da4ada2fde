package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// BuildStrategy is a way to make an image from source.
type BuildStrategy string

const (
	// BuildAuto takes the cheapest strategy that can make the image.
	BuildAuto BuildStrategy = "auto"
	// BuildKaniko builds with Kaniko in a Job.
	BuildKaniko BuildStrategy = "kaniko"
	// BuildLayer puts the source as a layer on the base image, without a pod. It
	// is what auto takes where nothing has to be installed or compiled, and
	// cannot be asked for.
	BuildLayer BuildStrategy = "layer"
)

// BuildSpec says how the image is made.
type BuildSpec struct {
	// Strategy that makes the image; default auto: a layer on the base image where
	// nothing has to be installed or compiled, else Kaniko.
	// +optional
	// +kubebuilder:validation:Enum=auto;kaniko
	Strategy BuildStrategy `json:"strategy,omitempty"`

	// Timeout of one build, queue not counted.
	// +optional
	Timeout *Duration `json:"timeout,omitempty"`

	// Registry that the image is pushed to, host[:port][/path]; default from
	// config-build. The path begins the repository. The cluster may know the registry by
	// another name (config-build, registry-aliases), and it replaces a local registry that
	// its configuration does not name by its own: status.build.reference has the one that
	// is used.
	// +optional
	// +kubebuilder:validation:MaxLength=509
	// +kubebuilder:validation:XValidation:rule="self == \"\" || self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?(/[a-z0-9._-]+)*/?$')",message="expected a registry as host[:port][/path], without a scheme, such as ghcr.io/owner",messageExpression="'expected a registry as host[:port][/path], without a scheme, such as ghcr.io/owner, not ' + self"
	Registry string `json:"registry,omitempty"`

	// Repository in the registry; default from config-build. In a registry that the
	// cluster's configuration names, it begins with the namespace's own path, unless
	// pushSecretRef is set.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Repository string `json:"repository,omitempty"`

	// RegistryType is accepted for older manifests. local says that the registry is one
	// beside a local cluster; all others have no effect.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	RegistryType string `json:"registryType,omitempty"`

	// Insecure is accepted for older manifests. config-build alone decides which
	// registries speak plain HTTP; true says that the registry is one beside a local
	// cluster.
	// +optional
	Insecure *bool `json:"insecure,omitempty"`

	// ImagePullSecret names a Secret of type kubernetes.io/dockerconfigjson
	// with which base images are pulled during the build.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ImagePullSecret string `json:"imagePullSecret,omitempty"`

	// PushSecretRef names a Secret of type kubernetes.io/dockerconfigjson with
	// which the image is pushed.
	// +optional
	PushSecretRef *corev1.LocalObjectReference `json:"pushSecretRef,omitempty"`

	// Resources of the build's container; default from config-build.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// Args are build arguments (ARG) of the Dockerfile.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Args []BuildArg `json:"args,omitempty"`

	// Dockerfile is the path of a Dockerfile inside the source, for full control.
	// Its context is the source; the build arguments BASE_IMAGE and RUNTIME_IMAGE
	// name the language's base image and the image with the lambda runtime.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Dockerfile string `json:"dockerfile,omitempty"`

	// Cache says whether layers are cached in the registry; default from
	// config-build. It takes a Secret to push with: pushSecretRef or the cluster's.
	// +optional
	Cache *bool `json:"cache,omitempty"`
}

// BuildArg is a build argument of a Dockerfile. It is part of the image's
// history: no place for a secret.
type BuildArg struct {
	// Name of the argument.
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// Value of the argument.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
}
