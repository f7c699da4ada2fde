package lambdafunction

import (
	"net"
	"net/netip"

	containername "github.com/google/go-containerregistry/pkg/name"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/guard"
)

// mayReach tells whether this process may dial an address for a registry: an
// administrator has named it, or its network, or it is on the public Internet. Functions
// name registries, too, and registries name servers of tokens.
func mayReach(cfg *config.Config, hostPort string, address netip.Addr) bool {
	return guard.Permitted(address, cfg.Build.RegistryAllowedNetworks) || namesRegistry(cfg, hostPort)
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
