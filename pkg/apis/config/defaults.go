package config

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// DefaultsConfigName is the ConfigMap with what objects get when they leave it
// out.
const DefaultsConfigName = "config-defaults"

// Defaults is what objects get when they leave it out.
type Defaults struct {
	// FunctionTimeout of one invocation.
	FunctionTimeout time.Duration
	// MaxFunctionTimeout is the longest that a function may ask for.
	MaxFunctionTimeout time.Duration
	// MaxBuildTimeout is the longest that a function may ask for.
	MaxBuildTimeout time.Duration
	// FunctionMaxReplicas bounds functions that name no bound; 0 is none.
	FunctionMaxReplicas int
	// FunctionResources of functions that name none.
	FunctionResources corev1.ResourceRequirements
	// AgentMinReplicas keeps agents warm.
	AgentMinReplicas int
	// AgentMaxReplicas bounds agents that name no bound; 0 is none.
	AgentMaxReplicas int
	// AgentResources of agents that name none.
	AgentResources corev1.ResourceRequirements
	// AgentScaling of agents whose spec does not say it.
	AgentScaling AgentScaling
	// Visibility of functions and agents that name none.
	Visibility string
	// ExcludedLabelPrefixes and ExcludedAnnotationPrefixes are beginnings of keys that are
	// not passed on from functions and agents to their Services and pods.
	ExcludedLabelPrefixes, ExcludedAnnotationPrefixes []string
	// ModelProbe is how the models of agents are looked at.
	ModelProbe ModelProbe
	// ModelProxyImage is the sidecar of agents that have a model.
	ModelProxyImage string
	// ModelProxyResources of that sidecar.
	ModelProxyResources corev1.ResourceRequirements
}

// Visibilities of Knative Services.
const (
	VisibilityExternal     = "external"
	VisibilityClusterLocal = "cluster-local"
)

// AgentScaling is when replicas of an agent come and go. A conversation is one long
// request after another with pauses in which a person thinks.
type AgentScaling struct {
	// TargetConcurrency of conversations at once per replica; 0 leaves it to
	// Knative Serving, as it does with the durations.
	TargetConcurrency int
	// Window over which the autoscaler averages.
	Window time.Duration
	// ScaleDownDelay is how long less must be going on before a replica goes.
	ScaleDownDelay time.Duration
	// ScaleToZeroRetention of the last replica of agents that may scale to zero.
	ScaleToZeroRetention time.Duration
}

// ModelProbe is how the models of agents are looked at.
type ModelProbe struct {
	// Interval between two looks at an endpoint; 0 is never.
	Interval time.Duration
	// Timeout of one look.
	Timeout time.Duration
}

const (
	// servingTimeout is Knative Serving's max-revision-timeout-seconds, unless it is
	// configured otherwise. Its revision-timeout-seconds is half of it.
	servingTimeout = 10 * time.Minute
	// timeoutGrace is how much later than the runtime Knative Serving gives up a call, so
	// that the runtime's own answer still gets out.
	timeoutGrace = 5 * time.Second
)

func defaultDefaults() *Defaults {
	return &Defaults{
		FunctionTimeout:    servingTimeout/2 - timeoutGrace,
		MaxFunctionTimeout: servingTimeout - timeoutGrace,
		MaxBuildTimeout:    time.Hour,
		AgentMinReplicas:   1,
		AgentScaling: AgentScaling{
			TargetConcurrency: 10, Window: 3 * time.Minute, ScaleDownDelay: 5 * time.Minute, ScaleToZeroRetention: 10 * time.Minute,
		},
		Visibility: VisibilityExternal,
		// Tools that find what they have applied by it would take children for their own.
		ExcludedLabelPrefixes: []string{"argocd.argoproj.io/", "helm.sh/", "helm.toolkit.fluxcd.io/", "kapp.k14s.io/", "kustomize.toolkit.fluxcd.io/"},
		ExcludedAnnotationPrefixes: []string{
			"argocd.argoproj.io/", "helm.sh/", "kapp.k14s.io/", "kustomize.toolkit.fluxcd.io/", "meta.helm.sh/", "reconcile.fluxcd.io/",
		},
		ModelProbe: ModelProbe{Interval: time.Minute, Timeout: 5 * time.Second},
	}
}

// NewDefaultsFromConfigMap parses config-defaults. The error names the key and
// what would be right.
func NewDefaultsFromConfigMap(cm *corev1.ConfigMap) (*Defaults, error) {
	d := defaultDefaults()
	p := newParser(DefaultsConfigName, cm.Data)
	p.duration("function-timeout", &d.FunctionTimeout, time.Second, 24*time.Hour)
	p.duration("max-function-timeout", &d.MaxFunctionTimeout, time.Second, 24*time.Hour)
	p.duration("max-build-timeout", &d.MaxBuildTimeout, time.Second, 24*time.Hour)
	p.integer("function-max-replicas", &d.FunctionMaxReplicas, 0, 10000)
	p.yaml("function-resources", &d.FunctionResources)
	p.integer("agent-min-replicas", &d.AgentMinReplicas, 0, 10000)
	p.integer("agent-max-replicas", &d.AgentMaxReplicas, 0, 10000)
	p.yaml("agent-resources", &d.AgentResources)
	p.integer("agent-target-concurrency", &d.AgentScaling.TargetConcurrency, 0, 1000)
	p.seconds("agent-window", &d.AgentScaling.Window, 6*time.Second, time.Hour)
	p.seconds("agent-scale-down-delay", &d.AgentScaling.ScaleDownDelay, time.Second, time.Hour)
	p.seconds("agent-scale-to-zero-retention", &d.AgentScaling.ScaleToZeroRetention, time.Second, time.Hour)
	p.text("default-visibility", &d.Visibility, oneOf(VisibilityExternal, VisibilityClusterLocal))
	p.list("excluded-label-prefixes", &d.ExcludedLabelPrefixes, keyPrefix)
	p.list("excluded-annotation-prefixes", &d.ExcludedAnnotationPrefixes, keyPrefix)
	p.orNone("model-probe-interval", &d.ModelProbe.Interval, time.Second, 24*time.Hour)
	p.duration("model-probe-timeout", &d.ModelProbe.Timeout, time.Second, time.Minute)
	p.text("model-proxy-image", &d.ModelProxyImage, imageReference)
	p.yaml("model-proxy-resources", &d.ModelProxyResources)
	if d.FunctionTimeout > d.MaxFunctionTimeout { // functions that name none would be refused
		p.fail("function-timeout", fmt.Errorf("expected no more than max-function-timeout (%v), got %v", d.MaxFunctionTimeout, d.FunctionTimeout))
	}
	return d, p.done()
}
