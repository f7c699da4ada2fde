package lambdaagent

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/ptr"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// withKey is an agent whose provider needs a key.
func withKey(a *v1alpha1.LambdaAgent) {
	a.Spec.AI.APIKeySecretRef = &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "token"}
}

// seen is on the template of a Service whose references led to that.
func seen(text string) func(*servingv1.Service) {
	return func(s *servingv1.Service) {
		s.Spec.Template.Annotations["lambda.knative.io/references"] = build.Hash(text)
	}
}

func waiting(reason, message string) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Status.MarkServiceWaiting(reason, message)
		a.Status.MarkEventingNotRequested()
	}
}

func TestReferences(t *testing.T) {
	const (
		one, two = "Secret/keys uid-keys 1\n", "Secret/keys uid-keys 2\n"
		missing  = `There is no Secret "keys", which spec.ai.apiKeySecretRef names, in namespace "team" yet.`
	)
	a := agent(withKey)
	cm := file(t, a)
	condition := apis.Condition{Status: corev1.ConditionTrue}
	ready := service(t, a, seen(one), ltesting.WithRevision("bruno-00001", "bruno-00001", condition))
	rolled := service(t, a, seen(two), ltesting.WithRevision("bruno-00001", "bruno-00001", condition))
	updated := []string{`Normal Updated Updated Service "` + name + `"`}

	prompted := func(a *v1alpha1.LambdaAgent) {
		a.Spec.AI.SystemPromptFrom = &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "prompts"}, Key: "bruno"}
	}
	relaxed := func(a *v1alpha1.LambdaAgent) {
		withKey(a)
		a.Spec.AI.APIKeySecretRef.Optional = ptr.Bool(true)
	}
	starting := service(t, a, seen(one), ltesting.WithRevision("bruno-00001", "", apis.Condition{Status: corev1.ConditionUnknown, Reason: "RevisionMissing"}))
	lost := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bruno-00001-x", Labels: map[string]string{serving.RevisionLabelKey: "bruno-00001"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "user-container",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: "couldn't find key token in Secret team/keys"}}}}},
	}

	ltesting.Table{{
		Name: "a Secret that is not there is waited for", Key: theKey, Ctx: in(),
		Objects:           ltesting.Objects(agent(withKey)),
		WantCreates:       ltesting.Objects(cm),
		WantStatusUpdates: status(agent(withKey, observed, waiting(v1alpha1.ReasonSecretNotFound, missing))),
		WantEvents:        []string{`Normal Created Created ConfigMap "` + cm.Name + `"`},
	}, {
		Name: "a ConfigMap that is not there is waited for", Key: theKey, Ctx: in(),
		Objects: ltesting.Objects(agent(prompted), file(t, agent(prompted))),
		WantStatusUpdates: status(agent(prompted, observed, waiting(v1alpha1.ReasonConfigMapNotFound,
			`There is no ConfigMap "prompts", which spec.ai.systemPromptFrom names, in namespace "team" yet.`))),
	}, {
		Name: "it starts when the Secret is there", Key: theKey, Ctx: in(there("Secret", "keys", "1")),
		Objects:           ltesting.Objects(agent(withKey, observed, waiting(v1alpha1.ReasonSecretNotFound, missing)), cm),
		WantCreates:       ltesting.Objects(service(t, a, seen(one))),
		WantStatusUpdates: status(agent(withKey, servedBy(service(t, a)))),
		WantEvents:        []string{`Normal Created Created Service "` + name + `"`},
	}, {
		Name: "steady", Key: theKey, Ctx: in(there("Secret", "keys", "1")),
		Objects: ltesting.Objects(agent(withKey, servedBy(ready)), cm, ready),
	}, {
		Name: "another version of the Secret is another revision", Key: theKey, Ctx: in(there("Secret", "keys", "2")),
		Objects:     ltesting.Objects(agent(withKey, servedBy(ready)), cm, ready),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: rolled}},
		WantEvents:  updated,
	}, {
		Name: "what runs stays when its Secret goes, and says so", Key: theKey, Ctx: in(),
		Objects:           ltesting.Objects(agent(withKey, servedBy(ready)), cm, ready),
		WantStatusUpdates: status(agent(withKey, servedBy(ready), waiting(v1alpha1.ReasonSecretNotFound, missing+" Revision bruno-00001 serves on."))),
	}, {
		Name: "what is optional is not waited for", Key: theKey, Ctx: in(),
		Objects:           ltesting.Objects(agent(relaxed), file(t, agent(relaxed))),
		WantCreates:       ltesting.Objects(service(t, agent(relaxed))),
		WantStatusUpdates: status(agent(relaxed, servedBy(service(t, agent(relaxed))))),
		WantEvents:        []string{`Normal Created Created Service "` + name + `"`},
	}, {
		Name: "who may not list Secrets waits for none and rolls with none", Key: theKey, Ctx: in(func(r *row) { r.blind = true }),
		Objects: ltesting.Objects(agent(withKey, servedBy(ready)), cm, ready),
	}, {
		Name: "a key that is not in the Secret", Key: theKey, Ctx: in(there("Secret", "keys", "1")),
		Objects: ltesting.Objects(agent(withKey, servedBy(starting)), cm, starting, lost),
		WantStatusUpdates: status(agent(withKey, servedBy(starting), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkServiceFailed(v1alpha1.ReasonSecretKeyNotFound, `There is no key "token" of Secret "keys", which spec.ai.apiKeySecretRef names, in namespace "team".`)
		})),
	}}.Test(t, newReconciler)
}

