//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// about is what the operator says of a sink, refused or not, without the names in it.
func about(ctx context.Context, t *testing.T, a *test.Tenant, name string, ref duckv1.KReference) string {
	t.Helper()
	anonymous := func(text string) string {
		text = strings.NewReplacer(ref.Name, "NAME", a.Namespace, "OWN", name, "FUNCTION").Replace(text)
		return regexp.MustCompile(`spec\.|\s+`).ReplaceAllString(text, " ")
	}
	created, err := a.Lambda.LambdaV1alpha1().LambdaFunctions(a.Namespace).Create(ctx, python(a, name, greeting("hello"), func(s *v1alpha1.LambdaFunctionSpec) {
		s.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Sink: &duckv1.Destination{Ref: &ref}}
	}), metav1.CreateOptions{})
	if err != nil {
		return anonymous(err.Error())
	}
	var said string
	_, err = a.AwaitFunction(ctx, test.Key(created), "a verdict on its sink", func(f *v1alpha1.LambdaFunction) bool {
		c := f.Status.GetCondition(v1alpha1.FunctionConditionEventingReady)
		if strings.Contains(c.GetMessage(), "sink") {
			said = fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.Message)
			return true
		}
		return f.IsReady()
	})
	if err != nil {
		t.Fatal(err)
	}
	return anonymous(said)
}

// TestSinksOfOtherNamespaces: what the operator says of a sink in another namespace is the
// same whether the object is there or not, and of most kinds it asks nothing.
func TestSinksOfOtherNamespaces(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	meta := metav1.ObjectMeta{Namespace: victim.Namespace, Name: "present"}
	if _, err := victim.Kube.CoreV1().Secrets(victim.Namespace).Create(ctx, &corev1.Secret{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := victim.Kube.CoreV1().ConfigMaps(victim.Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := victim.Kube.CoreV1().Services(victim.Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Secret", "ConfigMap", "Service"} {
		lower := strings.ToLower(kind)
		there := about(ctx, t, attacker, lower+"-there", duckv1.KReference{APIVersion: "v1", Kind: kind, Namespace: victim.Namespace, Name: "present"})
		absent := about(ctx, t, attacker, lower+"-not-there", duckv1.KReference{APIVersion: "v1", Kind: kind, Namespace: victim.Namespace, Name: "missing"})
		if there != absent {
			t.Errorf("of a %s in another namespace that is there the operator says\n%s\nand of one that is not\n%s", kind, there, absent)
		}
		test.Contains(t, "what is said of a "+kind, there, "sink")
	}
	// A kind that is no sink is refused in one's own namespace as well, whatever is there.
	if said := about(ctx, t, attacker, "own-secret", duckv1.KReference{APIVersion: "v1", Kind: "Secret", Name: "present"}); !strings.Contains(said, "kind") {
		t.Errorf("a Secret as a sink: %s, want the kind named", said)
	}
}
