package quantity

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestCheck(t *testing.T) {
	for data, want := range map[string]string{
		`{"spec":{"resources":{"limits":{"cpu":"1e-2147483647"}}}}`:          `spec.resources.limits.cpu: expected a quantity such as 100m or 1Gi, got "1e-2147483647": its exponent has more than 3 digits`,
		`{"spec":{"resources":{"requests":{"memory":1e2147483647}}}}`:        `spec.resources.requests.memory: expected a quantity such as 100m or 1Gi, got "1e2147483647": its exponent has more than 3 digits`,
		`{"limits":{"cpu":"` + strings.Repeat("9", 1000) + `"}}`:             `limits.cpu: expected a quantity of at most 64 characters, got 1000`,
		`{"volumes":[{},{"emptyDir":{"sizeLimit":"1E+10000"}}]}`:             `volumes.1.emptyDir.sizeLimit: expected a quantity such as 100m or 1Gi, got "1E+10000": its exponent has more than 3 digits`,
		`{"env":[{"valueFrom":{"resourceFieldRef":{"divisor":"1e-1000"}}}]}`: `env.0.valueFrom.resourceFieldRef.divisor: expected a quantity such as 100m or 1Gi, got "1e-1000": its exponent has more than 3 digits`,
		`{"limits":{"cpu":"100m","memory":"1Gi","a":2,"b":"1e3","c":"12E"}}`: "",
		`{"env":[{"name":"X","value":"1e-2147483647"}]}`:                     "",
		`{"requests":["1e-2147483647"],"limits":null}`:                       "",
		`{"limits":`: "",
	} {
		got := ""
		if err := Check([]byte(data)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Check(%.60s) = %q, want %q", data, got, want)
		}
	}
}

// FuzzCheck: what passes is decoded in no time.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"limits":{"cpu":"1e-999"}}`, `{"requests":{"memory":"1e999"},"limits":{"cpu":".` + strings.Repeat("9", 63) + `"}}`,
		`{"limits":{"cpu":"1e-2147483647"}}`, `{"limits":{"cpu":" 1e-2147483647"}}`, `{"Limits":{"cpu":"1e-2147483647"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Check(data) != nil {
			return
		}
		start := time.Now()
		var r corev1.ResourceRequirements
		_ = json.Unmarshal(data, &r)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("decoding takes %s", took)
		}
	})
}
