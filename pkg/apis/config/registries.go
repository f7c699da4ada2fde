package config

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Aliases are what functions call registries, and what the cluster calls them.
type Aliases map[string]string

// parseAlias reads NAME=REGISTRY.
func (b *Build) parseAlias(text string) error {
	from, to, ok := strings.Cut(text, "=")
	if !ok || strings.Contains(to, "=") {
		return fmt.Errorf("expected NAME=REGISTRY such as localhost:5001=registry.example.com, got %q", text)
	}
	for _, host := range []string{from, to} {
		if err := registryHost(host); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	}
	from, to = CanonicalRegistry(from), CanonicalRegistry(to)
	if known, twice := b.RegistryAliases[from]; twice {
		return fmt.Errorf("%q: %s is already an alias of %s", text, from, known)
	}
	if b.RegistryAliases == nil {
		b.RegistryAliases = Aliases{}
	}
	b.RegistryAliases[from] = to
	return nil
}

// checkAliases refuses aliases of aliases and of the configured registry: what a name
// leads to can be read from one line.
func (b *Build) checkAliases() error {
	for from, to := range b.RegistryAliases {
		if _, chained := b.RegistryAliases[to]; chained {
			return fmt.Errorf("%s=%s: expected a registry that is not an alias itself", from, to)
		}
		if b.Registry != "" && from == CanonicalRegistry(b.Registry) {
			return fmt.Errorf("%s=%s: %s is the registry of this configuration and cannot be an alias", from, to, from)
		}
	}
	return nil
}

// RegistryOf is what the cluster calls the registry that a function names: host[:port] in
// lower case, aliases resolved.
func (b *Build) RegistryOf(registry string) string {
	registry = CanonicalRegistry(registry)
	if to, ok := b.RegistryAliases[registry]; ok {
		registry = to
	}
	for _, spelled := range append(sets.List(b.InsecureRegistries), b.Registry) {
		if sameRegistry(spelled, registry) {
			return spelled // as the configuration spells it, so that what it says of it holds
		}
	}
	return registry
}

// Names reports whether the configuration says anything of the registry. One of plain
// HTTP may be named with its port, 80, or without.
func (b *Build) Names(registry string) bool {
	named := append(sets.List(b.InsecureRegistries), b.Registry)
	for _, to := range b.RegistryAliases {
		named = append(named, to)
	}
	return slices.ContainsFunc(named, func(n string) bool { return sameRegistry(withoutPort80(registry), withoutPort80(n)) })
}

func withoutPort80(registry string) string {
	return strings.TrimSuffix(CanonicalRegistry(registry), ":80")
}

// sameRegistry reports whether two names are one registry: a Service of the cluster has
// several.
func sameRegistry(a, b string) bool {
	return a != "" && serviceName(CanonicalRegistry(a)) == serviceName(CanonicalRegistry(b))
}

// serviceName cuts from a Service's host name what follows its namespace.
func serviceName(registry string) string {
	host, port, found := strings.Cut(registry, ":")
	if strings.HasPrefix(registry, "[") {
		return registry
	}
	labels := strings.Split(host, ".")
	if len(labels) >= 3 && labels[2] == "svc" {
		host = labels[0] + "." + labels[1]
	}
	if found {
		host += ":" + port
	}
	return host
}

// OwnRepositories is the path that the repositories of a function begin with: the part of
// the template that is made from the namespace, or the whole repository where the
// template mixes that with something else.
func (b *Build) OwnRepositories(data RepositoryData) (string, error) {
	own, err := b.Repository(data)
	if err != nil {
		return "", err
	}
	segments := strings.Split(own, "/")
	changes := func(other RepositoryData, i int) bool {
		changed, err := b.Repository(other)
		parts := strings.Split(changed, "/")
		return err != nil || i >= len(parts) || parts[i] != segments[i]
	}
	for i := range segments {
		if changes(RepositoryData{data.Namespace, data.Name + "-x", data.Language}, i) || changes(RepositoryData{data.Namespace, data.Name, data.Language + "-x"}, i) {
			return own, nil
		}
		if changes(RepositoryData{data.Namespace + "-x", data.Name, data.Language}, i) {
			return strings.Join(segments[:i+1], "/"), nil
		}
	}
	return own, nil
}
