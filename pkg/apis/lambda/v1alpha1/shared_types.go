package v1alpha1

// ScalingSpec bounds the number of replicas and says when to add one. It
// becomes the autoscaling annotations of Knative Serving.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0 || self.minReplicas <= self.maxReplicas",message="scaling.minReplicas: must be no more than maxReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.concurrency) || !has(self.containerConcurrency)",message="scaling: expected only one of concurrency, containerConcurrency: containerConcurrency is the older name"
// +kubebuilder:validation:XValidation:rule="!has(self.concurrency) || !has(self.targetConcurrency) || self.targetConcurrency <= self.concurrency",message="scaling.targetConcurrency: must be no more than concurrency"
type ScalingSpec struct {
	// MinReplicas are always there; 0 lets it scale to zero.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// MaxReplicas are never exceeded; 0 is no bound.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`

	// Concurrency is the number of requests that a replica has in hand at once, at most.
	// More wait until a replica is free or another one is started. Default: 100 for
	// functions; runtime.workers where each worker has one call at a time; none for agents
	// and ready-made images. status.concurrency of a function shows what is in force.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Concurrency *int32 `json:"concurrency,omitempty"`

	// TargetConcurrency is the number of requests at once per replica that the
	// autoscaler scales by; no more than concurrency. Default: concurrency. The autoscaler
	// aims at a part of it, 70 % unless Knative Serving is configured otherwise.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TargetConcurrency *int32 `json:"targetConcurrency,omitempty"`

	// ContainerConcurrency is the older name of concurrency. 0 is no bound.
	//
	// Deprecated: use concurrency.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	ContainerConcurrency *int64 `json:"containerConcurrency,omitempty"`

	// ScaleToZeroGracePeriod is how long the last replica stays after its last
	// request.
	// +optional
	ScaleToZeroGracePeriod *Duration `json:"scaleToZeroGracePeriod,omitempty"`

	// ScaleDownDelay is how long less must be going on before a replica goes: 0s
	// to 1h.
	// +optional
	ScaleDownDelay *Duration `json:"scaleDownDelay,omitempty"`

	// Metric that the autoscaler watches.
	// +optional
	// +kubebuilder:validation:Enum=concurrency;rps;cpu;memory
	Metric string `json:"metric,omitempty"`

	// Target value of the metric per replica: requests at once, requests per
	// second, percent of a CPU, or MiB.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Target *int32 `json:"target,omitempty"`

	// Window over which the autoscaler averages: 6s to 1h.
	// +optional
	Window *Duration `json:"window,omitempty"`

	// InitialScale is the number of replicas that a new revision starts with.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	InitialScale *int32 `json:"initialScale,omitempty"`
}

// ObservabilitySpec says what the program reports about itself.
type ObservabilitySpec struct {
	// Tracing of requests.
	// +optional
	Tracing *TracingSpec `json:"tracing,omitempty"`

	// Metrics of requests.
	// +optional
	Metrics *MetricsSpec `json:"metrics,omitempty"`

	// Logging of the program.
	// +optional
	Logging *LoggingSpec `json:"logging,omitempty"`
}

// TracingSpec is where spans go.
type TracingSpec struct {
	// Enabled turns tracing on.
	// +optional
	Enabled bool `json:"enabled,omitempty"`

	// SamplingRate is the share of new traces that are recorded: 0 to 1, a
	// number or the same as a string; default 1.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 0.0 && self <= 1.0",message="samplingRate: must be between 0 and 1"
	SamplingRate *Number `json:"samplingRate,omitempty"`

	// Endpoint of an OTLP collector: host:port for OTLP over gRPC without TLS, as
	// inside the cluster, or a URL for OTLP over HTTP.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+(/[^?#]*)?$') || self.matches('^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]]):[0-9]{1,5}$')",message="expected host:port for OTLP over gRPC, or a URL that begins with http:// or https://, without user info, query and fragment, for OTLP over HTTP"
	Endpoint string `json:"endpoint,omitempty"`
}

// MetricsSpec turns the runtime's metrics on or off.
type MetricsSpec struct {
	// Enabled exposes metrics; default true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// Exemplars adds to the histograms, where they are scraped as OpenMetrics, the
	// trace of one measurement per bucket; default false. An agent gets it as
	// OTEL_METRICS_EXEMPLAR_FILTER.
	// +optional
	Exemplars bool `json:"exemplars,omitempty"`
}

// LoggingSpec is how the program logs.
type LoggingSpec struct {
	// Level is the least that is logged.
	// +optional
	// +kubebuilder:validation:Enum=debug;info;warning;error
	Level string `json:"level,omitempty"`

	// Format of log lines.
	// +optional
	// +kubebuilder:validation:Enum=json;text
	Format string `json:"format,omitempty"`

	// TraceContext puts trace_id and span_id of an invocation on its log lines,
	// where these are JSON and the invocation has a trace; default true. An agent
	// gets it as LOG_TRACE_CONTEXT.
	// +optional
	TraceContext *bool `json:"traceContext,omitempty"`
}
