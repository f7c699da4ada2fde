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
}

func defaultDefaults() *Defaults {
	return &Defaults{
		FunctionTimeout:    5 * time.Minute,
		MaxFunctionTimeout: 9 * time.Minute,
		MaxBuildTimeout:    time.Hour,
		AgentMinReplicas:   1,
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
	if d.FunctionTimeout > d.MaxFunctionTimeout { // functions that name none would be refused
		p.fail("function-timeout", fmt.Errorf("expected no more than max-function-timeout (%v), got %v", d.MaxFunctionTimeout, d.FunctionTimeout))
	}
	return d, p.done()
}
