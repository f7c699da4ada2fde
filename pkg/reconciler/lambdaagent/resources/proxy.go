package resources

import (
	"errors"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/modelproxy"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
)

const (
	proxyContainer = "model-proxy"
	stateVolume    = v1alpha1.ModelProxyVolume
	stateDir       = "/var/lib/model-proxy"
	// agentContainer is what Knative Serving calls the container of a pod that has
	// one; with two it would number them.
	agentContainer = "user-container"
	// noKey is the key that an agent gets: client libraries insist on one.
	noKey = "unused"
)

// proxyPort where the agent finds the proxy, next to the agent's own if that is it.
func proxyPort(a *v1alpha1.LambdaAgent) int {
	const port = 8485
	if a.Spec.Image.Port == port {
		return port + 1
	}
	return port
}

func proxyURL(a *v1alpha1.LambdaAgent) string {
	return "http://127.0.0.1:" + strconv.Itoa(proxyPort(a))
}

// asTheAgentSeesIt is the model as the agent is told of it: behind the proxy, where
// there is one.
func asTheAgentSeesIt(a *v1alpha1.LambdaAgent) *v1alpha1.AISpec {
	ai := a.Spec.AI.DeepCopy()
	if !ai.Proxied() {
		return ai
	}
	if ai.Provider == v1alpha1.ProviderOllama {
		ai.Endpoint = proxyURL(a)
	} else {
		ai.Provider, ai.Endpoint = v1alpha1.ProviderOpenAICompatible, proxyURL(a)+"/v1"
	}
	if ai.Timeout != nil { // each model has its own; the agent waits for all
		ai.Timeout = v1alpha1.NewDuration(ai.Timeout.Value() * time.Duration(1+len(ai.Fallbacks)))
	}
	ai.APIKeySecretRef, ai.Fallbacks, ai.Budget = nil, nil, nil
	return ai
}

// placeholders are what clients of OpenAI's API look for.
func placeholders(a *v1alpha1.LambdaAgent) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "OPENAI_BASE_URL", Value: proxyURL(a) + "/v1"},
		{Name: "OPENAI_API_KEY", Value: noKey},
		{Name: "LLM_API_KEY", Value: noKey},
	}
}

// proxySettings is what the proxy reads of the agent's configuration, and where
// people find the providers: the spec's own words.
type proxySettings struct {
	v1alpha1.ModelSpec `json:",inline"`

	Temperature *v1alpha1.Number        `json:"temperature,omitempty"`
	TopP        *v1alpha1.Number        `json:"topP,omitempty"`
	MaxTokens   *int32                  `json:"maxTokens,omitempty"`
	Timeout     *v1alpha1.Duration      `json:"timeout,omitempty"`
	Budget      *v1alpha1.TokenBudget   `json:"budget,omitempty"`
	Fallbacks   []v1alpha1.FallbackSpec `json:"fallbacks,omitempty"`
	MaxReplicas *int32                  `json:"maxReplicas,omitempty"`
}

func proxyDocument(a *v1alpha1.LambdaAgent) *proxySettings {
	ai := &a.Spec.AI
	if !ai.Proxied() {
		return nil
	}
	s := &proxySettings{ModelSpec: ai.ModelSpec, Temperature: ai.Temperature, TopP: ai.TopP, MaxTokens: ai.MaxTokens,
		Timeout: ai.Timeout, Budget: ai.Budget, Fallbacks: ai.Fallbacks}
	if ai.Budget != nil {
		s.MaxReplicas = a.Spec.Scaling.MaxReplicas
	}
	return s
}

// AddModelProxy puts the model proxy beside the agent, where the agent has a model and
// does not refuse it.
func AddModelProxy(s *servingv1.Service, a *v1alpha1.LambdaAgent, defaults *config.Defaults) error {
	if !a.Spec.AI.Proxied() {
		return nil
	}
	if defaults.ModelProxyImage == "" {
		return errors.New("config-defaults has no model-proxy-image; set it, or ai.proxy: disabled")
	}
	pod := &s.Spec.Template.Spec.PodSpec
	pod.Containers[0].Name = agentContainer
	pod.Containers = append(pod.Containers, corev1.Container{
		Name:      proxyContainer,
		Image:     defaults.ModelProxyImage,
		Env:       proxyEnvironment(a),
		Resources: *defaults.ModelProxyResources.DeepCopy(),
		VolumeMounts: []corev1.VolumeMount{
			{Name: v1alpha1.AgentConfigVolume, MountPath: v1alpha1.AgentConfigDir, ReadOnly: true},
			{Name: stateVolume, MountPath: stateDir},
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: ptr.Bool(true), ReadOnlyRootFilesystem: ptr.Bool(true), AllowPrivilegeEscalation: ptr.Bool(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	})
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: stateVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	return nil
}

// proxyEnvironment has what no file may hold, and what is the proxy's alone.
func proxyEnvironment(a *v1alpha1.LambdaAgent) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: "LAMBDA_AGENT_CONFIG", Value: v1alpha1.AgentConfigDir + "/" + configFile},
		{Name: "LAMBDA_MODEL_PROXY_PORT", Value: strconv.Itoa(proxyPort(a))},
		{Name: "LAMBDA_MODEL_PROXY_STATE", Value: stateDir},
	}
	key := func(i int, from *corev1.SecretKeySelector) {
		if from != nil {
			env = append(env, corev1.EnvVar{Name: modelproxy.KeyVariable(i), ValueFrom: &corev1.EnvVarSource{SecretKeyRef: from.DeepCopy()}})
		}
	}
	key(0, a.Spec.AI.APIKeySecretRef)
	for i := range a.Spec.AI.Fallbacks {
		key(i+1, a.Spec.AI.KeyOf(i))
	}
	if o := a.Spec.Observability; o != nil {
		if o.Metrics != nil && o.Metrics.Enabled != nil && !*o.Metrics.Enabled {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_METRICS_PORT", Value: "0"})
		}
		if o.Metrics != nil && o.Metrics.Exemplars {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_METRICS_EXEMPLARS", Value: "true"})
		}
		if o.Logging != nil && o.Logging.Level != "" {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_LOG_LEVEL", Value: o.Logging.Level})
		}
		if o.Logging != nil && o.Logging.Format != "" {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_LOG_FORMAT", Value: o.Logging.Format})
		}
		if o.Logging != nil && o.Logging.TraceContext != nil {
			env = append(env, corev1.EnvVar{Name: "LAMBDA_LOG_TRACE_CONTEXT", Value: strconv.FormatBool(*o.Logging.TraceContext)})
		}
	}
	return append(env, kservice.Observability(a.Spec.Observability, a.Name)...)
}
