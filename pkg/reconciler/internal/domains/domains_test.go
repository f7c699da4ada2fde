package domains

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"
	servingv1beta1 "knative.dev/serving/pkg/apis/serving/v1beta1"
	"knative.dev/serving/pkg/client/clientset/versioned/fake"
	servinglisters "knative.dev/serving/pkg/client/listers/serving/v1beta1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

var target = Target{Service: "greeter", Labels: map[string]string{"ours": "1"}, Addressed: true}

func owner() *v1alpha1.LambdaFunction {
	f := &v1alpha1.LambdaFunction{}
	f.Namespace, f.Name, f.UID = "team", "greeter", "uid-greeter"
	return f
}

func domain(name string, change ...func(*servingv1beta1.DomainMapping)) *servingv1beta1.DomainMapping {
	dm := mapping(owner(), target, v1alpha1.Domain{Name: name})
	for _, c := range change {
		c(dm)
	}
	return dm
}

// condition of a DomainMapping that Knative Serving has seen.
func condition(t apis.ConditionType, status corev1.ConditionStatus, reason, message string) func(*servingv1beta1.DomainMapping) {
	return func(dm *servingv1beta1.DomainMapping) {
		dm.Status.Conditions = append(dm.Status.Conditions, apis.Condition{Type: t, Status: status, Reason: reason, Message: message})
		dm.Status.URL = apis.HTTPS(dm.Name)
	}
}

func ready(dm *servingv1beta1.DomainMapping) { condition("Ready", corev1.ConditionTrue, "", "")(dm) }

func others(dm *servingv1beta1.DomainMapping) {
	dm.OwnerReferences[0].UID = "uid-other"
}

func claim(reason, message string) func(*servingv1beta1.DomainMapping) {
	return func(dm *servingv1beta1.DomainMapping) {
		condition("DomainClaimed", corev1.ConditionFalse, reason, message)(dm)
		condition("Ready", corev1.ConditionFalse, reason, message)(dm)
	}
}

