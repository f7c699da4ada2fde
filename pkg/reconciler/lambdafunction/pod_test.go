package lambdafunction

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
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// TestRestartOnChange: a changed Secret rolls a new revision, unless the spec says
// otherwise.
func TestRestartOnChange(t *testing.T) {
	mounts := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Volumes = []corev1.Volume{{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}}}
		f.Spec.VolumeMounts = []corev1.VolumeMount{{Name: "keys", MountPath: "/keys"}}
	}
	stays := func(f *v1alpha1.LambdaFunction) {
		mounts(f)
		f.Spec.RestartOnChange = ptr.Bool(false)
	}
	of := func(versions string, o option) *servingv1.Service {
		return service(function(o), revision("greeter-00001", "greeter-00001"), func(s *servingv1.Service) {
			if versions != "" {
				s.Spec.Template.Annotations["lambda.knative.io/references"] = build.Hash(versions)
			}
		})
	}
	const one, two = "Secret/keys uid-keys 1\n", "Secret/keys uid-keys 2\n"
	updated := []string{ltesting.Normal("Updated", `Updated Service "`+name+`"`)}
	ltesting.Table{{
		Name: "as it was", Key: theKey, Ctx: in(absent, there("keys", "1")),
		Objects: ltesting.Objects(function(mounts, servedBy(of(one, mounts), built(false))), of(one, mounts)),
	}, {
		Name: "changed", Key: theKey, Ctx: in(absent, there("keys", "2")),
		Objects:     ltesting.Objects(function(mounts, servedBy(of(one, mounts), built(false))), of(one, mounts)),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: of(two, mounts)}}, WantEvents: updated,
	}, {
		Name: "changed, and the revision stays", Key: theKey, Ctx: in(absent, there("keys", "2")),
		Objects: ltesting.Objects(function(stays, servedBy(of("", stays), built(false))), of("", stays)),
	}, {
		Name: "not there: Kubernetes says so", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(mounts, servedBy(of("", mounts), built(false))), of("", mounts)),
	}}.Test(t, newReconciler)
}

// TestDomains: a DomainMapping for each, and Ready says if one does not answer.
func TestDomains(t *testing.T) {
	named := func(f *v1alpha1.LambdaFunction) { f.Spec.Domains = []v1alpha1.Domain{{Name: "a.test"}} }
	addressed := func(s *servingv1.Service) { s.Status.Address = &duckv1.Addressable{URL: apis.HTTP("greeter.team.svc")} }
	s := service(function(), revision("greeter-00001", "greeter-00001"), addressed)
	dm := func(change ...func(*servingv1beta1.DomainMapping)) *servingv1beta1.DomainMapping {
		m := &servingv1beta1.DomainMapping{ObjectMeta: *s.ObjectMeta.DeepCopy(), Spec: servingv1beta1.DomainMappingSpec{
			Ref: duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: namespace, Name: name}}}
		m.Name, m.Annotations, m.Generation = "a.test", nil, 0
		for _, c := range change {
			c(m)
		}
		return m
	}
	taken := dm(func(m *servingv1beta1.DomainMapping) {
		for _, c := range []apis.ConditionType{"DomainClaimed", "Ready"} {
			m.Status.Conditions = append(m.Status.Conditions, apis.Condition{Type: c, Status: "False", Reason: "DomainAlreadyClaimed"})
		}
	})
	waiting := func(f *v1alpha1.LambdaFunction) {
		f.Status.SetDomains([]v1alpha1.DomainStatus{{Name: "a.test"}})
		f.Status.MarkDomainsPending(v1alpha1.ReasonDomainNotReconciled, "Domain a.test: Knative Serving has not yet seen the newest DomainMapping.")
	}
	refused := func(f *v1alpha1.LambdaFunction) {
		f.Status.SetDomains([]v1alpha1.DomainStatus{{Name: "a.test"}})
		f.Status.MarkDomainsFailed(v1alpha1.ReasonDomainAlreadyClaimed, "Domain a.test: another namespace has claimed it. Choose another domain, or ask an administrator for its ClusterDomainClaim.")
	}
	ltesting.Table{{
		Name: "create", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(named, servedBy(s, built(false))), s),
		WantCreates:       ltesting.Objects(dm()),
		WantStatusUpdates: status(function(named, servedBy(s, built(false)), waiting)),
		WantEvents:        []string{ltesting.Normal("Created", `Created DomainMapping "a.test"`)},
	}, {
		Name: "another namespace's", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(named, servedBy(s, built(false)), waiting), s, taken),
		WantStatusUpdates: status(function(named, servedBy(s, built(false)), refused)),
	}, {
		Name: "not wanted any more", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(servedBy(s, built(false)), refused), s, taken),
		WantDeletes:       []clientgotesting.DeleteActionImpl{{Name: "a.test", ActionImpl: clientgotesting.ActionImpl{Namespace: namespace, Verb: "delete", Resource: servingv1beta1.SchemeGroupVersion.WithResource("domainmappings")}}},
		WantStatusUpdates: status(function(servedBy(s, built(false)))),
		WantEvents:        []string{ltesting.Normal("Deleted", `Deleted DomainMapping "a.test"`)},
	}}.Test(t, newReconciler)
}

// TestDisabledFeature: the condition names the flag of Knative Serving, and the function
// is tried again.
func TestDisabledFeature(t *testing.T) {
	selected := func(f *v1alpha1.LambdaFunction) { f.Spec.NodeSelector = map[string]string{"disk": "ssd"} }
	refusal := apierrs.NewBadRequest("validation failed: must not set the field(s): spec.template.spec.nodeSelector")
	ltesting.Table{{
		Name: "a flag is off", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:     ltesting.Objects(function(selected, built(false))),
		WantCreates: ltesting.Objects(service(function(selected))),
		WithReactors: []clientgotesting.ReactionFunc{func(a clientgotesting.Action) (bool, runtime.Object, error) {
			return a.Matches("create", "services"), nil, refusal
		}},
		WantStatusUpdates: status(function(selected, built(false), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkServiceFailed(v1alpha1.ReasonFeatureDisabled, "Knative Serving does not allow spec.nodeSelector. Remove it, or have an administrator enable kubernetes.podspec-nodeselector in the ConfigMap config-features of Knative Serving.")
		})),
		WantEvents: []string{ltesting.Warning("CreateFailed", `Failed to create Service "greeter": `+refusal.Error())},
	}}.Test(t, newReconciler)
}
