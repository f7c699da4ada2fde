package lambdafunction

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// TestMayReach: a registry that a function names is dialled on the public Internet only,
// and not in denied networks; one that the configuration names wherever it is.
func TestMayReach(t *testing.T) {
	cfg := &config.Config{
		Build: &config.Build{
			Registry: "registry.test", RuntimeImage: "ko.test:5000/runtime@" + digest, InsecureRegistries: sets.New("plain.test:5000"),
			RegistryAliases:         config.Aliases{"localhost:5001": "mirror.test"},
			EgressDeniedNetworks:    []netip.Prefix{netip.MustParsePrefix("192.168.20.9/32"), netip.MustParsePrefix("93.184.217.0/24"), netip.MustParsePrefix("10.0.0.0/8")},
			RegistryAllowedNetworks: []netip.Prefix{netip.MustParsePrefix("192.168.20.0/24")},
		},
		Runtimes: &config.Runtimes{Languages: map[string]*config.Language{"go": {Versions: map[string]config.Version{"1": {BaseImage: "base.test/go:1", RunImage: "run.test/static"}}}}},
	}
	private := netip.MustParseAddr("10.0.0.1")
	for hostPort, want := range map[string]bool{
		"registry.test:443": true, "registry.test:80": true, "registry.test:5000": false,
		"ko.test:5000": true, "ko.test:443": false, "plain.test:5000": true, "mirror.test:443": true, "localhost:5001": false, "base.test:443": true, "run.test:443": true,
		"kubernetes.default.svc:443": false, "10.0.0.1:443": false, "index.docker.io:443": false,
	} {
		if got := permitRegistry(cfg, hostPort, private) == nil; got != want {
			t.Errorf("%s at %s: %t, want %t", hostPort, private, got, want)
		}
	}
	for address, want := range map[string]bool{
		"93.184.216.34": true, "93.184.217.34": false, "192.168.20.9": false, "192.168.20.5": true, "192.168.21.5": false, "169.254.169.254": false, "127.0.0.1": false, "::1": false, "fd00::1": false,
	} {
		if got := permitRegistry(cfg, "mine.test:443", netip.MustParseAddr(address)) == nil; got != want {
			t.Errorf("a function's own registry at %s: %t, want %t", address, got, want)
		}
	}
	if permitRegistry(&config.Config{Build: &config.Build{}}, ":443", private) == nil {
		t.Error("a registry without a name is named")
	}
}
