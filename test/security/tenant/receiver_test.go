//go:build e2e

package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// failing is a handler that takes nothing.
const failing = `from lambda_runtime import PermanentError

def handler(event, context):
    raise PermanentError("no such article")
`

// deadLetters waits until a function has so many dead letters, and returns them.
func deadLetters(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, n int) []receiverv1.DeadLetter {
	t.Helper()
	var list receiverv1.DeadLetterList
	var said string
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, soon, true, func(ctx context.Context) (bool, error) {
		list = receiverv1.DeadLetterList{}
		if said, last = kubectlLambda(ctx, f.Namespace, "dlq", "list", f.Name, "-o", "json"); last == nil {
			last = json.Unmarshal([]byte(said), &list)
		}
		return last == nil && len(list.Items) == n, nil
	})
	if err != nil {
		t.Fatalf("%s has %d dead letters, want %d: %v; last: %v %s", f.Name, len(list.Items), n, err, last, said)
	}
	return list.Items
}

// rabbitMQBroker makes the tenant's Broker default of Knative's class, whose dead letters go
// to the receiver.
func rabbitMQBroker(ctx context.Context, t *testing.T, a *test.Tenant) {
	t.Helper()
	_, err := a.Eventing.EventingV1().Brokers(a.Namespace).Create(ctx, &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: a.Namespace, Name: "default", Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: config.RabbitMQBrokerClass},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// publishTo publishes events for a function to its namespace's broker. Every pod may; the
// test reaches the ingress over the API server, which tenants may not.
func publishTo(ctx context.Context, t *testing.T, a *test.Tenant, f *v1alpha1.LambdaFunction, all ...event.Event) {
	t.Helper()
	for _, e := range all {
		e.SetSubject(f.Namespace + "/" + f.Name)
		err := wait.PollUntilContextTimeout(ctx, time.Second, soon, true, func(ctx context.Context) (bool, error) {
			err := admin.Publish(ctx, types.NamespacedName{Namespace: a.Namespace, Name: "default"}, e)
			if apierrs.IsServiceUnavailable(err) || apierrs.IsInternalError(err) { // its ingress has just begun to listen
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// triggersOf a function or an agent.
func triggersOf(ctx context.Context, t *testing.T, a *test.Tenant, label, name string) []eventingv1.Trigger {
	t.Helper()
	var found *eventingv1.TriggerList
	err := wait.PollUntilContextTimeout(ctx, interval, soon, true, func(ctx context.Context) (_ bool, err error) {
		found, err = a.Eventing.EventingV1().Triggers(a.Namespace).List(ctx, metav1.ListOptions{LabelSelector: label + "=" + name})
		return err == nil && len(found.Items) > 0, err
	})
	if err != nil {
		t.Fatalf("Triggers of %s: %v", name, err)
	}
	return found.Items
}

// sinkOf is the path at the receiver that the operator has given a function's broker for
// what it cannot deliver.
func sinkOf(ctx context.Context, t *testing.T, a *test.Tenant, function string) string {
	t.Helper()
	for _, trigger := range triggersOf(ctx, t, a, lambda.FunctionLabelKey, function) {
		if d := trigger.Spec.Delivery; d != nil && d.DeadLetterSink != nil && d.DeadLetterSink.URI != nil {
			return d.DeadLetterSink.URI.Path
		}
	}
	t.Fatalf("function %s has no dead letter sink", function)
	return ""
}

// owner makes a function that takes nothing and has three dead letters of its broker,
// which are all that it keeps.
func owner(ctx context.Context, t *testing.T, a *test.Tenant) *v1alpha1.LambdaFunction {
	t.Helper()
	f := ready(ctx, t, a, python(a, "orders", failing, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{MaxLength: ptr.Int64(3), RetryMaxAttempts: ptr.Int32(0)}}
	}))
	publishTo(ctx, t, a, f, orderEvent("real-1"), orderEvent("real-2"), orderEvent("real-3"))
	deadLetters(ctx, t, f, 3)
	return f
}

func orderEvent(id string) event.Event {
	return newEvent(id, events.InvokeAsync, "/shop", map[string]string{"of": id})
}

// TestForgedDeadLetters: no tenant puts a dead letter into another namespace's queue, and so
// pushes none out of it.
func TestForgedDeadLetters(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	needsRabbitMQ(t)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	rabbitMQBroker(ctx, t, attacker)
	f := owner(ctx, t, victim)
	attack := outpost(ctx, t, attacker, brokered)
	stolen := sinkOf(ctx, t, attacker, outpostName)
	code := stolen[strings.LastIndexByte(stolen, '/')+1:]
	base := "/dead-letters/" + victim.Namespace + "/" + f.Name
	for i, path := range []string{
		base,
		base + "/" + strings.Repeat("0", len(code)),
		base + "/" + code, // the code of the attacker's own sink
		"/dead-letters/" + victim.Namespace + "/agents/" + f.Name,
	} {
		got := attack(ctx, posted(t, receiverURL+path, orderEvent(fmt.Sprintf("forged-%d", i))))
		if got.Status/100 != 4 {
			t.Errorf("POST %s = %d %s, want it refused", path, got.Status, got.Body)
		}
	}
	got := deadLetters(ctx, t, f, 3)
	if i := slices.IndexFunc(got, func(l receiverv1.DeadLetter) bool { return !strings.HasPrefix(l.ID, "real-") }); i >= 0 {
		t.Errorf("among the victim's dead letters is %+v", got[i])
	}
}

// supervised agents ask before they act.
func supervised(endpoint string) func(*v1alpha1.LambdaAgentSpec) {
	return func(s *v1alpha1.LambdaAgentSpec) {
		eventful(s)
		s.OperationMode = v1alpha1.ModeSupervised
		s.Approval = &v1alpha1.ApprovalSpec{Custom: &v1alpha1.CustomApproval{Endpoint: endpoint}}
	}
}

// TestForgedApprovals: no tenant asks for an approval on behalf of another namespace's agent,
// reads what was decided, or changes what the agent may do.
func TestForgedApprovals(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	attack := outpost(ctx, t, attacker)
	guarded := createAgent(ctx, t, victim, agent(victim, "ops", supervised("https://approvals.example.com/"), func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.EventSource = "/ops"
		s.Permissions = &v1alpha1.PermissionsSpec{EventControls: &v1alpha1.EventControls{
			AllowEventDisable: true, ControlEventTypes: []string{events.ControlPermission}, AllowedControlSources: []string{"/guard"},
		}}
	}))
	base := receiverURL + "/agents/" + guarded.Namespace + "/" + guarded.Name
	asks := newEvent("forged", events.ApprovalRequested, "/ops", map[string]any{"action": "delete everything"})
	withdraws := newEvent("forged", events.ControlPermission, "/guard", map[string]any{"permission": "*", "action": "withdraw", "reason": "forged"})
	// The receiver learns of the agent by watching: as long as it does not know it, 404 says nothing.
	knows(ctx, t, victim, guarded)
	for _, path := range []string{"/approvals", "/approvals/" + strings.Repeat("0", 26)} {
		if got := attack(ctx, posted(t, base+path, asks)); got.Status/100 != 4 {
			t.Errorf("POST %s = %d %s, want it refused", path, got.Status, got.Body)
		}
		if got := attack(ctx, order{URL: base + path + "?id=mine", Method: http.MethodGet}); got.Status/100 != 4 || strings.Contains(got.Body, "decision") {
			t.Errorf("GET %s = %d %s, want it refused", path, got.Status, got.Body)
		}
	}
	for _, path := range []string{"/controls", "/controls/" + strings.Repeat("0", 26)} {
		if got := attack(ctx, posted(t, base+path, withdraws)); got.Status/100 != 4 {
			t.Errorf("POST %s = %d %s, want it refused", path, got.Status, got.Body)
		}
	}
	requests, err := victim.Lambda.LambdaV1alpha1().ApprovalRequests(victim.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests.Items {
		if r.Spec.ID != "mine" {
			t.Errorf("there is a request in the victim's name: %+v", r.Spec)
		}
	}
	after, err := victim.Lambda.LambdaV1alpha1().LambdaAgents(victim.Namespace).Get(ctx, guarded.Name, metav1.GetOptions{})
	if err != nil || after.Annotations[lambda.WithdrawnAnnotationKey] != "" {
		t.Errorf("the victim's record of withdrawals is %q, %v; want none", after.Annotations[lambda.WithdrawnAnnotationKey], err)
	}
}

// approvalsPath is the path at the receiver to which an agent's broker sends requests for
// approval.
func approvalsPath(ctx context.Context, t *testing.T, a *test.Tenant, of *v1alpha1.LambdaAgent) (path string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(ctx, interval, soon, true, func(ctx context.Context) (bool, error) {
		for _, trigger := range triggersOf(ctx, t, a, lambda.AgentLabelKey, of.Name) {
			if u := trigger.Spec.Subscriber.URI; u != nil && strings.Contains(u.Path, "/approvals") {
				path = u.Path
			}
		}
		return path != "", nil
	})
	if err != nil {
		t.Fatalf("agent %s has no Trigger to the receiver: %v", of.Name, err)
	}
	return path
}

// request asks for an approval in an agent's own name, and returns the answer.
func request(ctx context.Context, t *testing.T, path string, of *v1alpha1.LambdaAgent, id string) (status int, err error) {
	t.Helper()
	body, err := json.Marshal(newEvent(id, events.ApprovalRequested, of.Spec.Eventing.EventSource, map[string]any{"action": "restart"}))
	if err != nil {
		t.Fatal(err)
	}
	err = admin.Kube.CoreV1().RESTClient().Post().Namespace(operatorNamespace).Resource("services").Name("http:knative-lambda-receiver:80").
		SubResource("proxy").Suffix(path).SetHeader("Content-Type", event.ApplicationCloudEventsJSON).Body(body).Do(ctx).StatusCode(&status).Error()
	return status, err
}

// knows waits until the receivers know an agent: they take a request of its own.
func knows(ctx context.Context, t *testing.T, a *test.Tenant, of *v1alpha1.LambdaAgent) {
	t.Helper()
	path := approvalsPath(ctx, t, a, of)
	for range 2 { // replicas
		err := wait.PollUntilContextTimeout(ctx, interval, soon, true, func(ctx context.Context) (bool, error) {
			status, _ := request(ctx, t, path, of, "mine")
			return status/100 == 2, nil
		})
		if err != nil {
			t.Fatalf("the receiver does not take an agent's own request: %v", err)
		}
	}
}

// TestSlowConnections: connections that send nothing more hold up nobody else's dead letters.
func TestSlowConnections(t *testing.T) {
	ctx := within(t, 2*time.Minute) // not in parallel: it measures what others would slow down
	needsRabbitMQ(t)
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	rabbitMQBroker(ctx, t, victim)
	rabbitMQBroker(ctx, t, attacker)
	attack, send := outpost(ctx, t, attacker, brokered), outpost(ctx, t, victim, brokered)
	sink := receiverURL + sinkOf(ctx, t, victim, outpostName)
	post := func(id string) report { return send(ctx, posted(t, sink, orderEvent(id))) }
	before := post("before")
	if before.Status != http.StatusAccepted {
		t.Fatalf("a dead letter is answered %d %s, want 202", before.Status, before.Body)
	}
	held := make(chan report, 1)
	go func() {
		held <- attack(ctx, order{URL: receiverURL + sinkOf(ctx, t, attacker, outpostName), Hold: 40, Begin: 1, Seconds: 12, Headers: map[string]string{
			"Content-Type": event.ApplicationCloudEventsJSON, "Content-Length": "100",
		}})
	}()
	time.Sleep(2 * time.Second) // until they are open, which cannot be observed
	for i := range 3 {
		during := post(fmt.Sprintf("during-%d", i))
		t.Logf("a dead letter took %.2f s before, %.2f s while 40 connections were open", before.Seconds, during.Seconds)
		if during.Status != http.StatusAccepted || during.Seconds > patience.Seconds() {
			t.Errorf("another tenant's dead letter is answered %d %s after %.2f s, want 202 within %v", during.Status, during.Body, during.Seconds, patience)
		}
	}
	t.Logf("of 40 connections: %+v", <-held)
}

// TestUnfinishedBodies: bodies that never end cost the receiver little memory.
func TestUnfinishedBodies(t *testing.T) {
	ctx := within(t, 2*time.Minute) // not in parallel: it measures what others would use
	attacker := admin.Tenant(ctx, t, "attacker")
	attack := outpost(ctx, t, attacker)
	before := memory(ctx, t)
	held := make(chan report, 1)
	go func() {
		held <- attack(ctx, order{URL: receiverURL + "/commands", Hold: 60, Begin: 1900 << 10, Seconds: 25, Headers: map[string]string{
			"Content-Type": event.ApplicationCloudEventsJSON, "Content-Length": fmt.Sprint(2000 << 10),
		}})
	}()
	highest := before
	for running := true; running; {
		select {
		case r := <-held:
			t.Logf("of 60 connections: %+v", r)
			running = false
		case <-time.After(2 * time.Second):
			highest = max(highest, memory(ctx, t))
		}
	}
	const most = 80 << 20 // of two receivers, with what waits in sockets; 60 bodies are 114 MiB
	t.Logf("the receivers used %d MiB before, at most %d MiB meanwhile", before>>20, highest>>20)
	if highest-before > most {
		t.Errorf("60 unfinished bodies cost %d MiB, want at most %d", (highest-before)>>20, most>>20)
	}
}

// memory is what all receivers use, in bytes, as kubelets say.
func memory(ctx context.Context, t *testing.T) (sum int64) {
	t.Helper()
	nodes, err := admin.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		raw, err := admin.Kube.CoreV1().RESTClient().Get().Resource("nodes").Name(node.Name).SubResource("proxy").Suffix("stats/summary").Param("only_cpu_and_memory", "true").DoRaw(ctx)
		if err != nil {
			t.Skipf("the kubelet of %s does not say how much memory pods use: %v", node.Name, err)
		}
		var stats struct {
			Pods []struct {
				PodRef struct{ Name, Namespace string }
				Memory struct{ WorkingSetBytes int64 }
			}
		}
		if err := json.Unmarshal(raw, &stats); err != nil {
			t.Fatal(err)
		}
		for _, p := range stats.Pods {
			if p.PodRef.Namespace == operatorNamespace && strings.HasPrefix(p.PodRef.Name, "knative-lambda-receiver-") {
				sum += p.Memory.WorkingSetBytes
			}
		}
	}
	return sum
}
