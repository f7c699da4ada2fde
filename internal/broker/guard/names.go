package guard

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// serviceOf a host name: [<pod>.]<service>.<namespace>.svc[.<domain>].
func serviceOf(host, domain string) (types.NamespacedName, bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	host = strings.TrimSuffix(host, "."+strings.ToLower(domain))
	name, ok := strings.CutSuffix(host, ".svc")
	if !ok {
		return types.NamespacedName{}, false
	}
	labels := strings.Split(name, ".")
	n := len(labels)
	if n < 2 || labels[n-1] == "" || labels[n-2] == "" {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: labels[n-1], Name: labels[n-2]}, true
}
