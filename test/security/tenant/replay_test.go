//go:build e2e

package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// replying is a handler that answers an event with another.
const replying = `from lambda_runtime import CloudEvent

def handler(event, context):
    return CloudEvent("io.example.reply", {"of": "the tenant"})
`

// TestReplaysGoHome: a replay posts to the function and its broker, and not to an address
// that a tenant has written into the status of an object of Knative.
func TestReplaysGoHome(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	needsRabbitMQ(t)
	a := admin.Tenant(ctx, t, "attacker")
	inside := newTrap(http.StatusTeapot)
	server := admin.ServeHost(t, inside)
	brokers := a.Eventing.EventingV1().Brokers(a.Namespace)
	_, err := brokers.Create(ctx, &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{
		Namespace: a.Namespace, Name: "rogue", Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: "unreconciled.example.com"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf(`{"status":{"observedGeneration":1,"address":{"url":%[1]q},"conditions":[{"type":"Ready","status":"True","lastTransitionTime":%[2]q},{"type":"Addressable","status":"True","lastTransitionTime":%[2]q}]}}`,
		server.URL+"/internal", time.Now().UTC().Format(time.RFC3339))
	if _, err := brokers.Patch(ctx, "rogue", types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		t.Skipf("a tenant cannot write the status of a Broker: %v", err)
	}
	f := createFunction(ctx, t, a, python(a, "echo", replying, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "rogue"}
	}))
	f, err = a.AwaitFunction(ctx, test.Key(f), "an address", func(f *v1alpha1.LambdaFunction) bool {
		return f.Status.GetCondition(v1alpha1.FunctionConditionServiceReady).IsTrue() && f.Status.Address != nil
	})
	if err != nil {
		t.Fatal(err)
	}
	path := sinkOf(ctx, t, a, f.Name)
	body, err := json.Marshal(orderEvent("own-1"))
	if err != nil {
		t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(ctx, time.Second, soon, true, func(ctx context.Context) (bool, error) { // until the queue is there
		return admin.Kube.CoreV1().RESTClient().Post().Namespace(operatorNamespace).Resource("services").Name("http:knative-lambda-receiver:80").SubResource("proxy").
			Suffix(path).SetHeader("Content-Type", event.ApplicationCloudEventsJSON).Body(body).Do(ctx).Error() == nil, nil
	})
	if err != nil {
		t.Fatal("a dead letter of the tenant's own:", err)
	}
	deadLetters(ctx, t, f, 1)
	said, err := kubectlLambda(ctx, a.Namespace, "dlq", "replay", f.Name, "own-1")
	t.Logf("dlq replay: %v: %s", err, said)
	if strings.Contains(said, trapSecret) || strings.Contains(said, fmt.Sprint(http.StatusTeapot)) {
		t.Errorf("the replay discloses what a server in the cluster answers: %s", said)
	}
	inside.untouched(ctx, t, "the receiver")
}

// failingOnce is a handler that takes an event only when it comes again, to whichever
// worker of its pod.
const failingOnce = `import os

def handler(event, context):
    seen = "/tmp/" + context.id
    if not os.path.exists(seen):
        open(seen, "w").close()
        raise ValueError("not today")
`

// serveAs makes a Service without a selector that leads to a server outside the cluster.
func serveAs(ctx context.Context, t *testing.T, namespace, name string, server *httptest.Server) {
	t.Helper()
	to, err := netip.ParseAddrPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if _, err := admin.Kube.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{to.Addr().String()}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.String(""), Port: ptr.Int32(int32(to.Port()))}},
	}
	if _, err := admin.Kube.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestReplayToAReplacedService: the Service of a function's name, which the tenant leads to
// a Service of another namespace while dead letters are replayed, is not where they go.
func TestReplayToAReplacedService(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	needsRabbitMQ(t)
	a, v := admin.Tenant(ctx, t, "attacker"), admin.Tenant(ctx, t, "victim")
	inside := newTrap(http.StatusOK)
	serveAs(ctx, t, v.Namespace, "internal", admin.ServeHost(t, inside))
	f := ready(ctx, t, a, python(a, "echo", failingOnce, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Scaling.MinReplicas = ptr.Int32(1) // which remembers what it has seen
		s.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}}
	}))
	const many = 10
	for i := range many {
		publishTo(ctx, t, a, f, orderEvent(fmt.Sprintf("own-%d", i)))
	}
	deadLetters(ctx, t, f, many)
	replaced := 0
	attacking, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lead := fmt.Appendf(nil, `{"spec":{"externalName":"internal.%s.svc.cluster.local"}}`, v.Namespace)
		for attacking.Err() == nil {
			if _, err := a.Kube.CoreV1().Services(a.Namespace).Patch(attacking, "echo", types.MergePatchType, lead, metav1.PatchOptions{}); err == nil {
				replaced++
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	time.Sleep(time.Second) // DNS answers with the other name
	said, err := kubectlLambda(ctx, a.Namespace, "dlq", "replay", f.Name, "--all")
	stop()
	<-done
	if replaced == 0 {
		t.Skip("a tenant cannot write the Service of a function")
	}
	t.Logf("the Service was replaced %d times; dlq replay: %v: %s", replaced, err, said)
	inside.untouched(ctx, t, "the receiver")
	deadLetters(ctx, t, f, 0)
}