// TestReferencesOfModels: the keys of the model and of its fallbacks are in the proxy's
// container alone, and are waited for and followed as any other reference; so is the
// key of an agent that refuses the proxy.
func TestReferencesOfModels(t *testing.T) {
	spare := func(a *v1alpha1.LambdaAgent) {
		withKey(a)
		a.Spec.AI.Fallbacks = []v1alpha1.FallbackSpec{{ModelSpec: v1alpha1.ModelSpec{Provider: v1alpha1.ProviderOpenAI, Model: "gpt"},
			APIKeySecretRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "spare"}, Key: "token"}}}
	}
	alone := func(a *v1alpha1.LambdaAgent) {
		withKey(a)
		direct(a)
	}
	const (
		one, two = "Secret/keys uid-keys 1\nSecret/spare uid-spare 1\n", "Secret/keys uid-keys 1\nSecret/spare uid-spare 2\n"
		missing  = `There is no Secret "spare", which spec.ai.fallbacks[0].apiKeySecretRef names, in namespace "team" yet.`
	)
	a := agent(spare)
	cm := file(t, a)
	condition := apis.Condition{Status: corev1.ConditionTrue}
	ready := service(t, a, seen(one), ltesting.WithRevision("bruno-00001", "bruno-00001", condition))
	rolled := service(t, a, seen(two), ltesting.WithRevision("bruno-00001", "bruno-00001", condition))
	for i, want := range []bool{false, true} {
		text, err := json.Marshal(ready.Spec.Template.Spec.Containers[i])
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "secretKeyRef"); got != want {
			t.Fatalf("container %d refers to a Secret: %v, want %v: %s", i, got, want, text)
		}
	}
	starting := service(t, a, seen(one), ltesting.WithRevision("bruno-00001", "", apis.Condition{Status: corev1.ConditionUnknown, Reason: "RevisionMissing"}))
	lost := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bruno-00001-x", Labels: map[string]string{serving.RevisionLabelKey: "bruno-00001"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "user-container", Ready: true}, {Name: "model-proxy",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: "couldn't find key token in Secret team/spare"}}}}},
	}
	updated := []string{`Normal Updated Updated Service "` + name + `"`}

	own := service(t, agent(alone), seen("Secret/keys uid-keys 1\n"), ltesting.WithRevision("bruno-00001", "bruno-00001", condition))
	ownRolled := service(t, agent(alone), seen("Secret/keys uid-keys 2\n"), ltesting.WithRevision("bruno-00001", "bruno-00001", condition))

	ltesting.Table{{
		Name: "a fallback's Secret that is not there is waited for", Key: theKey, Ctx: in(there("Secret", "keys", "1")),
		Objects:           ltesting.Objects(agent(spare), cm),
		WantStatusUpdates: status(agent(spare, observed, waiting(v1alpha1.ReasonSecretNotFound, missing))),
	}, {
		Name: "it starts when the fallback's Secret is there", Key: theKey, Ctx: in(there("Secret", "keys", "1"), there("Secret", "spare", "1")),
		Objects:           ltesting.Objects(agent(spare, observed, waiting(v1alpha1.ReasonSecretNotFound, missing)), cm),
		WantCreates:       ltesting.Objects(service(t, a, seen(one))),
		WantStatusUpdates: status(agent(spare, servedBy(service(t, a)))),
		WantEvents:        []string{`Normal Created Created Service "` + name + `"`},
	}, {
		Name: "another version of the fallback's Secret is another revision", Key: theKey, Ctx: in(there("Secret", "keys", "1"), there("Secret", "spare", "2")),
		Objects:     ltesting.Objects(agent(spare, servedBy(ready)), cm, ready),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: rolled}},
		WantEvents:  updated,
	}, {
		Name: "what runs stays when the fallback's Secret goes", Key: theKey, Ctx: in(there("Secret", "keys", "1")),
		Objects:           ltesting.Objects(agent(spare, servedBy(ready)), cm, ready),
		WantStatusUpdates: status(agent(spare, servedBy(ready), waiting(v1alpha1.ReasonSecretNotFound, missing+" Revision bruno-00001 serves on."))),
	}, {
		Name: "a key that is not in the fallback's Secret", Key: theKey, Ctx: in(there("Secret", "keys", "1"), there("Secret", "spare", "1")),
		Objects: ltesting.Objects(agent(spare, servedBy(starting)), cm, starting, lost),
		WantStatusUpdates: status(agent(spare, servedBy(starting), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkServiceFailed(v1alpha1.ReasonSecretKeyNotFound, `There is no key "token" of Secret "spare", which spec.ai.fallbacks[0].apiKeySecretRef names, in namespace "team".`)
		})),
	}, {
		Name: "without the proxy another version of the Secret is another revision", Key: theKey, Ctx: in(there("Secret", "keys", "2")),
		Objects:     ltesting.Objects(agent(alone, servedBy(own)), file(t, agent(alone)), own),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: ownRolled}},
		WantEvents:  updated,
	}}.Test(t, newReconciler)
}
