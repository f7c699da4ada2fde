package lambdaagent

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/apis"
	rtesting "knative.dev/pkg/reconciler/testing"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

const (
	namespace = "team"
	name      = "bruno"
	theKey    = namespace + "/" + name
)

func clockAt(t time.Time) clock.PassiveClock { return clocktesting.NewFakePassiveClock(t) }

// agent is one with a model, whose spec leaves nothing to defaults.
func agent(options ...func(*v1alpha1.LambdaAgent)) *v1alpha1.LambdaAgent {
	temperature := v1alpha1.Number("0.7")
	a := &v1alpha1.LambdaAgent{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-" + name, Generation: 1},
		Spec: v1alpha1.LambdaAgentSpec{
			Image: v1alpha1.ImageReference{Repository: "images.test/chatbot", Tag: "1"},
			AI: v1alpha1.AISpec{
				ModelSpec:   v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOllama, Endpoint: "http://ollama.test:11434", Model: "llama3.2:3b"},
				Temperature: &temperature,
			},
		},
	}
	a.Spec = a.EffectiveSpec(testConfig())
	for _, o := range options {
		o(a)
	}
	a.Status.Summarize()
	if len(a.Status.Conditions) > 0 {
		effective := a.EffectiveSpec(testConfig())
		a.Status.PropagateSpec(&effective)
	}
	return a
}

// observed is the status before the Service says anything.
func observed(a *v1alpha1.LambdaAgent) {
	a.Status.InitializeConditions()
	a.Status.ObservedGeneration = a.Generation
	ai := a.Spec.AI
	a.Status.Model = &v1alpha1.ModelStatus{Provider: string(ai.Provider), Endpoint: ai.Endpoint, Model: ai.Model}
	a.Status.MarkModelUnknown(v1alpha1.ReasonModelNotAsked, "The model's endpoint has not answered or failed yet.")
}

// servedBy is the status when the Service says what it does.
func servedBy(s *servingv1.Service) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		observed(a)
		a.Status.PropagateService(s)
		a.Status.MarkEventingNotRequested()
	}
}

// failed is the status when there can be no Service.
func failed(reason, message string) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		observed(a)
		a.Status.MarkServiceFailed(reason, message)
	}
}

func file(t *testing.T, a *v1alpha1.LambdaAgent) *corev1.ConfigMap {
	t.Helper()
	cm, err := resources.MakeConfig(a)
	if err != nil {
		t.Fatal(err)
	}
	return cm
}

