package lambdaagent

import (
	"bytes"
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

	"github.com/brunovlucena/knative-lambda-operator/internal/grant"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// verifiedAt is when admission verified the permissions of all agents.
var verifiedAt = metav1.NewTime(time.Unix(1_700_000_000, 0))

// permitted is an agent that may make triggers, which admission has verified.
func permitted(a *v1alpha1.LambdaAgent) {
	a.Spec.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true}
	prove(a)
}

// prove writes the proof that admission writes.
func prove(a *v1alpha1.LambdaAgent) {
	if a.Annotations == nil {
		a.Annotations = map[string]string{}
	}
	a.Annotations[lambda.VerifiedAnnotationKey] = grant.Sign(testKeys(), a, a.UID, a.Generation, verifiedAt.Time)
}

func unproven(a *v1alpha1.LambdaAgent) { delete(a.Annotations, lambda.VerifiedAnnotationKey) }

// withdrawn has the record that the receiver writes, which admission signs.
func withdrawn(text string) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Annotations[lambda.WithdrawnAnnotationKey] = text
		prove(a)
	}
}

// may is the status of what the agent may do.
func may(allowed []string, withdrawn ...v1alpha1.WithdrawnPermission) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Status.Permissions = &v1alpha1.PermissionsStatus{Allowed: allowed, Withdrawn: withdrawn, VerifiedTime: &verifiedAt}
		a.Status.MarkPermissionsVerified()
	}
}

// mayUnproven is likewise, where there is no proof.
func mayUnproven(allowed []string, mark func(*v1alpha1.LambdaAgent)) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Status.Permissions = &v1alpha1.PermissionsStatus{Allowed: allowed}
		mark(a)
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
	asRobot := func(a *v1alpha1.LambdaAgent) {
		a.Spec.ServiceAccountName = "robot"
		prove(a)
	}
	robot := agent(permitted, asRobot)
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
		WantStatusUpdates: status(agent(permitted, asRobot, servedBy(robots), may([]string{"triggers"}))),
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

