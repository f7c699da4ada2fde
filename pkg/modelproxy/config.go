// Package modelproxy is what an agent talks to instead of its model's provider:
// an endpoint in the agent's own pod that speaks OpenAI's API, and Ollama's where
// the model is one of Ollama's. It holds the keys, fills in what requests leave
// out, tries again, falls back, keeps to a budget, and measures.
package modelproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// DefaultTimeout of one model, where the agent names none.
const DefaultTimeout = 2 * time.Minute

// Settings is the part of the agent's configuration file that the proxy reads:
// the providers as the spec names them.
type Settings struct {
	Model
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"topP,omitempty"`
	MaxTokens   *int64   `json:"maxTokens,omitempty"`
	Timeout     string   `json:"timeout,omitempty"`
	Budget      *Budget  `json:"budget,omitempty"`
	Fallbacks   []Model  `json:"fallbacks,omitempty"`
	// MaxReplicas of the agent, by which the budget is shared out.
	MaxReplicas int64 `json:"maxReplicas,omitempty"`
}

// Model is one that may be asked.
type Model struct {
	Provider string `json:"provider"`
	Endpoint string `json:"endpoint,omitempty"`
	Name     string `json:"model"`
}

// Budget of tokens.
type Budget struct {
	Tokens int64  `json:"tokens"`
	Window string `json:"window"`
}

// Config of the proxy.
type Config struct {
	Port        int
	MetricsPort int // 0 turns metrics off
	StateDir    string
	Agent       string
	Namespace   string
	LogLevel    string
	LogFormat   string
	// Exemplars adds traces to the histograms that are scraped as OpenMetrics.
	Exemplars bool
	// LogTraceContext puts the trace and the span of a call on its log lines.
	LogTraceContext bool

	temperature, topP *float64
	maxTokens         int64 // of one answer; 0 is no bound
	timeout           time.Duration
	share             int64 // of the budget, this replica's tokens of a window; 0 is no budget
	window            time.Duration
	upstreams         []*upstream // the model, then its fallbacks
}

// Load reads the agent's configuration file and the environment. The error names
// everything that is wrong.
func Load(getenv func(string) string) (*Config, error) {
	text, err := os.ReadFile(getenv("LAMBDA_AGENT_CONFIG"))
	if err != nil {
		return nil, fmt.Errorf("LAMBDA_AGENT_CONFIG: %w", err)
	}
	return parse(text, getenv)
}

func parse(text []byte, getenv func(string) string) (*Config, error) {
	var document struct {
		Name       string    `json:"name"`
		Namespace  string    `json:"namespace"`
		ModelProxy *Settings `json:"modelProxy"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("the agent's configuration is no JSON: %w", err)
	}
	s := document.ModelProxy
	if s == nil {
		return nil, errors.New("the agent's configuration has no modelProxy")
	}
	var errs []error
	port := func(name string, fallback int) int {
		value := getenv(name)
		if value == "" {
			return fallback
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 65535 {
			errs = append(errs, fmt.Errorf("%s: expected a port, got %q", name, value))
		}
		return n
	}
	boolean := func(name string, fallback bool) bool {
		value := getenv(name)
		if value == "" {
			return fallback
		}
		b, err := strconv.ParseBool(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: expected true or false, got %q", name, value))
		}
		return b
	}
	cfg := &Config{
		Exemplars: boolean("LAMBDA_METRICS_EXEMPLARS", false), LogTraceContext: boolean("LAMBDA_LOG_TRACE_CONTEXT", true),
		Port: port("LAMBDA_MODEL_PROXY_PORT", 8485), MetricsPort: port("LAMBDA_METRICS_PORT", 9465), StateDir: getenv("LAMBDA_MODEL_PROXY_STATE"),
		Agent: document.Name, Namespace: document.Namespace, LogLevel: getenv("LAMBDA_LOG_LEVEL"), LogFormat: getenv("LAMBDA_LOG_FORMAT"),
		temperature: s.Temperature, topP: s.TopP, timeout: DefaultTimeout,
	}
	if s.MaxTokens != nil {
		cfg.maxTokens = *s.MaxTokens
	}
	if s.Timeout != "" {
		if d, err := time.ParseDuration(s.Timeout); err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("timeout: expected a duration above zero, got %q", s.Timeout))
		} else {
			cfg.timeout = d
		}
	}
	errs = append(errs, cfg.shareOut(s.Budget, s.MaxReplicas))
	for i, m := range append([]Model{s.Model}, s.Fallbacks...) {
		u, err := newUpstream(m, strings.TrimSpace(getenv(KeyVariable(i)))) // files end with a line feed, and Secrets are made of them
		if err != nil {
			errs = append(errs, fmt.Errorf("model %d: %w", i, err))
		}
		cfg.upstreams = append(cfg.upstreams, u)
	}
	return cfg, errors.Join(errs...)
}

