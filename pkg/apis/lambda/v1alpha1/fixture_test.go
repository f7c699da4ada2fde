package v1alpha1

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// functionOf is a function with the spec, as users write it in YAML.
func functionOf(t testing.TB, spec string) *LambdaFunction {
	t.Helper()
	f := &LambdaFunction{}
	f.Namespace, f.Name = "team", "greeter"
	if err := yaml.UnmarshalStrict([]byte(spec), &f.Spec); err != nil {
		t.Fatal(err)
	}
	return f
}

// agentOf is an agent with the spec, as users write it in YAML.
func agentOf(t testing.TB, spec string) *LambdaAgent {
	t.Helper()
	a := &LambdaAgent{}
	a.Namespace, a.Name = "team", "bruno"
	if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
		t.Fatal(err)
	}
	return a
}

// defaulted is the object as admission has it before it validates.
func defaulted[T interface{ SetDefaults(context.Context) }](ctx context.Context, object T) T {
	object.SetDefaults(ctx)
	return object
}

// memory requests so much of it.
func memory(quantity string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(quantity)}}
}

// configured is a context with the configuration of a cluster, as the webhook has
// it. What it sets differs from what is built in.
func configured() context.Context {
	build := *config.FromContextOrDefaults(context.Background()).Build
	build.Registry, build.InsecureRegistries = "r.test:5000", sets.New("r.test:5000")
	return config.ToContext(context.Background(), &config.Config{
		Build: &build,
		Runtimes: &config.Runtimes{Languages: map[string]*config.Language{
			"python": {
				Versions: map[string]config.Version{"3.9": {}, "3.11": {}, "3.13": {}}, Handler: "main.handler",
				File: "main.py", DependenciesFile: "requirements.txt", Worker: []string{"python3"}, Protocol: config.ProtocolFrames2,
			},
			"go":    {Versions: map[string]config.Version{"1.25": {}, "1.26": {}}, Handler: "Handler", File: "handler.go", DependenciesFile: "go.mod", Compatible: true},
			"snake": {Versions: map[string]config.Version{"3.9": {}, "3.10": {}}, Handler: "main.handler", File: "main.py", Worker: []string{"snake"}, Protocol: config.ProtocolAWS},
			"shell": {Versions: map[string]config.Version{"5": {}}, Handler: "handler", File: "main.sh", Worker: []string{"sh"}},
		}},
		Defaults: &config.Defaults{
			FunctionTimeout: time.Minute, MaxFunctionTimeout: 5 * time.Minute, MaxBuildTimeout: 30 * time.Minute,
			FunctionMaxReplicas: 20, FunctionResources: memory("64Mi"),
			AgentMinReplicas: 2, AgentMaxReplicas: 10, AgentResources: memory("128Mi"),
		},
	})
}
