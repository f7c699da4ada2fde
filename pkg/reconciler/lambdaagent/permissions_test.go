package lambdaagent

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"
	rtesting "knative.dev/pkg/reconciler/testing"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// permitted is an agent that may make triggers.
func permitted(a *v1alpha1.LambdaAgent) {
	a.Spec.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true}
}

func withdrawn(text string) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Annotations = map[string]string{lambda.WithdrawnAnnotationKey: text}
	}
}

// may is the status of what the agent may do.
func may(allowed []string, withdrawn ...v1alpha1.WithdrawnPermission) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Status.Permissions = &v1alpha1.PermissionsStatus{Allowed: allowed, Withdrawn: withdrawn}
	}
}

func role(a *v1alpha1.LambdaAgent, allowed ...v1alpha1.Permission) *rbacv1.Role {
	return resources.MakeRole(a, allowed)
}

func TestReconcilePermissions(t *testing.T) {
	a := agent(permitted)
	cm := file(t, a)
	ready := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	rolling := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionUnknown, Reason: "RevisionMissing"}))
	account, binding := resources.MakeServiceAccount(a), resources.MakeRoleBinding(a)
	plain := service(t, agent(), ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	until := metav1.NewTime(now.Add(time.Minute))
	const record = `{"permissions":[{"permission":"triggers","until":"2026-01-02T03:05:05Z","source":"/guard","reason":"too many"}]}`
	lost := v1alpha1.WithdrawnPermission{Permission: "triggers", Until: &until, Source: "/guard", Reason: "too many"}
	robot := agent(permitted, func(a *v1alpha1.LambdaAgent) { a.Spec.ServiceAccountName = "robot" })
	robots := service(t, robot, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	foreign := account.DeepCopy()
	foreign.OwnerReferences = nil

	ltesting.Table{{
		Name: "create", Key: theKey,
		Objects:           ltesting.Objects(agent(permitted), cm),
		WantCreates:       ltesting.Objects(role(a, "triggers"), account, binding, service(t, a)),
		WantStatusUpdates: status(agent(permitted, servedBy(service(t, a)), may([]string{"triggers"}))),
		WantEvents: []string{`Normal Created Created Role "bruno-agent"`, `Normal Created Created ServiceAccount "bruno-agent"`,
			`Normal Created Created RoleBinding "bruno-agent"`, `Normal Created Created Service "bruno"`},
	}, {
		Name: "steady", Key: theKey,
		Objects: ltesting.Objects(agent(permitted, servedBy(ready), may([]string{"triggers"})), cm, ready, role(a, "triggers"), account, binding),
	}, {
		Name: "a rule that somebody added goes", Key: theKey,
		Objects:     ltesting.Objects(agent(permitted, servedBy(ready), may([]string{"triggers"})), cm, ready, role(a, "triggers", "functions"), account, binding),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: role(a, "triggers")}},
		WantEvents:  []string{`Normal Updated Updated Role "bruno-agent"`},
	}, {
		Name: "a ServiceAccount of the user", Key: theKey,
		Objects:           ltesting.Objects(robot, cm, robots),
		WantCreates:       ltesting.Objects(role(a, "triggers"), resources.MakeRoleBinding(robot)),
		WantStatusUpdates: status(agent(permitted, func(a *v1alpha1.LambdaAgent) { a.Spec.ServiceAccountName = "robot" }, servedBy(robots), may([]string{"triggers"}))),
		WantEvents:        []string{`Normal Created Created Role "bruno-agent"`, `Normal Created Created RoleBinding "bruno-agent"`},
	}, {
		Name: "withdrawn", Key: theKey,
		Objects:           ltesting.Objects(agent(permitted, servedBy(ready), may([]string{"triggers"}), withdrawn(record)), cm, ready, role(a, "triggers"), account, binding),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: role(a)}},
		WantStatusUpdates: status(agent(permitted, servedBy(ready), may(nil, lost), withdrawn(record))),
		WantEvents: []string{`Normal Updated Updated Role "bruno-agent"`,
			`Warning PermissionWithdrawn Permission triggers is withdrawn until 2026-01-02T03:05:05Z, by source "/guard": too many`},
	}, {
		Name: "given back", Key: theKey,
		Objects:           ltesting.Objects(agent(permitted, servedBy(ready), may(nil, lost)), cm, ready, role(a), account, binding),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: role(a, "triggers")}},
		WantStatusUpdates: status(agent(permitted, servedBy(ready), may([]string{"triggers"}))),
		WantEvents:        []string{`Normal Updated Updated Role "bruno-agent"`, `Normal PermissionRestored Permission triggers is given back`},
	}, {
		Name: "no permissions any more, and pods that still run as the ServiceAccount", Key: theKey,
		Objects:           ltesting.Objects(agent(servedBy(rolling), may([]string{"triggers"})), cm, rolling, role(a, "triggers"), account, binding),
		WantDeletes:       []clientgotesting.DeleteActionImpl{deletion("rolebindings"), deletion("roles")},
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: rolled(rolling, plain)}},
		WantStatusUpdates: status(agent(servedBy(rolled(rolling, plain)))),
		WantEvents:        []string{`Normal Deleted Deleted RoleBinding "bruno-agent"`, `Normal Deleted Deleted Role "bruno-agent"`, `Normal Updated Updated Service "bruno"`},
	}, {
		Name: "no permissions any more, and no such pods", Key: theKey,
		Objects:     ltesting.Objects(agent(servedBy(plain)), cm, plain, account),
		WantDeletes: []clientgotesting.DeleteActionImpl{deletion("serviceaccounts")},
		WantEvents:  []string{`Normal Deleted Deleted ServiceAccount "bruno-agent"`},
	}, {
		Name: "ServiceAccount not owned", Key: theKey, WantErr: true,
		Objects: ltesting.Objects(agent(permitted), cm, role(a, "triggers"), foreign),
		WantStatusUpdates: status(agent(permitted, observed, func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, ltesting.NotOwned("ServiceAccount", "team/bruno-agent"))
		})),
		WantEvents: []string{ltesting.Warning("InternalError", ltesting.NotOwned("ServiceAccount", "team/bruno-agent"))},
	}, {
		Name: "failure to create the Role", Key: theKey, WantErr: true,
		Objects:           ltesting.Objects(agent(permitted), cm),
		WithReactors:      []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "roles")},
		WantCreates:       ltesting.Objects(role(a, "triggers")),
		WantStatusUpdates: status(agent(permitted, observed)),
		WantEvents:        ltesting.Failing("create", "roles", "Role", "bruno-agent", ""),
	}}.Test(t, newReconciler)
}

