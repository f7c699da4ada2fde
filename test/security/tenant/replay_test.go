//go:build e2e

package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"

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
