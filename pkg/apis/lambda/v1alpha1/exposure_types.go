package v1alpha1

// Exposure is who can call a function or an agent, and by which names.
type Exposure struct {
	// Visibility external answers at the cluster's ingress; cluster-local only inside the
	// cluster. Default: default-visibility of config-defaults.
	// +optional
	Visibility Visibility `json:"visibility,omitempty"`

	// Domains are names of your own for it. Each becomes a DomainMapping of Knative
	// Serving, for which an administrator has allowed the domain by a ClusterDomainClaim.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Domains []Domain `json:"domains,omitempty"`
}

// Visibility is from where a function or an agent can be called.
//
// +kubebuilder:validation:Enum=external;cluster-local
type Visibility string

// The visibilities.
const (
	VisibilityExternal     Visibility = "external"
	VisibilityClusterLocal Visibility = "cluster-local"
)

// Domain is a name of a function or an agent.
type Domain struct {
	// Name of the domain, such as orders.example.com.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="expected a domain such as orders.example.com"
	Name string `json:"name"`

	// TLSSecretName is a Secret of type kubernetes.io/tls with the domain's certificate.
	// Default: a certificate that Knative Serving gets, where it is configured to.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TLSSecretName string `json:"tlsSecretName,omitempty"`
}

// DomainStatus is what became of a domain.
type DomainStatus struct {
	// Name of the domain.
	Name string `json:"name"`

	// URL at which it answers.
	// +optional
	URL string `json:"url,omitempty"`

	// Ready says whether it answers.
	Ready bool `json:"ready"`
}
