package lambdafunction

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// TestMayReach: a function's own registry leads to the public Internet only, and one
// that an administrator has named wherever it is.
func TestMayReach(t *testing.T) {
	cfg := &config.Config{
		Build: &config.Build{
			Registry: "registry.test", RuntimeImage: "ko.test:5000/runtime@" + digest, InsecureRegistries: sets.New("plain.test:5000"),
			RegistryAllowedNetworks: []netip.Prefix{netip.MustParsePrefix("192.168.20.0/24")},
		},
		Runtimes: &config.Runtimes{Languages: map[string]*config.Language{"go": {Versions: map[string]config.Version{"1": {BaseImage: "base.test/go:1", RunImage: "run.test/static"}}}}},
	}
	private := netip.MustParseAddr("10.0.0.1")
	for hostPort, want := range map[string]bool{
		"registry.test:443": true, "registry.test:80": true, "registry.test:5000": false,
		"ko.test:5000": true, "ko.test:443": false, "plain.test:5000": true, "base.test:443": true, "run.test:443": true,
		"kubernetes.default.svc:443": false, "10.0.0.1:443": false, "index.docker.io:443": false,
	} {
		if got := mayReach(cfg, hostPort, private); got != want {
			t.Errorf("%s at %s: %t, want %t", hostPort, private, got, want)
		}
	}
	for address, want := range map[string]bool{
		"93.184.216.34": true, "192.168.20.5": true, "192.168.21.5": false, "169.254.169.254": false, "127.0.0.1": false, "::1": false, "fd00::1": false,
	} {
		if got := mayReach(cfg, "mine.test:443", netip.MustParseAddr(address)); got != want {
			t.Errorf("a function's own registry at %s: %t, want %t", address, got, want)
		}
	}
	if mayReach(&config.Config{Build: &config.Build{}}, ":443", private) {
		t.Error("a registry without a name is named")
	}
}