// KeyVariable is the environment variable with the key of the i-th model: 0 is the
// agent's own, the others are its fallbacks.
func KeyVariable(i int) string {
	if i == 0 {
		return "LAMBDA_MODEL_KEY"
	}
	return "LAMBDA_MODEL_KEY_FALLBACK_" + strconv.Itoa(i-1)
}

// shareOut gives each replica the same part of the budget, so that all of them
// together never spend more than it.
func (c *Config) shareOut(b *Budget, replicas int64) error {
	if b == nil {
		return nil
	}
	window, err := time.ParseDuration(b.Window)
	if err != nil || window < time.Second {
		return fmt.Errorf("budget.window: expected a duration of at least 1s, got %q", b.Window)
	}
	if replicas < 1 || b.Tokens < replicas {
		return fmt.Errorf("budget.tokens: expected at least one for each of %d replicas, got %d", replicas, b.Tokens)
	}
	c.share, c.window = b.Tokens/replicas, window
	return nil
}

// Names of providers, as the API has them.
const (
	providerOllama     = "ollama"
	providerOpenAI     = "openai"
	providerAnthropic  = "anthropic"
	providerAzure      = "azure-openai"
	providerGoogle     = "google"
	providerBedrock    = "bedrock"
	providerCompatible = "openai-compatible"
)

// upstream is a model at its provider.
type upstream struct {
	Model
	base     *url.URL // of the API that the provider's way ends in
	ollama   *url.URL // of Ollama's own API
	key      string
	identity identity // in telemetry
}

// ownEndpoint of providers that have one for all.
var ownEndpoint = map[string]string{
	providerOpenAI:    "https://api.openai.com/v1",
	providerAnthropic: "https://api.anthropic.com/v1",
	providerGoogle:    "https://generativelanguage.googleapis.com/v1beta/openai",
}

func newUpstream(m Model, key string) (*upstream, error) {
	switch m.Provider {
	case providerOllama, providerOpenAI, providerAnthropic, providerAzure, providerGoogle, providerBedrock, providerCompatible:
	default:
		return nil, fmt.Errorf("unknown provider %q", m.Provider)
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return nil, errors.New("its key has characters that no header may have")
	}
	endpoint := m.Endpoint
	if endpoint == "" {
		endpoint = ownEndpoint[m.Provider]
	}
	base, err := url.Parse(endpoint)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("expected an endpoint that begins with http:// or https://, got %q", endpoint)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	u := &upstream{Model: m, key: key, base: base}
	switch {
	case m.Provider == providerOllama:
		root := *base
		root.Path = strings.TrimSuffix(base.Path, "/v1")
		u.ollama, u.base = &root, root.JoinPath("v1")
	case m.Provider == providerAzure:
		u.base = base.JoinPath("openai", "deployments", url.PathEscape(m.Name))
		if q := base.Query(); q.Get("api-version") == "" {
			q.Set("api-version", azureVersion)
			u.base.RawQuery = q.Encode()
		}
	case base.Path != "":
	case m.Provider == providerGoogle:
		u.base = base.JoinPath("v1beta", "openai")
	case m.Provider == providerBedrock && !strings.HasPrefix(base.Host, "bedrock-mantle."):
		u.base = base.JoinPath("openai", "v1")
	default:
		u.base = base.JoinPath("v1")
	}
	u.identity = newIdentity(u)
	return u, nil
}

// azureVersion is the newest version of Azure's API for inference that is no preview.
// An endpoint with ?api-version= names another.
const azureVersion = "2024-10-21"
