package lambdaagent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingv1beta1 "knative.dev/serving/pkg/apis/serving/v1beta1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// TestPodSettings: an agent has domains, keeps its revision where the spec says so, and
// names the flag that forbids a field.
func TestPodSettings(t *testing.T) {
	condition := ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue})
	addressed := func(s *servingv1.Service) { s.Status.Address = &duckv1.Addressable{URL: apis.HTTP("bruno.team.svc")} }
	named := func(a *v1alpha1.LambdaAgent) { a.Spec.Domains = []v1alpha1.Domain{{Name: "a.test"}} }
	answers := func(a *v1alpha1.LambdaAgent) {
		a.Status.SetDomains([]v1alpha1.DomainStatus{{Name: "a.test", URL: "https://a.test", Ready: true}})
		a.Status.MarkDomainsReady()
	}
	s := service(t, agent(), condition, addressed)
	mapping := &servingv1beta1.DomainMapping{ObjectMeta: *s.ObjectMeta.DeepCopy(), Spec: servingv1beta1.DomainMappingSpec{
		Ref: duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: namespace, Name: name}}}
	mapping.Name, mapping.Generation = "a.test", 0
	mapping.Status.URL, mapping.Status.Conditions = apis.HTTPS("a.test"), duckv1.Conditions{{Type: "Ready", Status: "True"}}

	stays := func(a *v1alpha1.LambdaAgent) {
		withKey(a)
		a.Spec.RestartOnChange = ptr.Bool(false)
	}
	kept := service(t, agent(stays), condition)
	selected := func(a *v1alpha1.LambdaAgent) { a.Spec.NodeSelector = map[string]string{"disk": "ssd"} }
	refusal := apierrs.NewBadRequest("validation failed: must not set the field(s): spec.template.spec.nodeSelector")
	ltesting.Table{{
		Name: "a domain answers", Key: theKey, Ctx: in(),
		Objects:           ltesting.Objects(agent(named, servedBy(s)), file(t, agent()), s, mapping),
		WantStatusUpdates: status(agent(named, servedBy(s), answers)),
	}, {
		Name: "a changed Secret leaves the revision", Key: theKey, Ctx: in(there("Secret", "keys", "2")),
		Objects: ltesting.Objects(agent(stays, servedBy(kept)), file(t, agent(stays)), kept),
	}, {
		Name: "a flag is off", Key: theKey, Ctx: in(), WantErr: true,
		Objects:     ltesting.Objects(agent(selected, observed), file(t, agent(selected))),
		WantCreates: ltesting.Objects(service(t, agent(selected))),
		WithReactors: []clientgotesting.ReactionFunc{func(a clientgotesting.Action) (bool, runtime.Object, error) {
			return a.Matches("create", "services"), nil, refusal
		}},
		WantStatusUpdates: status(agent(selected, failed(v1alpha1.ReasonFeatureDisabled,
			"Knative Serving does not allow spec.nodeSelector. Remove it, or have an administrator enable kubernetes.podspec-nodeselector in the ConfigMap config-features of Knative Serving."))),
		WantEvents: []string{ltesting.Warning("CreateFailed", `Failed to create Service "bruno": `+refusal.Error())},
	}}.Test(t, newReconciler)
}
