package v1alpha1

import corev1 "k8s.io/api/core/v1"

// PodSettings are Kubernetes' own settings of a pod that functions and agents may use;
// each field means what it means in a PodSpec. Knative Serving allows some of them only
// where config-features has their flag.
type PodSettings struct {
	// Volumes of ConfigMaps, Secrets and projections of them, of emptyDir and of
	// PersistentVolumeClaims.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// VolumeMounts say where the volumes appear.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// InitContainers run one after another before the program starts.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	InitContainers []InitContainer `json:"initContainers,omitempty"`

	// ReadinessProbe says whether a pod gets requests. Default: the runtime's own, for
	// functions that are built here; else an open port.
	// +optional
	ReadinessProbe *corev1.Probe `json:"readinessProbe,omitempty"`

	// LivenessProbe says whether the container has to be restarted. Default: none.
	// +optional
	LivenessProbe *corev1.Probe `json:"livenessProbe,omitempty"`

	// StartupProbe says whether the program has started; the other probes wait for it.
	// Default: none.
	// +optional
	StartupProbe *corev1.Probe `json:"startupProbe,omitempty"`

	// NodeSelector names labels of the nodes that pods may run on.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Tolerations are the taints of nodes that pods may run on all the same.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// Affinity to nodes and to other pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// TopologySpreadConstraints spread pods over nodes and zones.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// PriorityClassName of the pods; not one of Kubernetes' own, which begin with system-.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system-')",message="classes that begin with system- are Kubernetes' own: choose another one"
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// RuntimeClassName of the pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// RestartOnChange rolls a new revision when a Secret or a ConfigMap changes that the
	// pods refer to. Default true.
	// +optional
	RestartOnChange *bool `json:"restartOnChange,omitempty"`
}

// Restarts reports whether a changed Secret or ConfigMap rolls a new revision.
func (p *PodSettings) Restarts() bool { return p.RestartOnChange == nil || *p.RestartOnChange }

// InitContainer runs to its end before the program starts. It mounts the volumes of the
// pod.
type InitContainer struct {
	// Name of the container.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Image that it runs.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`

	// PullPolicy of the image.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	PullPolicy corev1.PullPolicy `json:"pullPolicy,omitempty"`

	// Command instead of the image's entry point.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Command []string `json:"command,omitempty"`

	// Args of the command.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Args []string `json:"args,omitempty"`

	// Env of the container. It gets nothing of the platform's environment.
	// +optional
	// +kubebuilder:validation:MaxItems=512
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom takes environment from ConfigMaps and Secrets.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// Resources of the container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty,omitzero"`

	// VolumeMounts say where the volumes appear.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// SecurityContext of the container, with the bounds and defaults of
	// spec.securityContext.
	// +optional
	SecurityContext *corev1.SecurityContext `json:"securityContext,omitempty"`
}

// What the platform puts into the pods of agents.
const (
	// AgentConfigVolume has the agent's configuration, in AgentConfigDir.
	AgentConfigVolume = "lambda-agent"
	AgentConfigDir    = "/etc/lambda-agent"
	// ModelProxyVolume has the state of the model proxy.
	ModelProxyVolume = "model-proxy-state"
)