func TestReconcile(t *testing.T) {
	refused := apierrs.NewInvalid(schema.GroupKind{Kind: "DomainMapping"}, "a.test", nil)
	two := []v1alpha1.Domain{{Name: "a.test"}, {Name: "b.test", TLSSecretName: "cert"}}
	withTLS := domain("b.test", func(dm *servingv1beta1.DomainMapping) {
		dm.Spec.TLS = &servingv1beta1.SecretTLS{SecretName: "cert"}
		ready(dm)
	})
	for _, tt := range []struct {
		name     string
		exposure v1alpha1.Exposure
		existing []*servingv1beta1.DomainMapping
		target   *Target
		failure  error
		did      []string
		status   corev1.ConditionStatus // of DomainsReady; empty for none
		reason   string
		message  string
		domains  []v1alpha1.DomainStatus
		err      bool
	}{
		{name: "none"},
		{name: "they are made", exposure: v1alpha1.Exposure{Domains: two}, did: []string{"create a.test", "create b.test"},
			status: "Unknown", reason: "DomainNotReconciled", message: "Domain a.test: Knative Serving has not yet seen the newest DomainMapping.",
			domains: []v1alpha1.DomainStatus{{Name: "a.test"}, {Name: "b.test"}}},
		{name: "they answer", exposure: v1alpha1.Exposure{Domains: two}, existing: []*servingv1beta1.DomainMapping{domain("a.test", ready), withTLS}, status: "True",
			domains: []v1alpha1.DomainStatus{{Name: "a.test", URL: "https://a.test", Ready: true}, {Name: "b.test", URL: "https://b.test", Ready: true}}},
		{name: "one changes, one goes", exposure: v1alpha1.Exposure{Domains: two[1:]},
			existing: []*servingv1beta1.DomainMapping{domain("a.test", ready), domain("b.test", ready)}, did: []string{"delete a.test", "update b.test"}, status: "True",
			domains: []v1alpha1.DomainStatus{{Name: "b.test", URL: "https://b.test", Ready: true}}},
		{name: "all go, and other people's stay", existing: []*servingv1beta1.DomainMapping{domain("a.test", ready), domain("c.test", others)}, did: []string{"delete a.test"}},
		{name: "another object of the namespace has it", exposure: v1alpha1.Exposure{Domains: two[:1]}, existing: []*servingv1beta1.DomainMapping{domain("a.test", others)},
			status: "False", reason: "DomainNotOwned", domains: []v1alpha1.DomainStatus{{Name: "a.test"}},
			message: "Domain a.test: DomainMapping team/a.test exists already and is not owned by this resource: delete or rename one of the two"},
		{name: "another namespace has it", exposure: v1alpha1.Exposure{Domains: two},
			existing: []*servingv1beta1.DomainMapping{domain("a.test", claim("DomainAlreadyClaimed", "The domain name is already in use by another DomainMapping")), withTLS},
			status:   "False", reason: "DomainAlreadyClaimed",
			message: "Domain a.test: another namespace has claimed it. Choose another domain, or ask an administrator for its ClusterDomainClaim.",
			domains: []v1alpha1.DomainStatus{{Name: "a.test"}, {Name: "b.test", URL: "https://b.test", Ready: true}}},
		{name: "no claim", exposure: v1alpha1.Exposure{Domains: two[:1]},
			existing: []*servingv1beta1.DomainMapping{domain("a.test", claim("DomainClaimFailed", `no ClusterDomainClaim found for domain "a.test"`))},
			status:   "False", reason: "DomainClaimFailed", domains: []v1alpha1.DomainStatus{{Name: "a.test"}},
			message: `Domain a.test: no ClusterDomainClaim found for domain "a.test". An administrator allows it by a ClusterDomainClaim a.test for namespace team, or by autocreate-cluster-domain-claims in config-network of Knative Serving.`},
		{name: "a certificate that is waited for", exposure: v1alpha1.Exposure{Domains: two[:1]},
			existing: []*servingv1beta1.DomainMapping{domain("a.test", condition("Ready", corev1.ConditionUnknown, "CertificateNotReady", "Certificate x is not ready."))},
			status:   "Unknown", reason: "CertificateNotReady", message: "Domain a.test: Certificate x is not ready.", domains: []v1alpha1.DomainStatus{{Name: "a.test"}}},
		{name: "of an older generation", exposure: v1alpha1.Exposure{Domains: two[:1]},
			existing: []*servingv1beta1.DomainMapping{domain("a.test", ready, func(dm *servingv1beta1.DomainMapping) { dm.Generation = 2 })},
			status:   "Unknown", reason: "DomainNotReconciled", message: "Domain a.test: Knative Serving has not yet seen the newest DomainMapping.", domains: []v1alpha1.DomainStatus{{Name: "a.test"}}},
		{name: "private by now", exposure: v1alpha1.Exposure{Domains: two[:1], Visibility: v1alpha1.VisibilityClusterLocal}, existing: []*servingv1beta1.DomainMapping{domain("a.test", ready)},
			did: []string{"delete a.test"}, status: "False", reason: "ClusterLocal", message: "Domains publish what is cluster-local: remove spec.domains, or set spec.visibility: external."},
		{name: "nothing to lead to yet", exposure: v1alpha1.Exposure{Domains: two}, target: &Target{Service: "greeter"}, status: "Unknown", reason: "ServiceNotReconciled",
			message: "The Knative Service has no address yet."},
		{name: "Knative refuses it", exposure: v1alpha1.Exposure{Domains: two[:1]}, failure: refused, did: []string{"create a.test"}, status: "False", reason: "DomainRejected",
			message: `Domain a.test: failed to create DomainMapping "a.test": ` + refused.Error(), domains: []v1alpha1.DomainStatus{{Name: "a.test"}}},
		{name: "it cannot be written", exposure: v1alpha1.Exposure{Domains: two[:1]}, failure: errors.New("broken"), did: []string{"create a.test"}, err: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, indexer := fake.NewSimpleClientset(), cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			for _, dm := range tt.existing {
				if err := errors.Join(indexer.Add(dm), client.Tracker().Add(dm.DeepCopy())); err != nil {
					t.Fatal(err)
				}
			}
			if tt.failure != nil {
				client.PrependReactor("create", "*", func(clientgotesting.Action) (bool, runtime.Object, error) { return true, nil, tt.failure })
			}
			to := target
			if tt.target != nil {
				to = *tt.target
			}
			f := owner()
			f.Status.InitializeConditions()
			f.Status.MarkDomainsFailed("Before", "it was another")
			ctx := controller.WithEventRecorder(t.Context(), record.NewFakeRecorder(10))
			err := Mappings{Client: client, Lister: servinglisters.NewDomainMappingLister(indexer)}.Reconcile(ctx, f, to, &tt.exposure, &f.Status)
			if (err != nil) != tt.err {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.did, calls(client)); diff != "" {
				t.Error("calls (-want, +got):", diff)
			}
			if tt.err {
				return
			}
			c := f.Status.GetCondition(v1alpha1.ConditionDomainsReady)
			switch {
			case tt.status == "" && c != nil:
				t.Errorf("condition %+v, want none", c)
			case tt.status != "" && (c == nil || c.Status != tt.status || c.Reason != tt.reason || c.Message != tt.message):
				t.Errorf("condition %+v, want %s %s: %s", c, tt.status, tt.reason, tt.message)
			}
			if diff := cmp.Diff(tt.domains, f.Status.Domains); diff != "" {
				t.Error("domains (-want, +got):", diff)
			}
		})
	}
}

func calls(client *fake.Clientset) (all []string) {
	for _, action := range client.Actions() {
		switch a := action.(type) {
		case clientgotesting.UpdateAction: // a CreateAction, too
			o, ok := a.GetObject().(metav1.Object)
			if ok {
				all = append(all, action.GetVerb()+" "+o.GetName())
			}
		case clientgotesting.DeleteAction:
			all = append(all, "delete "+a.GetName())
		}
	}
	return all
}
