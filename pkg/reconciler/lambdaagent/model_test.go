package lambdaagent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/modelprobe"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func models(a answers) func(*row) { return func(r *row) { r.models = a } }

// TestModel: ModelAvailable says what the probes say, and Ready never does.
func TestModel(t *testing.T) {
	const primary = "llama3.2:3b"
	dead := modelprobe.Verdict{Reason: modelprobe.ReasonUnreachable, Message: "It is down.", Dead: true}
	withFallbacks := func(a *v1alpha1.LambdaAgent) {
		for _, model := range []string{"second", "third"} {
			a.Spec.AI.Fallbacks = append(a.Spec.AI.Fallbacks, v1alpha1.FallbackSpec{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://other.test", Model: model}})
		}
	}
	without := func(provider v1alpha1.Provider) func(*v1alpha1.LambdaAgent) {
		return func(a *v1alpha1.LambdaAgent) {
			a.Spec.AI = v1alpha1.AISpec{ModelSpec: v1alpha1.ModelSpec{Provider: provider}}
		}
	}
	available := func(a *v1alpha1.LambdaAgent) { a.Status.MarkModelAvailable() }
	unavailable := func(message string) func(*v1alpha1.LambdaAgent) {
		return func(a *v1alpha1.LambdaAgent) { a.Status.MarkModelUnavailable(dead.Reason, message) }
	}
	cleared := func(a *v1alpha1.LambdaAgent) {
		if err := a.Status.ClearModel(); err != nil {
			t.Fatal(err)
		}
	}
	noModel := func(a *v1alpha1.LambdaAgent) { a.Status.Model = nil }
	probed := func(a *v1alpha1.LambdaAgent) { a.Status.Model.LastProbeTime = &metav1.Time{Time: probedAt} }
	off := func(r *row) { r.config.Defaults.ModelProbe.Interval = 0 }

	for _, tt := range []struct {
		name  string
		agent func(*v1alpha1.LambdaAgent)
		world []func(*row)
		want  []func(*v1alpha1.LambdaAgent)
	}{
		{"not known yet", func(*v1alpha1.LambdaAgent) {}, nil, nil},
		{"it answers", func(*v1alpha1.LambdaAgent) {}, []func(*row){models(answers{primary: {}})}, []func(*v1alpha1.LambdaAgent){available, probed}},
		{"it does not", func(*v1alpha1.LambdaAgent) {}, []func(*row){models(answers{primary: dead})}, []func(*v1alpha1.LambdaAgent){unavailable("It is down."), probed}},
		{"a fallback does", withFallbacks, []func(*row){models(answers{primary: dead, "second": dead, "third": {}})},
			[]func(*v1alpha1.LambdaAgent){unavailable("It is down. Fallback 1 answers: model third of provider ollama."), probed}},
		{"no fallback does", withFallbacks, []func(*row){models(answers{primary: dead, "second": dead})}, []func(*v1alpha1.LambdaAgent){unavailable("It is down."), probed}},
		{"none", without(v1alpha1.ProviderNone), nil, []func(*v1alpha1.LambdaAgent){cleared, noModel}},
		{"no address", without(v1alpha1.ProviderBedrock), nil, []func(*v1alpha1.LambdaAgent){func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkModelUnknown(v1alpha1.ReasonModelNotAsked, "Provider bedrock has no address that is the same for all: spec.ai.endpoint may name one.")
		}}},
		{"probes are off", func(*v1alpha1.LambdaAgent) {}, []func(*row){off}, []func(*v1alpha1.LambdaAgent){cleared}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent(tt.agent)
			s := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
			before := agent(tt.agent, servedBy(s))
			want := agent(append([]func(*v1alpha1.LambdaAgent){tt.agent, servedBy(s)}, tt.want...)...)
			if !want.Status.GetCondition(v1alpha1.AgentConditionReady).IsTrue() {
				t.Errorf("Ready = %+v, want that the model has no say in it", want.Status.GetCondition(v1alpha1.AgentConditionReady))
			}
			table := ltesting.Table{{Name: "it is told", Key: theKey, Ctx: in(tt.world...), Objects: ltesting.Objects(before, file(t, a), s)}}
			if len(tt.want) > 0 {
				table[0].WantStatusUpdates = status(want)
			}
			table.Test(t, newReconciler)
		})
	}
}

// asked records which models are asked.
type asked struct {
	modelprobe.Checker
	models []modelprobe.Model
}

func (a *asked) Check(key types.NamespacedName, s modelprobe.Settings, models []modelprobe.Model) []modelprobe.Outcome {
	a.models = models
	return a.Checker.Check(key, s, models)
}

// TestModelIsAskedAtItsProvider: behind the model proxy as without it, and where the
// proxy completes an endpoint so is what is asked.
func TestModelIsAskedAtItsProvider(t *testing.T) {
	at := func(url, name string) modelprobe.Model {
		return modelprobe.Model{Endpoint: modelprobe.Endpoint{Provider: "openai-compatible", URL: url}, Name: name}
	}
	compatible := func(name string) v1alpha1.ModelSpec {
		return v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAICompatible, Endpoint: "http://" + name + ".test", Model: name}
	}
	for _, tt := range []struct {
		name string
		ai   v1alpha1.AISpec
		want []modelprobe.Model
	}{
		{"by the proxy", v1alpha1.AISpec{ModelSpec: compatible("one"), Fallbacks: []v1alpha1.FallbackSpec{{ModelSpec: compatible("two")}}},
			[]modelprobe.Model{at("http://one.test/v1", "one"), at("http://two.test/v1", "two")}},
		{"by the agent", v1alpha1.AISpec{ModelSpec: compatible("one"), Proxy: v1alpha1.ProxyDisabled}, []modelprobe.Model{at("http://one.test", "one")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			models := &asked{Checker: answers{}}
			a := agent(func(a *v1alpha1.LambdaAgent) { a.Spec.AI = tt.ai })
			if err := (&Reconciler{models: models}).reconcileModel(in(), a); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, models.models); diff != "" {
				t.Error("asked (-want, +got):", diff)
			}
			if got := a.Status.Model.Endpoint; got != "http://one.test" {
				t.Errorf("status.model.endpoint = %s, want the spec's", got)
			}
		})
	}
}
