//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// behaves returns, fails or hangs as the call says.
const behaves = `import time

def handler(event, context):
    if event["do"] == "fail":
        raise ValueError("as told")
    if event["do"] == "hang":
        time.sleep(30)
    return {"did": event["do"]}
`

// callTo is the way in which asynchronous calls are delivered here.
func callTo(own *duckv1.Destination) v1alpha1.CallSpec {
	return v1alpha1.CallSpec{OnSuccess: own, OnFailure: own.DeepCopy()}
}

func toFunction(f *v1alpha1.LambdaFunction) *duckv1.Destination {
	return &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "LambdaFunction", Namespace: f.Namespace, Name: f.Name}}
}

// outcomesOf calls are: of one that succeeds, one that fails after its retries, and one
// that takes too long.
var outcomesOf = map[string]string{"return": events.ResponseSuccess, "fail": events.ResponseError, "hang": events.ResponseTimeout}

// callAll makes a call of each kind, and returns their ids.
func callAll(ctx context.Context, t *testing.T, namespace, owner string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for do := range outcomesOf {
		var out, errOut bytes.Buffer
		if err := kubectlLambdaTo(ctx, &out, &errOut, namespace, "invoke", owner, "--async", "--data", `{"do": "`+do+`"}`); err != nil {
			t.Fatalf("calling %s: %v %s", owner, err, &errOut)
		}
		ids[do] = strings.TrimSpace(out.String())
	}
	return ids
}

// checkOutcomes of calls, as the receiver shows them.
func checkOutcomes(ctx context.Context, t *testing.T, namespace, owner string, ids map[string]string) {
	t.Helper()
	for do, id := range ids {
		var out, errOut bytes.Buffer
		if err := kubectlLambdaTo(ctx, &out, &errOut, namespace, "outcome", owner, id, "--wait", "--timeout", test.Patience.String(), "-o", "json"); err != nil {
			t.Errorf("the outcome of %s: %v %s", do, err, &errOut)
			continue
		}
		var list receiverv1.OutcomeList
		if err := json.Unmarshal(out.Bytes(), &list); err != nil || len(list.Items) != 1 {
			t.Errorf("the outcome of %s: %v, %s", do, err, &out)
			continue
		}
		o := list.Items[0]
		if o.ID != id || o.Type != outcomesOf[do] || (o.Attempts == 2) != (do != "return") {
			t.Errorf("the outcome of %s is %s of %s after %d attempts (%s)", do, o.Type, o.ID, o.Attempts, o.ErrorReason)
		}
	}
}

// delivered waits until the destination has the outcome of each call.
func delivered(ctx context.Context, t *testing.T, to *v1alpha1.LambdaFunction, source string) {
	t.Helper()
	remembers(ctx, t, to, "the outcomes of "+source, func(got []seen) bool {
		types := map[string]int{}
		for _, s := range got {
			if s.Source == source {
				types[s.Type]++
			}
		}
		return types[events.ResponseSuccess] > 0 && types[events.ResponseError] > 0 && types[events.ResponseTimeout] > 0
	})
}

// TestAsyncFunction: calls of a function are answered at once, and each has an outcome at
// its destination and at the receiver; those that fail are dead letters as well.
func TestAsyncFunction(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	log := ready(ctx, t, create(ctx, t, rememberer(namespace, "log")))
	f := python(namespace, "worker", behaves)
	f.Spec.Runtime.Timeout = v1alpha1.NewDuration(3 * time.Second)
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(1)}, CallSpec: callTo(toFunction(log))}
	f = ready(ctx, t, create(ctx, t, f))
	if f.Status.CallsURL == nil {
		t.Fatal("the status has no callsURL")
	}
	reached(ctx, t, f.Status.URL)
	ids := callAll(ctx, t, namespace, f.Name)
	checkOutcomes(ctx, t, namespace, f.Name, ids)
	delivered(ctx, t, log, events.Source("function", namespace, f.Name))
	letters, err := kubectlLambda(ctx, namespace, "dlq", "list", f.Name)
	if err != nil || !strings.Contains(letters, ids["fail"]) || !strings.Contains(letters, ids["hang"]) || strings.Contains(letters, ids["return"]) {
		t.Errorf("the dead letters are %s, %v; want the two calls that failed", letters, err)
	}
	respondsAsync(ctx, t, f)
}

// respondsAsync calls the function's own URL with the preference.
func respondsAsync(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction) {
	t.Helper()
	var stored receiverv1.Call
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Status.URL.String(), strings.NewReader(`{"do": "return"}`))
		if err != nil {
			return false, err
		}
		r.Header.Set("Prefer", "respond-async")
		r.Header.Set("Content-Type", "application/json")
		response, err := clients.HTTP.Do(r)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusAccepted && json.NewDecoder(response.Body).Decode(&stored) == nil && stored.ID != "", nil
	})
	if err != nil {
		t.Fatal("Prefer: respond-async is not answered with 202 and an id:", err)
	}
	if out, err := kubectlLambda(ctx, f.Namespace, "outcome", f.Name, stored.ID, "--wait"); err != nil || !strings.Contains(out, `"did"`) {
		t.Errorf("the outcome of a call by the function's URL: %s, %v", out, err)
	}
}

// TestAsyncAgent: the same of an agent, whose container is the user's.
func TestAsyncAgent(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	log := ready(ctx, t, create(ctx, t, rememberer(namespace, "log")))
	a := createAgent(ctx, t, agentOf(namespace, "thinker", imageOf(ctx, t, namespace, "thinker-image", behaves), listens(), func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.DLQ = &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(1)}
		s.Eventing.CallSpec = callTo(toFunction(log))
		s.Eventing.DeliveryTimeout = v1alpha1.NewDuration(5 * time.Second)
	}))
	a = awaitAgent(ctx, t, a, "Ready", (*v1alpha1.LambdaAgent).IsReady)
	reached(ctx, t, a.Status.URL)
	ids := callAll(ctx, t, namespace, "agent/"+a.Name)
	checkOutcomes(ctx, t, namespace, "agent/"+a.Name, ids)
	delivered(ctx, t, log, a.EventSource())
}
