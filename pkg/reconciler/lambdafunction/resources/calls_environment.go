package resources

import (
	"encoding/json"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	runtimeconfig "github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// callEnvironment says to the runtime how many calls it has at once, for how long, and
// what handlers get of a request.
func callEnvironment(spec *v1alpha1.LambdaFunctionSpec) (env []corev1.EnvVar) {
	add := func(name, value string) {
		if value != "" {
			env = append(env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	add(runtimeconfig.EnvConcurrency, strconv.Itoa(int(ptr.Deref(spec.Scaling.Concurrency, v1alpha1.MaxConcurrency))))
	if w := spec.Runtime.Workers; w != nil {
		add(runtimeconfig.EnvWorkers, strconv.Itoa(int(*w)))
	}
	add(runtimeconfig.EnvIsolation, string(spec.Runtime.Isolation))
	if i := spec.Runtime.Interface; i != v1alpha1.InterfaceAuto {
		add(runtimeconfig.EnvInterface, string(i))
	}
	add(runtimeconfig.EnvHTTPEvent, string(spec.Runtime.HTTPEvent))
	if t := spec.Runtime.Timeout; t != nil {
		add(runtimeconfig.EnvTimeout, t.Value().String())
		add(runtimeconfig.EnvDrainTimeout, t.Value().String()) // calls in hand may take as long as any
	}
	if h := spec.HTTP; h != nil {
		add(runtimeconfig.EnvCORS, corsJSON(h.CORS))
		if n := h.MaxBodySize.Bytes(); n > 0 {
			add(runtimeconfig.EnvMaxBody, strconv.FormatInt(n, 10))
		}
	}
	return env
}

func corsJSON(c *v1alpha1.CORSSpec) string {
	if c == nil {
		return ""
	}
	text, err := json.Marshal(c.Runtime())
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}
