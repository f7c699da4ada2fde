package v1alpha1

import (
	"fmt"
	"net"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// RegistryTypeLocal is the registryType of a registry beside a local cluster.
const RegistryTypeLocal = "local"

// Destination is where an image is pushed.
type Destination struct {
	// Registry as host[:port], and Repository in it.
	Registry, Repository string
	// Replaced is the registry of the spec if the configured registry takes its place;
	// empty otherwise.
	Replaced string
}

// RepositoryNotAllowedError says that an image would go to a repository of others.
type RepositoryNotAllowedError struct{ Registry, Repository, Own string }

func (e *RepositoryNotAllowedError) Error() string {
	return fmt.Sprintf("repository %q of registry %s is not this namespace's: expected one that begins with %q, or build.pushSecretRef with credentials of your own",
		e.Repository, e.Registry, e.Own+"/")
}

// Destination of the images of a function, with the cluster's configuration of now. The
// error is a RepositoryNotAllowedError if the registry is one that the configuration
// names, the repository is not of the function's namespace, and the function has no push
// credentials of its own.
func (b *BuildSpec) Destination(cfg *config.Build, function config.RepositoryData) (Destination, error) {
	host, path := b.registry()
	d := Destination{Registry: cfg.Registry, Repository: b.Repository}
	switch {
	case host == "":
	case b.local(host) && !cfg.Names(cfg.RegistryOf(host)):
		d.Replaced, path = b.Registry, ""
	default:
		d.Registry = cfg.RegistryOf(host)
	}
	if d.Repository == "" {
		var err error
		if d.Repository, err = cfg.Repository(function); err != nil {
			return d, err
		}
	}
	if path != "" {
		d.Repository = path + "/" + d.Repository
	}
	if b.PushSecretRef != nil || !cfg.Names(d.Registry) {
		return d, nil // whose the repository is, the registry decides
	}
	own, err := cfg.OwnRepositories(function)
	if err != nil {
		return d, err
	}
	if d.Repository != own && !strings.HasPrefix(d.Repository, own+"/") {
		return d, &RepositoryNotAllowedError{d.Registry, d.Repository, own}
	}
	return d, nil
}

// registry is the spec's, as host[:port] and the path that begins the repository.
func (b *BuildSpec) registry() (host, path string) {
	host, path, _ = strings.Cut(strings.TrimSuffix(b.Registry, "/"), "/")
	return host, path
}

// local reports whether a registry is one on or beside the machine of the
// manifest's author: plain HTTP, a loopback address, or the name of a container or of a host
// without a domain.
func (b *BuildSpec) local(registry string) bool {
	registry = config.CanonicalRegistry(registry)
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = strings.Trim(registry, "[]")
	}
	ip := net.ParseIP(host)
	return b.RegistryType == RegistryTypeLocal || b.Insecure != nil && *b.Insecure || ip.IsLoopback() || strings.HasSuffix(strings.ToLower(host), ".localhost") || ip == nil && !strings.Contains(host, ".")
}