func service(t *testing.T, a *v1alpha1.LambdaAgent, change ...func(*servingv1.Service)) *servingv1.Service {
	t.Helper()
	s := resources.MakeService(a, file(t, a).Name, testConfig().Defaults)
	resources.AddApprovals(s, a, testKeys(), testConfig().Eventing)
	if err := resources.AddModelProxy(s, a, testConfig().Defaults); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func status(a *v1alpha1.LambdaAgent) []clientgotesting.UpdateActionImpl {
	return []clientgotesting.UpdateActionImpl{{Object: a}}
}

func TestReconcile(t *testing.T) {
	a := agent()
	cm := file(t, a)
	ready := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	noImage := service(t, a, ltesting.WithRevision("bruno-00001", "", apis.Condition{Status: corev1.ConditionFalse, Reason: "RevisionFailed",
		Message: `Unable to fetch image "images.test/chatbot:1": not found`}))
	starting := service(t, a, ltesting.WithRevision("bruno-00001", "", apis.Condition{Status: corev1.ConditionUnknown, Reason: "RevisionMissing"}))
	drifted := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}), func(s *servingv1.Service) {
		s.Spec.Template.Annotations["autoscaling.knative.dev/min-scale"] = "0"
		s.Annotations = map[string]string{"foreign": "stays"}
	})
	repaired := drifted.DeepCopy()
	repaired.Spec.Template.Annotations["autoscaling.knative.dev/min-scale"] = "1"
	pulling := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bruno-00001-x", Labels: map[string]string{serving.RevisionLabelKey: "bruno-00001"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "queue-proxy"}, {Name: "user-container",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: `Back-off pulling image "images.test/chatbot:1"`}}}}},
	}
	edited := agent(servedBy(ready), func(a *v1alpha1.LambdaAgent) {
		a.Generation = 2
		a.Spec.AI.SystemPrompt = "Be brief."
	})
	rolled := ready.DeepCopy()
	rolled.Spec = service(t, edited).Spec
	created := []string{`Normal Created Created ConfigMap "` + cm.Name + `"`, `Normal Created Created Service "` + name + `"`}

	ltesting.Table{{
		Name: "bad key", Key: "too/many/parts",
	}, {
		Name: "not found", Key: theKey,
	}, {
		Name: "deleting", Key: theKey,
		Objects: ltesting.Objects(agent(func(a *v1alpha1.LambdaAgent) { a.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} })),
	}, {
		Name: "create", Key: theKey,
		Objects:           ltesting.Objects(agent()),
		WantCreates:       ltesting.Objects(cm, service(t, a)),
		WantStatusUpdates: status(agent(servedBy(service(t, a)))),
		WantEvents:        created,
	}, {
		Name: "steady", Key: theKey,
		Objects: ltesting.Objects(agent(servedBy(ready)), cm, ready),
	}, {
		Name: "drift", Key: theKey,
		Objects:     ltesting.Objects(agent(servedBy(ready)), cm, drifted),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:  []string{`Normal Updated Updated Service "` + name + `"`},
	}, {
		Name: "another prompt is another configuration and another revision", Key: theKey,
		Objects:           ltesting.Objects(edited, cm, ready),
		WantCreates:       ltesting.Objects(file(t, edited)),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: rolled}},
		WantStatusUpdates: status(agent(func(a *v1alpha1.LambdaAgent) { a.Generation, a.Spec = 2, edited.Spec }, servedBy(rolled))),
		WantEvents:        []string{`Normal Created Created ConfigMap "` + file(t, edited).Name + `"`, `Normal Updated Updated Service "` + name + `"`},
	}, {
		Name: "an image that is not there", Key: theKey,
		Objects:           ltesting.Objects(agent(servedBy(ready)), cm, noImage),
		WantStatusUpdates: status(agent(servedBy(noImage))),
	}, {
		Name: "an image that the node cannot pull", Key: theKey,
		Objects: ltesting.Objects(agent(servedBy(starting)), cm, starting, pulling),
		WantStatusUpdates: status(agent(servedBy(starting), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkServiceFailed("ImagePullBackOff", `The container cannot start: Back-off pulling image "images.test/chatbot:1"`)
		})),
	}, {
		Name: "Service not owned", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(agent(), cm, service(t, a, func(s *servingv1.Service) { s.OwnerReferences = nil })),
		WantStatusUpdates: status(agent(failed(v1alpha1.ReasonServiceNotOwned, ltesting.NotOwned("Service", theKey)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("Service", theKey))},
	}, {
		Name: "configuration not owned", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(agent(), func() *corev1.ConfigMap { cm := cm.DeepCopy(); cm.OwnerReferences = nil; return cm }()),
		WantStatusUpdates: status(agent(failed(v1alpha1.ReasonServiceNotOwned, ltesting.NotOwned("ConfigMap", namespace+"/"+cm.Name)))),
		WantEvents:        []string{ltesting.Warning("InternalError", ltesting.NotOwned("ConfigMap", namespace+"/"+cm.Name))},
	}, {
		Name: "failure to create the configuration", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(agent()),
		WithReactors:      []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "configmaps")},
		WantCreates:       ltesting.Objects(cm),
		WantStatusUpdates: status(agent(observed)),
		WantEvents:        ltesting.Failing("create", "configmaps", "ConfigMap", cm.Name, ""),
	}, {
		Name: "failure to create the Service", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(agent(), cm),
		WithReactors:      []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "services")},
		WantCreates:       ltesting.Objects(service(t, a)),
		WantStatusUpdates: status(agent(observed)),
		WantEvents:        ltesting.Failing("create", "services", "Service", name, ""),
	}, {
		Name: "a namespace that is being deleted", Key: theKey,
		Objects: ltesting.Objects(agent(servedBy(ready)), cm),
		WithReactors: []clientgotesting.ReactionFunc{func(action clientgotesting.Action) (bool, runtime.Object, error) {
			return action.Matches("create", "services"), nil, ltesting.NamespaceTerminating(schema.GroupResource{Group: "serving.knative.dev", Resource: "services"}, namespace, name)
		}},
		WantCreates: ltesting.Objects(service(t, a)), // no status, no event
	}, {
		Name: "failure to update the Service", Key: theKey, WantErr: true,
		Objects:      ltesting.Objects(agent(servedBy(ready)), cm, drifted),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("update", "services")},
		WantUpdates:  []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:   ltesting.Failing("update", "services", "Service", name, ""),
	}, {
		Name: "failure to update the status", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(agent(), cm, ready),
		WithReactors:      []clientgotesting.ReactionFunc{rtesting.InduceFailure("update", "lambdaagents")},
		WantStatusUpdates: status(agent(servedBy(ready))),
		WantEvents:        []string{`Warning UpdateFailed Failed to update status for "` + name + `": inducing failure for update lambdaagents`},
	}}.Test(t, newReconciler)
}
