//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/receiverpath"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// nowhere is no image: what an agent may do does not wait for it to run.
var nowhere = v1alpha1.ImageReference{Repository: "localhost:5001/nowhere/agent", Tag: "1"}

// control is an event that changes the permissions of an agent.
func control(id, source, data string) event.Event {
	e := newEvent(id, events.ControlPermission, source)
	if err := e.SetData(event.ApplicationJSON, []byte(data)); err != nil {
		panic(err)
	}
	return e
}

// tokenOf a ServiceAccount, as the configuration of a client.
func tokenOf(ctx context.Context, t *testing.T, namespace, name string) *rest.Config {
	t.Helper()
	request, err := clients.Kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(clients.Config)
	cfg.BearerToken = request.Status.Token
	return cfg
}

// makesTrigger tries to make a Trigger, without making one.
func makesTrigger(ctx context.Context, t *testing.T, cfg *rest.Config, namespace string) error {
	t.Helper()
	client, err := eventingclientset.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.EventingV1().Triggers(namespace).Create(ctx, &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "made-by-the-agent"},
		Spec: eventingv1.TriggerSpec{Broker: "default", Subscriber: duckv1.Destination{Ref: &duckv1.KReference{
			APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: namespace, Name: "x",
		}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// awaitTrigger waits until the agent's token may, or may not, make a Trigger.
func awaitTrigger(ctx context.Context, t *testing.T, cfg *rest.Config, namespace string, may bool) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		last = makesTrigger(ctx, t, cfg, namespace)
		if last != nil && !apierrs.IsForbidden(last) {
			return false, last
		}
		return (last == nil) == may, nil
	})
	if err != nil {
		t.Fatalf("the agent's token may make a Trigger: %v, want %v: %v", last, may, err)
	}
}

// TestAgentRights: the agent's token may make triggers and nothing else; an event
// takes that away, and time gives it back.
func TestAgentRights(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	a := createAgent(ctx, t, agentOf(namespace, "wiring", nowhere, eventful, func(s *v1alpha1.LambdaAgentSpec) {
		s.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true, EventControls: &v1alpha1.EventControls{
			AllowEventDisable: true, ControlEventTypes: []string{events.ControlPermission}, AllowedControlSources: []string{"/guards/*"},
		}}
	}))
	_, err := clients.AwaitAgent(ctx, test.Key(a), "permissions", func(a *v1alpha1.LambdaAgent) bool { return a.Status.Permissions != nil })
	if err != nil {
		t.Fatal(err)
	}
	cfg := tokenOf(ctx, t, namespace, "wiring-agent")
	awaitTrigger(ctx, t, cfg, namespace, true)
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	functions, err := lambdaclientset.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, pods := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	_, secrets := kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
	_, made := functions.LambdaV1alpha1().LambdaFunctions(namespace).Create(ctx, python(namespace, "f", greeting("x")), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	for what, err := range map[string]error{"list pods": pods, "list secrets": secrets, "make a function": made, "make a Trigger elsewhere": makesTrigger(ctx, t, cfg, "default")} {
		if !apierrs.IsForbidden(err) {
			t.Errorf("the agent's token may %s: %v", what, err)
		}
	}

	path := agentPath(ctx, t, receiverpath.Controls, namespace, "wiring")
	if status, _, said := receiverPost(ctx, t, path, control("1", "/"+namespace+"/wiring", `{"permission":"*","action":"withdraw"}`)); status != http.StatusForbidden {
		t.Errorf("a forged source: %d %s, want 403", status, said)
	}
	withdraw := control("2", "/guards/north", `{"permission":"triggers","action":"withdraw","duration":"15s","reason":"a test"}`)
	if status, _, said := receiverPost(ctx, t, path, withdraw); status != http.StatusAccepted {
		t.Fatalf("withdraw: %d %s", status, said)
	}
	awaitTrigger(ctx, t, cfg, namespace, false)
	a, err = clients.AwaitAgent(ctx, test.Key(a), "a withdrawn permission", func(a *v1alpha1.LambdaAgent) bool { return len(a.Status.Permissions.Withdrawn) == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if w := a.Status.Permissions.Withdrawn[0]; w.Permission != "triggers" || w.Until == nil || w.Source != "/guards/north" || w.Reason != "a test" {
		t.Errorf("withdrawn: %+v", w)
	}
	if status, _, said := receiverPost(ctx, t, path, withdraw); status != http.StatusAccepted {
		t.Errorf("the same event again: %d %s", status, said)
	}
	awaitTrigger(ctx, t, cfg, namespace, true)
	for _, reason := range []string{"PermissionWithdrawn", "PermissionRestored"} {
		if _, err := clients.AwaitEvent(ctx, a, reason); err != nil {
			t.Error(err)
		}
	}
}

// TestAgentEscalation: who may write agents and nothing else cannot give one rights.
func TestAgentEscalation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "writes-agents"}
	if _, err := clients.Kube.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"lambda.knative.io"}, Resources: []string{"lambdaagents"}, Verbs: []string{"create", "get", "update", "patch"},
	}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.Kube.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	cfg := rest.CopyConfig(clients.Config)
	cfg.Impersonate.UserName = "mallory"
	as, err := lambdaclientset.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	agents := as.LambdaV1alpha1().LambdaAgents(namespace)
	var plain *v1alpha1.LambdaAgent
	err = wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, test.Patience, true, func(ctx context.Context) (_ bool, err error) {
		plain, err = agents.Create(ctx, agentOf(namespace, "plain", nowhere, eventful), metav1.CreateOptions{})
		if apierrs.IsForbidden(err) { // the authorizer may not have the binding yet
			t.Log(err)
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		t.Fatal("an agent without permissions:", err)
	}
	greedy := agentOf(namespace, "greedy", nowhere, eventful, func(s *v1alpha1.LambdaAgentSpec) {
		s.Permissions = &v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true}
	})
	_, err = agents.Create(ctx, greedy, metav1.CreateOptions{})
	refusedEscalation(t, err)
	plain.Spec.Permissions = greedy.Spec.Permissions
	_, err = agents.Update(ctx, plain, metav1.UpdateOptions{})
	refusedEscalation(t, err)
	createAgent(ctx, t, greedy) // by who has the rights
}