// TestUnverifiedPermissions: without a proof that admission has verified who gives the
// permissions, an agent keeps what its Role gives, and gains nothing.
func TestUnverifiedPermissions(t *testing.T) {
	a := agent(permitted)
	cm := file(t, a)
	ready := service(t, a, ltesting.WithRevision("bruno-00001", "bruno-00001", apis.Condition{Status: corev1.ConditionTrue}))
	account, binding := resources.MakeServiceAccount(a), resources.MakeRoleBinding(a)
	const write = "As a user who holds them, write the agent: kubectl annotate --overwrite lambdaagent bruno example.com/verified=1. Admission must see it: the namespace must not have the label webhooks.knative.dev/exclude."
	missing := func(a *v1alpha1.LambdaAgent) {
		a.Status.MarkPermissionsNotVerified("Admission has not verified who gave the permissions triggers of spec.permissions: the agent does not get them. " + write)
	}
	kept := func(a *v1alpha1.LambdaAgent) {
		a.Status.MarkPermissionsKept("Admission has not verified who gave the permissions of spec.permissions. The agent keeps what its Role gives, and gains nothing. " + write)
	}
	copied := func(change func(other *v1alpha1.LambdaAgent)) func(*v1alpha1.LambdaAgent) {
		return func(a *v1alpha1.LambdaAgent) {
			other := agent(permitted, change)
			prove(other)
			a.Annotations[lambda.VerifiedAnnotationKey] = other.Annotations[lambda.VerifiedAnnotationKey]
		}
	}
	otherAccount := binding.DeepCopy()
	otherAccount.Subjects[0].Name = "robot"
	elsewhere := role(a, "triggers")
	elsewhere.OwnerReferences[0].UID = "another"
	nothing := func(options ...func(*v1alpha1.LambdaAgent)) ltesting.Table {
		option := append([]func(*v1alpha1.LambdaAgent){permitted}, options...)
		return ltesting.Table{{
			Key: theKey, Objects: ltesting.Objects(agent(append(option, servedBy(ready))...), cm, ready, role(a), account, binding),
			WantStatusUpdates: status(agent(append(option, servedBy(ready), mayUnproven(nil, missing))...)),
		}}
	}
	for name, table := range map[string]ltesting.Table{
		"no proof":                         nothing(unproven),
		"a proof of another namespace":     nothing(copied(func(o *v1alpha1.LambdaAgent) { o.Namespace = "other" })),
		"a proof of another agent":         nothing(copied(func(o *v1alpha1.LambdaAgent) { o.Name = "other" })),
		"a proof of an agent of that name": nothing(copied(func(o *v1alpha1.LambdaAgent) { o.UID = "uid-deleted" })),
		"a proof of an earlier spec":       nothing(copied(func(o *v1alpha1.LambdaAgent) { o.Generation = 7 })),
		"a proof of fewer permissions":     nothing(copied(func(o *v1alpha1.LambdaAgent) { o.Spec.Permissions.DisableTriggerCreation = true })),
		"a proof for another account":      nothing(copied(func(o *v1alpha1.LambdaAgent) { o.Spec.ServiceAccountName = "robot" })),
		"a proof of another record":        nothing(copied(func(o *v1alpha1.LambdaAgent) { o.Annotations[lambda.WithdrawnAnnotationKey] = `{"events":["a"]}` })),
		"a proof that was made up": nothing(func(a *v1alpha1.LambdaAgent) {
			a.Annotations[lambda.VerifiedAnnotationKey] = "v1.uid-bruno.1.1700000000.x"
		}),
		"a proof of a new agent, much later": nothing(func(a *v1alpha1.LambdaAgent) {
			a.CreationTimestamp = metav1.NewTime(verifiedAt.Add(6 * time.Minute))
			a.Annotations[lambda.VerifiedAnnotationKey] = grant.Sign(testKeys(), a, "", 1, verifiedAt.Time)
		}),
	} {
		table[0].Name = name
		table.Test(t, newReconciler)
	}

	fresh := func(a *v1alpha1.LambdaAgent) {
		a.CreationTimestamp = metav1.NewTime(verifiedAt.Add(time.Second))
		a.Annotations[lambda.VerifiedAnnotationKey] = grant.Sign(testKeys(), a, "", 1, verifiedAt.Time)
	}
	later := metav1.NewTime(verifiedAt.Add(time.Minute))
	afterLater := func(mark func(*v1alpha1.LambdaAgent)) func(*v1alpha1.LambdaAgent) {
		return func(a *v1alpha1.LambdaAgent) {
			a.Status.Permissions = &v1alpha1.PermissionsStatus{VerifiedTime: &later}
			mark(a)
		}
	}
	ltesting.Table{{
		Name: "a proof that was made as the agent was created", Key: theKey,
		Objects: ltesting.Objects(agent(permitted, fresh, servedBy(ready), may([]string{"triggers"})), cm, ready, role(a, "triggers"), account, binding),
	}, {
		Name: "a proof that is older than one that was seen", Key: theKey,
		Objects:           ltesting.Objects(agent(permitted, servedBy(ready), afterLater(func(a *v1alpha1.LambdaAgent) { a.Status.MarkPermissionsVerified() })), cm, ready, role(a), account, binding),
		WantStatusUpdates: status(agent(permitted, servedBy(ready), afterLater(missing))),
	}, {
		Name: "what an earlier version gave stays", Key: theKey,
		Objects:           ltesting.Objects(agent(permitted, unproven, servedBy(ready)), cm, ready, role(a, "triggers"), account, binding),
		WantStatusUpdates: status(agent(permitted, unproven, servedBy(ready), mayUnproven([]string{"triggers"}, kept))),
	}, {
		Name: "what another ServiceAccount had does not go to this one", Key: theKey,
		Objects:           ltesting.Objects(agent(permitted, unproven, servedBy(ready)), cm, ready, role(a, "triggers"), account, otherAccount),
		WantUpdates:       []clientgotesting.UpdateActionImpl{{Object: role(a)}, {Object: binding}},
		WantStatusUpdates: status(agent(permitted, unproven, servedBy(ready), mayUnproven(nil, missing))),
		WantEvents:        []string{`Normal Updated Updated Role "bruno-agent"`, `Normal Updated Updated RoleBinding "bruno-agent"`},
	}, {
		Name: "a Role of another agent proves nothing", Key: theKey, WantErr: true,
		Objects: ltesting.Objects(agent(permitted, unproven, observed), cm, elsewhere, account, binding),
		WantStatusUpdates: status(agent(permitted, unproven, observed, func(a *v1alpha1.LambdaAgent) {
			a.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, ltesting.NotOwned("Role", "team/bruno-agent"))
		})),
		WantEvents: []string{ltesting.Warning("InternalError", ltesting.NotOwned("Role", "team/bruno-agent"))},
	}}.Test(t, newReconciler)
}

// TestRenew: while keys are rotated, the controller signs proofs with the current key.
func TestRenew(t *testing.T) {
	a := agent(permitted)
	rotated, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{2}, keyring.KeySize), keyring.PreviousKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	client := fakelambda.NewSimpleClientset(a)
	r := &Reconciler{lambda: client, Keys: keyring.Static(rotated)}
	for range 2 {
		proof, ok := grant.Verify(rotated, a)
		if !ok {
			t.Fatal("the proof does not hold during the rotation")
		}
		if err := r.renew(t.Context(), a, &proof); err != nil {
			t.Fatal(err)
		}
		if a, err = client.LambdaV1alpha1().LambdaAgents(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patches := 0
	for _, action := range client.Actions() {
		if action.GetVerb() == "patch" {
			patches++
		}
	}
	finished, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{2}, keyring.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := grant.Verify(finished, a); !ok || patches != 1 {
		t.Errorf("after the rotation the proof holds: %v, after %d patches; want true after 1", ok, patches)
	}
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
