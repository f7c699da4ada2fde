package lambdafunction

import (
	"net"
	"net/netip"

	containername "github.com/google/go-containerregistry/pkg/name"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// permitRegistry is an egress.Permit for registries. Those that the configuration names
// are permitted wherever they are; those that functions name, and the token servers that
// registries name, only where the configured networks allow it.
func permitRegistry(cfg *config.Config, hostPort string, address netip.Addr) error {
	if namesRegistry(cfg, hostPort) {
		return nil
	}
	return egress.Policy{
		Allowed: cfg.Build.RegistryAllowedNetworks, AllowedKey: "config-build, registry-allowed-networks", Denied: cfg.Build.EgressDeniedNetworks,
	}.Check(hostPort, address)
}

// namesRegistry tells whether the configuration names the registry.
func namesRegistry(cfg *config.Config, hostPort string) bool {
	is := func(registry string) bool {
		r, err := containername.NewRegistry(registry)
		return err == nil && registry != "" && sameEndpoint(r.RegistryStr(), hostPort)
	}
	if is(cfg.Build.Registry) || ofImage(cfg.Build.RuntimeImage, hostPort) {
		return true
	}
	for registry := range cfg.Build.InsecureRegistries {
		if is(registry) {
			return true
		}
	}
	for _, registry := range cfg.Build.RegistryAliases {
		if is(registry) {
			return true
		}
	}
	if cfg.Runtimes == nil {
		return false
	}
	for _, language := range cfg.Runtimes.Languages {
		for _, version := range language.Versions {
			if ofImage(version.BaseImage, hostPort) || ofImage(version.RunImage, hostPort) {
				return true
			}
		}
	}
	return false
}

func ofImage(image, hostPort string) bool {
	ref, err := containername.ParseReference(image)
	return err == nil && sameEndpoint(ref.Context().RegistryStr(), hostPort)
}

// sameEndpoint: a registry without a port is at that of its scheme.
func sameEndpoint(registry, hostPort string) bool {
	if registry == hostPort {
		return true
	}
	host, port, err := net.SplitHostPort(hostPort)
	return err == nil && registry == host && (port == "443" || port == "80")
}