func refusedEscalation(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("a user gives rights that they do not have")
		return
	}
	test.Contains(t, "the refusal", err.Error(), "spec.permissions.disableTriggerCreation", "create", "triggers.eventing.knative.dev", "mallory")
}

// awaitOutcome waits until the receiver says what was decided: it learns by watching.
func awaitOutcome(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, id string) (o events.ApprovalOutcome) {
	t.Helper()
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		o = outcomeOf(ctx, t, a, id)
		return o.Decision != "", nil
	})
	if err != nil {
		t.Fatalf("%s of %s is not decided: %v", id, a.Name, err)
	}
	return o
}

// outcomeOf asks the receiver what was decided.
func outcomeOf(ctx context.Context, t *testing.T, a *v1alpha1.LambdaAgent, id string) (o events.ApprovalOutcome) {
	t.Helper()
	raw, err := clients.Kube.CoreV1().RESTClient().Get().Namespace(operatorNamespace).Resource("services").Name("http:knative-lambda-receiver:80").
		SubResource("proxy").Suffix(agentPath(ctx, t, receiverpath.Approvals, a.Namespace, a.Name)).Param("id", id).DoRaw(ctx)
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestSupervised: a request waits through a restart of the receiver until somebody
// decides; without anybody it is denied in time.
func TestSupervised(t *testing.T) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	supervised := func(name string, timeout time.Duration) *v1alpha1.LambdaAgent {
		return createAgent(ctx, t, agentOf(namespace, name, nowhere, eventful, func(s *v1alpha1.LambdaAgentSpec) {
			s.OperationMode = v1alpha1.ModeSupervised
			s.Approval = &v1alpha1.ApprovalSpec{
				Custom: &v1alpha1.CustomApproval{Endpoint: (&url.URL{Scheme: "http", Host: "169.254.169.254"}).String()}, Timeout: v1alpha1.NewDuration(timeout),
			}
		}))
	}
	patient, hasty := supervised("patient", time.Hour), supervised("hasty", 2*time.Second)
	ask := func(a *v1alpha1.LambdaAgent, id string) {
		e := newEvent(id, events.ApprovalRequested, a.EventSource())
		if err := e.SetData(event.ApplicationJSON, []byte(`{"action":"restart","arguments":{"node":"a"}}`)); err != nil {
			t.Fatal(err)
		}
		var status int
		var said string
		err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
			status, _, said = receiverPost(ctx, t, agentPath(ctx, t, receiverpath.Approvals, namespace, a.Name), e)
			return status == http.StatusAccepted, nil // its cache may not have the agent yet
		})
		if err != nil {
			t.Fatalf("%d %s: %v", status, said, err)
		}
	}
	ask(patient, "req-1")
	ask(hasty, "req-2")
	if err := clients.RestartPods(ctx, operatorNamespace, "app=knative-lambda-receiver", nil); err != nil {
		t.Fatal(err)
	}
	said, err := kubectlLambda(ctx, namespace, "approvals", "list", "patient")
	if err != nil {
		t.Fatal(err)
	}
	test.Contains(t, "approvals list", said, "req-1", "restart", "pending")
	awaitNotice(ctx, t, namespace)
	if said, err = kubectlLambda(ctx, namespace, "approvals", "grant", "patient", "req-1", "--reason", "a test"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	o := awaitOutcome(ctx, t, patient, "req-1")
	if o.Decision != "granted" || o.Reason != "a test" || o.DecidedBy == "" {
		t.Errorf("outcome = %+v", o)
	}
	if said, err = kubectlLambda(ctx, namespace, "approvals", "deny", "patient", "req-1"); err == nil {
		t.Errorf("a second decision stands: %s", said)
	}
	if o = awaitOutcome(ctx, t, hasty, "req-2"); o.Decision != "denied" || o.DecidedBy != "timeout" {
		t.Errorf("outcome = %+v", o)
	}
}

// awaitNotice: an endpoint that would be the cloud's metadata service is not asked.
func awaitNotice(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	var said string
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		list, err := clients.Lambda.LambdaV1alpha1().ApprovalRequests(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, r := range list.Items {
			if r.Spec.Agent == "patient" && len(r.Status.Notices) == 1 {
				said = r.Status.Notices[0].Error
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatal("nobody was asked:", err)
	}
	test.Contains(t, "the notice", said, "169.254.169.254", "approval-allowed-networks")
}
