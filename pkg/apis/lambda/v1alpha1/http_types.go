package v1alpha1

import runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"

// HTTPSpec is how a function answers HTTP requests.
type HTTPSpec struct {
	// CORS lets pages of other origins call the function: the runtime answers preflight
	// requests, and adds the headers to all answers, those of errors included.
	// +optional
	CORS *CORSSpec `json:"cors,omitempty"`

	// MaxBodySize of a request that the handler gets whole, decoded, and of such an
	// answer: 1Ki to 1Gi. Default 16Mi. Streams have no bound but the timeout.
	// +optional
	MaxBodySize ByteSize `json:"maxBodySize,omitempty"`

	// FullDuplex lets the function answer while it still reads the request. Knative
	// Serving calls it http-full-duplex; some clients do not expect it.
	// +optional
	FullDuplex bool `json:"fullDuplex,omitempty"`
}

// CORSSpec is what pages of other origins may do.
//
// +kubebuilder:validation:XValidation:rule="!has(self.allowCredentials) || !self.allowCredentials || !self.allowOrigins.exists(o, o == '*')",message="allowCredentials: browsers refuse it with allowOrigins *: name the origins"
type CORSSpec struct {
	// AllowOrigins are the origins that may call: exact (https://app.example.com), * for
	// all, or subdomains (*.example.com, or https://*.example.com for one scheme).
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self == '*' || self.matches('^([a-z][a-z0-9+.-]*://([*][.])?|[*][.])([a-z0-9]([a-z0-9.-]*[a-z0-9])?|[[][0-9a-f:.]+[]])(:[0-9]{1,5})?$')",message="expected an origin such as https://app.example.com or http://localhost:3000, *.example.com or *"
	AllowOrigins []string `json:"allowOrigins"`

	// AllowMethods that pages may use. Default: GET, HEAD, POST, PUT, PATCH and DELETE.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^[!#$%&'*+.^_|~0-9A-Za-z-]+$`
	AllowMethods []string `json:"allowMethods,omitempty"`

	// AllowHeaders that pages may send. Default: Content-Type.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[!#$%&'*+.^_|~0-9A-Za-z-]+$`
	AllowHeaders []string `json:"allowHeaders,omitempty"`

	// ExposeHeaders of answers that pages may read.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[!#$%&'*+.^_|~0-9A-Za-z-]+$`
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`

	// AllowCredentials lets pages send cookies and HTTP authentication; not with
	// allowOrigins *.
	// +optional
	AllowCredentials bool `json:"allowCredentials,omitempty"`

	// MaxAge is how long browsers keep the answer to a preflight request: 0s to 24h.
	// +optional
	MaxAge *Duration `json:"maxAge,omitempty"`
}

// ByteSize is a number of bytes as Kubernetes writes it, such as 16Mi.
//
// +kubebuilder:validation:MaxLength=20
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,10}(Ki|Mi|Gi|k|M|G)?$') && quantity(self).compareTo(quantity('1Ki')) >= 0 && quantity(self).compareTo(quantity('1Gi')) <= 0",message="expected a size from 1Ki to 1Gi such as 16Mi"
type ByteSize string

// Isolation says whether calls share a worker process.
//
// +kubebuilder:validation:Enum=shared;exclusive
type Isolation string

// The isolations of calls.
const (
	// IsolationShared lets a worker run many calls at once.
	IsolationShared Isolation = runtimeconfig.IsolationShared
	// IsolationExclusive gives a worker one call at a time.
	IsolationExclusive Isolation = runtimeconfig.IsolationExclusive
)

// Interface is what kind of handler a function has.
//
// +kubebuilder:validation:Enum=auto;handler;asgi;wsgi;listener;fetch
type Interface string

// InterfaceAuto lets the worker recognise the handler's kind.
const InterfaceAuto Interface = runtimeconfig.InterfaceAuto

// HTTPEvent is what a handler gets of a plain request.
//
// +kubebuilder:validation:Enum=decoded;aws-v2
type HTTPEvent string

// The events of plain requests.
const (
	// HTTPEventDecoded is the body, decoded by its content type.
	HTTPEventDecoded HTTPEvent = runtimeconfig.HTTPEventDecoded
	// HTTPEventAWS is the event of a function URL of AWS Lambda, in format 2.0.
	HTTPEventAWS HTTPEvent = runtimeconfig.HTTPEventAWS
)
