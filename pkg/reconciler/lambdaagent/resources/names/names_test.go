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
		{"Service", Service(named("bruno")), "bruno"},
		{"Service of a long name", Service(named(long)), long},
		{"Config", Config(named("bruno"), "01234567"), "bruno-agent-01234567"},
		{"Config of a long name", Config(named(long), "01234567"), strings.Repeat("n", 16) + "faae1dabe1c66732dffc3c857df5767e-agent-01234567"},
		{"Permissions", Permissions(named("bruno")), "bruno-agent"},
		{"Receiver", Receiver(named("bruno"), "01234567"), "bruno-receiver-01234567"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %s, want %s", tt.what, tt.got, tt.want)
		}
	}
}

// FuzzNames: the children of any two agents have names that the API server takes,
// and that differ.
func FuzzNames(f *testing.F) {
	long := strings.Repeat("n", 63)
	f.Add("a", "b")
	f.Add(long, long[:62]+"m")
	f.Add(long[:31], long[:32])
	f.Add("a-agent-01234567", "a")
	f.Fuzz(func(t *testing.T, one, other string) {
		if len(validation.IsDNS1035Label(one)) > 0 || len(validation.IsDNS1035Label(other)) > 0 {
			return // admission refuses the name
		}
		configs := []string{Config(named(one), "01234567"), Config(named(other), "01234567")}
		for _, name := range append(configs, Service(named(one)), Service(named(other))) {
			if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
				t.Errorf("%q is no name of a child of %q or %q: %s", name, one, other, msgs)
			}
		}
		if same := one == other; (configs[0] == configs[1]) != same {
			t.Errorf("configurations of %q and %q are called %q and %q", one, other, configs[0], configs[1])
		}
	})
}