// rolled is a Service with the status of before and another's spec.
func rolled(before, with *servingv1.Service) *servingv1.Service {
	s := before.DeepCopy()
	s.Spec = with.Spec
	return s
}

func deletion(resource string) clientgotesting.DeleteActionImpl {
	d := clientgotesting.DeleteActionImpl{Name: "bruno-agent"}
	d.Namespace, d.Verb, d.Resource.Resource = namespace, "delete", resource
	return d
}

// TestExpiry: the agent is looked at again at the moment at which something comes
// back, and the record is cleaned then.
func TestExpiry(t *testing.T) {
	const record = `{"permissions":[{"permission":"brokers","until":"2026-01-02T03:04:05Z"},{"permission":"triggers","until":"2026-01-02T03:05:05Z"}],"events":["a"]}`
	a := agent(permitted, withdrawn(record))
	client := fakelambda.NewSimpleClientset(a)
	ctx := controller.WithEventRecorder(t.Context(), recorder())
	r := &Reconciler{lambda: client, clock: clockAt(now)}
	if err := r.expire(ctx, a); err != nil {
		t.Fatal(err)
	}
	patched, err := client.LambdaV1alpha1().LambdaAgents(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := patched.Annotations[lambda.WithdrawnAnnotationKey]; strings.Contains(got, "brokers") || !strings.Contains(got, "triggers") || !strings.Contains(got, `"events":["a"]`) {
		t.Errorf("the record is %s, want it without what is over", got)
	}
	before := len(client.Actions())
	if err := r.expire(ctx, patched); err != nil || len(client.Actions()) != before {
		t.Errorf("a record with nothing to clean is written: %v", err)
	}
}

func recorder() record.EventRecorder { return record.NewFakeRecorder(8) }
