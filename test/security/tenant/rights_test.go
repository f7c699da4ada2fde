//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// agentsOnly are the rights of a user who may write agents and nothing else.
var agentsOnly = rbacv1.PolicyRule{APIGroups: []string{lambda.GroupName}, Resources: []string{"lambdaagents"}, Verbs: []string{"create", "get", "list", "watch", "update", "patch"}}

// all permissions of an agent.
func all(s *v1alpha1.LambdaAgentSpec) { s.Permissions = &v1alpha1.PermissionsSpec{} }

// withdrawnBy is an annotation that says that all permissions are withdrawn until a time.
func withdrawnBy(until string) map[string]string {
	text := `{"permissions":[`
	for i, p := range v1alpha1.Permissions {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"permission":%q%s}`, p, until)
	}
	return map[string]string{lambda.WithdrawnAnnotationKey: text + "]}"}
}

// TestRightsByAnAnnotation: a user gives an agent no right that they do not have, whatever
// the annotation says that is withdrawn just now.
func TestRightsByAnAnnotation(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	owner := admin.Tenant(ctx, t, "agents")
	writer := admin.TenantWith(ctx, t, owner.Namespace, "writes-agents", agentsOnly)
	agents := writer.Lambda.LambdaV1alpha1().LambdaAgents(writer.Namespace)
	if _, err := agents.Create(ctx, agent(writer, "plain"), metav1.CreateOptions{}); err != nil {
		t.Fatal("an agent without permissions:", err)
	}
	_, err := agents.Create(ctx, agent(writer, "open", all), metav1.CreateOptions{})
	refused(t, "an agent with permissions", err, "spec.permissions", writer.User)

	inAMoment := fmt.Sprintf(`,"until":%q`, time.Now().Add(5*time.Second).UTC().Format(time.RFC3339))
	for name, until := range map[string]string{"withdrawn-for-a-moment": inAMoment, "withdrawn-without-end": ""} {
		escalate := agent(writer, name, all)
		escalate.Annotations = withdrawnBy(until)
		_, err := agents.Create(ctx, escalate, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		refused(t, "an agent whose permissions are "+name, err, lambda.GroupName)
	}
	patch := []byte(`{"metadata":{"annotations":{"lambda.knative.io/withdrawn":` + fmt.Sprintf("%q", withdrawnBy(inAMoment)[lambda.WithdrawnAnnotationKey]) + `}},"spec":{"permissions":{}}}`)
	_, err = agents.Patch(ctx, "plain", types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	refused(t, "permissions and their withdrawal at once", err, lambda.GroupName)

	// The whole attack: what the annotation defers is never given.
	escalate := agent(writer, "escalate", all)
	escalate.Annotations = withdrawnBy(inAMoment)
	if _, err = agents.Create(ctx, escalate, metav1.CreateOptions{}); err != nil {
		return // refused, as above
	}
	if got := never(ctx, t, rightsOf(writer, "escalate")); got != "" {
		t.Error(got)
	}
}

// rightsOf looks whether the operator has given an agent of that name rights.
func rightsOf(a *test.Tenant, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		role, err := admin.Kube.RbacV1().Roles(a.Namespace).Get(ctx, name+"-agent", metav1.GetOptions{})
		if apierrs.IsNotFound(err) {
			return "", nil
		}
		if err != nil || len(role.Rules) == 0 {
			return "", err
		}
		return fmt.Sprintf("Role %s has the rights %v", role.Name, role.Rules), nil
	}
}

// TestWithdrawalsOfTheOperator: the record of what is withdrawn is written by the operator
// alone. The role edit does not write an agent's status, and who does gives no rights by it.
func TestWithdrawalsOfTheOperator(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	owner := admin.Tenant(ctx, t, "agents")
	withStatus := agentsOnly
	withStatus.Resources = []string{"lambdaagents", "lambdaagents/status"}
	writer := admin.TenantWith(ctx, t, owner.Namespace, "writes-agents", withStatus)
	agents := writer.Lambda.LambdaV1alpha1().LambdaAgents(writer.Namespace)
	made := createAgent(ctx, t, writer, agent(writer, "guarded", func(s *v1alpha1.LambdaAgentSpec) {
		s.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableTriggerCreation: true, DisableFunctionCreation: true}
	}))
	for what, record := range map[string]string{
		"a withdrawal without end":    withdrawnBy("")[lambda.WithdrawnAnnotationKey],
		"a record that is not a text": "{",
	} {
		patch := []byte(fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, lambda.WithdrawnAnnotationKey, record))
		_, err := agents.Patch(ctx, made.Name, types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		refused(t, what+" by a user", err, lambda.WithdrawnAnnotationKey)
	}
	patch := []byte(`{"status":{"permissions":{"allowed":["brokers","triggers","functions"]}}}`)
	_, err := owner.Lambda.LambdaV1alpha1().LambdaAgents(owner.Namespace).Patch(ctx, made.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if !apierrs.IsForbidden(err) {
		t.Errorf("a user with the role edit writes status.permissions: %v", err)
	}
	if _, err := agents.Patch(ctx, made.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return // refused, which is as good
	}
	if got := never(ctx, t, rightsOf(writer, made.Name)); got != "" {
		t.Error(got)
	}
}

// TestNamespaceWithoutAdmission: where admission is switched off for a namespace the
// controller itself gives an agent no rights that were not checked.
func TestNamespaceWithoutAdmission(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	owner := admin.Tenant(ctx, t, "excluded")
	writer := admin.TenantWith(ctx, t, owner.Namespace, "writes-agents", agentsOnly)
	const exclude = `{"metadata":{"labels":{"webhooks.knative.dev/exclude":"true"}}}`
	if _, err := owner.Kube.CoreV1().Namespaces().Patch(ctx, owner.Namespace, types.MergePatchType, []byte(exclude), metav1.PatchOptions{}); !apierrs.IsForbidden(err) {
		t.Fatalf("a tenant switches admission off: %v", err)
	}
	if _, err := admin.Kube.CoreV1().Namespaces().Patch(ctx, owner.Namespace, types.MergePatchType, []byte(exclude), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	escalate := agent(writer, "escalate", all)
	made, err := writer.Lambda.LambdaV1alpha1().LambdaAgents(writer.Namespace).Create(ctx, escalate, metav1.CreateOptions{})
	if err != nil {
		t.Skip("admission is still on:", err)
	}
	if _, err := admin.AwaitAgent(ctx, test.Key(made), "a first look of the controller", func(a *v1alpha1.LambdaAgent) bool { return len(a.Status.Conditions) > 0 }); err != nil {
		t.Fatal(err)
	}
	if got := never(ctx, t, rightsOf(writer, "escalate")); got != "" {
		t.Error(got)
	}
}
