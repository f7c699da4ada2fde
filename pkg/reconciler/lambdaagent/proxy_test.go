package lambdaagent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// direct is an agent that refuses the model proxy.
func direct(a *v1alpha1.LambdaAgent) { a.Spec.AI.Proxy = v1alpha1.ProxyDisabled }

// running is the agent's Service as Knative Serving leaves it.
func running(t *testing.T, a *v1alpha1.LambdaAgent) *servingv1.Service {
	t.Helper()
	s := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	s.SetDefaults(t.Context())
	return s
}

// TestModelProxy: it is beside the agent that has a model, and leaves when the agent
// refuses it.
func TestModelProxy(t *testing.T) {
	with, without := agent(), agent(direct)
	served := running(t, with)
	alone := served.DeepCopy()
	template := &alone.Spec.Template.Spec
	template.Containers = service(t, without).Spec.Template.Spec.Containers
	template.Volumes = service(t, without).Spec.Template.Spec.Volumes
	if len(served.Spec.Template.Spec.Containers) != 2 || len(template.Containers) != 1 {
		t.Fatalf("%d containers with the proxy, %d without", len(served.Spec.Template.Spec.Containers), len(template.Containers))
	}

	ltesting.Table{{
		Name: "what Knative Serving defaults is left as it is", Key: theKey, Ctx: in(),
		Objects: ltesting.Objects(agent(servedBy(served)), file(t, with), served),
	}, {
		Name: "switched off", Key: theKey, Ctx: in(),
		Objects:     ltesting.Objects(agent(direct, servedBy(served)), file(t, without), served),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: alone}},
		WantEvents:  []string{`Normal Updated Updated Service "` + name + `"`},
	}}.Test(t, newReconciler)
}

// TestNoModelProxy: without an image of the proxy an agent that needs it says so, is
// not tried again, and keeps what runs; others do not mind.
func TestNoModelProxy(t *testing.T) {
	noImage := func(r *row) { r.config.Defaults.ModelProxyImage = "" }
	const message = "config-defaults has no model-proxy-image; set it, or ai.proxy: disabled"
	with, without := agent(), agent(direct)
	served := running(t, with)
	alone := resources.MakeService(without, file(t, without).Name, testConfig().Defaults)

	ltesting.Table{{
		Name: "none yet", Key: theKey, Ctx: in(noImage),
		Objects:           ltesting.Objects(agent(), file(t, with)),
		WantStatusUpdates: status(agent(failed(v1alpha1.ReasonNoModelProxy, message), func(a *v1alpha1.LambdaAgent) { a.Status.MarkEventingNotRequested() })),
	}, {
		Name: "one that runs stays", Key: theKey, Ctx: in(noImage),
		Objects: ltesting.Objects(agent(servedBy(served)), file(t, with), served),
		WantStatusUpdates: status(agent(servedBy(served), func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkServiceFailed(v1alpha1.ReasonNoModelProxy, message)
		})),
	}, {
		Name: "refused", Key: theKey, Ctx: in(noImage),
		Objects:           ltesting.Objects(agent(direct), file(t, without)),
		WantCreates:       ltesting.Objects(alone),
		WantStatusUpdates: status(agent(direct, servedBy(alone))),
		WantEvents:        []string{`Normal Created Created Service "` + name + `"`},
	}}.Test(t, newReconciler)
}
