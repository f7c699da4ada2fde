package names

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/kmeta"
)

func named(name string) kmeta.Accessor {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 63)
	for _, tt := range []struct{ what, got, want string }{
		{"Service", Service(named("greeter")), "greeter"},
		{"Service of a long name", Service(named(long)), long},
		{"Build", Build(named("greeter"), "r.test/own:1", "", 1), "greeter-build-70950d7e-1"},
		{"Build of a long name", Build(named(long), "r.test/own:1", "", 20), strings.Repeat("n", 13) + "faae1dabe1c66732dffc3c857df5767e-build-70950d7e-20"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %s, want %s", tt.what, tt.got, tt.want)
		}
	}
}

// TestBuildsDiffer: another image, another value of the rebuild annotation and
// another attempt are other builds.
func TestBuildsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"greeter", strings.Repeat("n", 63), strings.Repeat("n", 62) + "m"} {
		for _, reference := range []string{"r.test/own:1", "r.test/own:2"} {
			for _, rebuild := range []string{"", "1"} {
				for attempt := int32(1); attempt <= 20; attempt++ {
					n := Build(named(name), reference, rebuild, attempt)
					if seen[n] {
						t.Errorf("%s is the name of two builds", n)
					}
					seen[n] = true
				}
			}
		}
	}
}

// FuzzNames: the children of any two functions have names that the API server
// takes, and that differ.
func FuzzNames(f *testing.F) {
	long := strings.Repeat("n", 63)
	f.Add("a", "b", "r.test/own:1", "", int32(1))
	f.Add(long, long[:62]+"m", "r.test/own:1", "again", int32(20))
	f.Add(long[:31], long[:32], "", "", int32(999))
	f.Add("a-build-00000000-1", "a", "r", "", int32(1))
	f.Fuzz(func(t *testing.T, one, other, reference, rebuild string, attempt int32) {
		if len(validation.IsDNS1035Label(one)) > 0 || len(validation.IsDNS1035Label(other)) > 0 || attempt < 0 {
			return // admission refuses the name
		}
		builds := []string{Build(named(one), reference, rebuild, attempt), Build(named(other), reference, rebuild, attempt)}
		for _, name := range append(builds, Service(named(one)), Service(named(other))) {
			if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
				t.Errorf("%q is no name of a child of %q or %q: %s", name, one, other, msgs)
			}
		}
		if same := one == other; (builds[0] == builds[1]) != same {
			t.Errorf("builds of %q and %q are called %q and %q", one, other, builds[0], builds[1])
		}
	})
}
