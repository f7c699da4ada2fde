//go:build e2e

package tenant

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// TestTerminals: what senders and functions write into dead letters does nothing to the
// terminal of the user who lists them.
func TestTerminals(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	needsRabbitMQ(t)
	a := admin.Tenant(ctx, t, "attacker")
	const code = `from lambda_runtime import PermanentError

def handler(event, context):
    raise PermanentError("no\x1b[2Ksuch\x1b]0;owned\x07 \x9b31marticle\r\u202e")
`
	f := ready(ctx, t, a, python(a, "escapes", code, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}}
	}))
	publishTo(ctx, t, a, f, orderEvent("plain"))
	deadLetters(ctx, t, f, 1)
	structured(ctx, t, a, f)
	for _, args := range [][]string{{"dlq", "list", f.Name}, {"dlq", "show", f.Name, "plain"}, {"dlq", "list", f.Name, "-o", "yaml"}} {
		said, err := kubectlLambda(ctx, a.Namespace, args...)
		if err != nil {
			t.Errorf("%v: %v: %s", args, err, said)
		}
		for _, r := range said {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
				t.Errorf("%v prints the control character %U: %q", args, r, said)
				break
			}
		}
	}
}

// structured publishes an event whose attributes have escape sequences, which only the
// structured mode can carry, and waits for it to be a dead letter, if it becomes one.
func structured(ctx context.Context, t *testing.T, a *test.Tenant, f *v1alpha1.LambdaFunction) {
	t.Helper()
	hostile := orderEvent("h\x1b[2K\x1b]0;owned\x07")
	hostile.SetSubject(f.Namespace + "/" + f.Name)
	hostile.SetExtension("note", "\x1b[31m")
	body, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	status := 0
	r, err := admin.Ingress(ctx, types.NamespacedName{Namespace: a.Namespace, Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	err = r.SetHeader("Content-Type", event.ApplicationCloudEventsJSON).Body(body).Do(ctx).StatusCode(&status).Error()
	if err != nil {
		t.Logf("the broker refuses escape sequences: %d %v", status, err)
		return
	}
	err = wait.PollUntilContextTimeout(ctx, time.Second, window, true, func(ctx context.Context) (bool, error) {
		said, err := kubectlLambda(ctx, a.Namespace, "dlq", "list", f.Name, "-o", "json")
		return err == nil && strings.Count(said, `"id"`) == 2, nil
	})
	t.Logf("an event with escape sequences is a dead letter: %t", err == nil)
}
