package config

import "testing"

func TestCanonicalRegistry(t *testing.T) {
	t.Parallel()
	for registry, want := range map[string]string{
		"GHCR.io":                  "ghcr.io",
		"ghcr.io.:443":             "ghcr.io",
		"ghcr.io..":                "ghcr.io",
		"r.test:00443":             "r.test",
		"r.test:05000":             "r.test:5000",
		"r.test:":                  "r.test",
		"r.test:99999":             "r.test:99999",
		"10.241.0.1:05000":         "10.241.0.1:5000",
		"10.241.0.1.:5000":         "10.241.0.1:5000",
		"10.241.1":                 "10.241.0.1",
		"0x0A.0xF1.0.1:5000":       "10.241.0.1:5000",
		"012.0361.0.1:5000":        "10.241.0.1:5000",
		"183566337:5000":           "10.241.0.1:5000",
		"0x0af10001":               "10.241.0.1",
		"[::ffff:10.241.0.1]:5000": "10.241.0.1:5000",
		"[::FFFF:0AF1:1]:5000":     "10.241.0.1:5000",
		"[::ffff:10.241.0.1]":      "10.241.0.1",
		"[FD00:0::1]:5000":         "[fd00::1]:5000",
		"[fd00::1]":                "[fd00::1]",
		"[fd00::1]:443":            "[fd00::1]",
		"10.241.0.256":             "10.241.0.256",
		"1.2.3.4.5":                "1.2.3.4.5",
		"10.r.test":                "10.r.test",
		"":                         "",
	} {
		if got := CanonicalRegistry(registry); got != want {
			t.Errorf("CanonicalRegistry(%q) = %q, want %q", registry, got, want)
		}
		if again := CanonicalRegistry(want); again != want {
			t.Errorf("CanonicalRegistry(%q) = %q, want it unchanged", want, again)
		}
	}
}

// FuzzCanonicalRegistry: the canonical spelling is one.
func FuzzCanonicalRegistry(f *testing.F) {
	f.Add("[::ffff:1.2.3.4]:080")
	f.Fuzz(func(t *testing.T, registry string) {
		if first := CanonicalRegistry(registry); first != CanonicalRegistry(first) && registryHost(registry) == nil {
			t.Errorf("CanonicalRegistry(%q) = %q, which becomes %q", registry, first, CanonicalRegistry(first))
		}
	})
}
