package config

import (
	"fmt"
	"net/netip"
	"strings"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

// BuildConfigName is the ConfigMap that says how images are made.
const BuildConfigName = "config-build"

// Build says how images are made and where they go.
type Build struct {
	// Registry that images are pushed to, host[:port].
	Registry string
	// RepositoryTemplate makes a repository from .Namespace, .Name and
	// .Language.
	RepositoryTemplate *template.Template
	// ExecutorImage is Kaniko's.
	ExecutorImage string
	// BuilderImage lays out the build context.
	BuilderImage string
	// RuntimeImage holds the lambda runtime that goes into function images.
	RuntimeImage string
	// Timeout of one build.
	Timeout time.Duration
	// Cache tells whether layers are cached in the registry.
	Cache bool
	// CacheTTL is how long cached layers are used.
	CacheTTL time.Duration
	// Resources of the container that builds.
	Resources corev1.ResourceRequirements
	// MaxParallel bounds the builds of the cluster that run at once.
	MaxParallel int
	// MaxParallelPerNamespace bounds those of one namespace.
	MaxParallelPerNamespace int
	// MaxAttempts of one build, when the infrastructure is at fault.
	MaxAttempts int
	// RetryDelay before the second attempt; it doubles with each further one.
	RetryDelay time.Duration
	// InsecureRegistries speak plain HTTP, host[:port] each.
	InsecureRegistries sets.Set[string]
	// RegistryAliases are registries, host[:port] each, by other names that functions may
	// call them.
	RegistryAliases Aliases
	// PushSecret names a Secret of type kubernetes.io/dockerconfigjson in the
	// function's namespace with which images are pushed, unless the function
	// names one.
	PushSecret string
	// KueueQueue names the LocalQueue of Kueue, in the function's namespace, in
	// which builds wait, unless the function names one. Empty is none.
	KueueQueue string
	// FailedBuildTTL is how long the Job of a failed build is kept.
	FailedBuildTTL time.Duration
	// MinIOEndpoint of functions that name none: a URL or host:port.
	MinIOEndpoint string
	// SourceAllowedNetworks may be fetched from though they are not public.
	SourceAllowedNetworks []netip.Prefix
	// RegistryAllowedNetworks may be dialled for registries that functions name though
	// they are not public.
	RegistryAllowedNetworks []netip.Prefix
	// EgressDeniedNetworks are not dialled for sources, registries, model probes and
	// approvals that users name, although they are public or allowed.
	EgressDeniedNetworks []netip.Prefix
	// SourcePollInterval after which a source is asked again what it is by now.
	SourcePollInterval time.Duration
}

// RepositoryData is what a repository template may use.
type RepositoryData struct {
	Namespace, Name, Language string
}

// Repository of a function's images.
func (b *Build) Repository(data RepositoryData) (string, error) {
	var out strings.Builder
	if err := b.RepositoryTemplate.Execute(&out, data); err != nil {
		return "", fmt.Errorf("%s: repository-template: %w", BuildConfigName, err)
	}
	return out.String(), nil
}

// Insecure tells whether a registry speaks plain HTTP.
func (b *Build) Insecure(registry string) bool {
	return b.InsecureRegistries.Has(registry)
}

func defaultBuild() *Build {
	return &Build{
		RepositoryTemplate:      template.Must(parseRepository("{{.Namespace}}/{{.Language}}")),
		ExecutorImage:           "gcr.io/kaniko-project/executor:v1.24.0",
		Timeout:                 10 * time.Minute,
		CacheTTL:                14 * 24 * time.Hour,
		MaxParallel:             8,
		MaxParallelPerNamespace: 4,
		MaxAttempts:             3,
		RetryDelay:              10 * time.Second,
		InsecureRegistries:      sets.New[string](),
		FailedBuildTTL:          10 * time.Minute,
		SourcePollInterval:      time.Minute,
	}
}

// NewBuildFromConfigMap parses config-build. The error names the key and what
// would be right.
func NewBuildFromConfigMap(cm *corev1.ConfigMap) (*Build, error) {
	b := defaultBuild()
	var repository string
	var insecure []string
	p := newParser(BuildConfigName, cm.Data)
	p.text("registry", &b.Registry, registryHost)
	p.text("repository-template", &repository, nil)
	p.text("executor-image", &b.ExecutorImage, imageReference)
	p.text("builder-image", &b.BuilderImage, imageReference)
	p.text("runtime-image", &b.RuntimeImage, imageReference)
	p.duration("timeout", &b.Timeout, time.Second, 24*time.Hour)
	p.boolean("cache", &b.Cache)
	p.duration("cache-ttl", &b.CacheTTL, time.Hour, 365*24*time.Hour)
	p.yaml("resources", &b.Resources)
	p.integer("max-parallel-builds", &b.MaxParallel, 1, 1000)
	p.integer("max-parallel-builds-per-namespace", &b.MaxParallelPerNamespace, 1, 1000)
	p.integer("max-attempts", &b.MaxAttempts, 1, 20)
	p.duration("retry-delay", &b.RetryDelay, time.Second, time.Hour)
	p.list("insecure-registries", &insecure, registryHost)
	var aliases []string
	p.list("registry-aliases", &aliases, b.parseAlias)
	p.fail("registry-aliases", b.checkAliases())
	p.text("push-secret", &b.PushSecret, secretName)
	p.text("kueue-queue", &b.KueueQueue, queueName)
	p.duration("failed-build-ttl", &b.FailedBuildTTL, 0, 7*24*time.Hour)
	p.text("minio-endpoint", &b.MinIOEndpoint, CheckEndpoint)
	p.networks("source-allowed-networks", &b.SourceAllowedNetworks)
	p.networks("registry-allowed-networks", &b.RegistryAllowedNetworks)
	p.networks("egress-denied-networks", &b.EgressDeniedNetworks)
	p.duration("source-poll-interval", &b.SourcePollInterval, 5*time.Second, 24*time.Hour)
	p.required("registry", b.Registry)
	p.required("builder-image", b.BuilderImage)
	p.required("runtime-image", b.RuntimeImage)
	if repository != "" {
		t, err := parseRepository(repository)
		p.fail("repository-template", err)
		if err == nil {
			b.RepositoryTemplate = t
		}
	}
	b.InsecureRegistries = sets.New(insecure...)
	return b, p.done()
}

// parseRepository parses the template and tries it.
func parseRepository(text string) (*template.Template, error) {
	t, err := template.New("repository").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("expected a Go template of .Namespace, .Name and .Language: %w", err)
	}
	var out strings.Builder
	if err := t.Execute(&out, RepositoryData{Namespace: "namespace", Name: "name", Language: "language"}); err != nil {
		return nil, fmt.Errorf("expected a Go template of .Namespace, .Name and .Language: %w", err)
	}
	if err := repositoryPath(out.String()); err != nil {
		return nil, err
	}
	return t, nil
}
