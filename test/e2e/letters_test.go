//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// unlucky is a function that fails for good where the event says so, and is not
// tried again otherwise.
func unlucky(ctx context.Context, t *testing.T) (*v1alpha1.LambdaFunction, types.NamespacedName) {
	t.Helper()
	needsRabbitMQ(t)
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "unlucky", "from lambda_runtime import PermanentError\n\ndef handler(event, context):\n"+
		"    if context.id.startswith('never'):\n        raise PermanentError('no such article')\n    raise ValueError('not today')\n")
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}}
	f = ready(ctx, t, create(ctx, t, f))
	reached(ctx, t, f.Status.URL)
	return f, types.NamespacedName{Namespace: namespace, Name: "default"}
}

// TestPermanentFailuresAreDeadLetters: after one attempt.
func TestPermanentFailuresAreDeadLetters(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f, broker := unlucky(ctx, t)
	never, circle := newEvent("never-1", events.InvokeAsync, "/e2e"), newEvent("circle-1", events.InvokeAsync, "/e2e")
	circle.SetExtension(events.HopsExtension, events.MaxHops+1)
	for _, e := range []interface{ SetSubject(string) }{&never, &circle} {
		e.SetSubject(f.Namespace + "/" + f.Name)
	}
	publish(ctx, t, broker, never, circle)
	letters := dead(ctx, t, f, 2)
	for id, want := range map[string]string{"never-1": "PermanentError: no such article", "circle-1": "InvalidRequest: lambdahops is 11"} {
		i := slices.IndexFunc(letters, func(l receiverv1.DeadLetter) bool { return l.ID == id })
		if i < 0 {
			t.Errorf("%s is missing", id)
			continue
		}
		l := letters[i]
		if l.ErrorCode != http.StatusUnprocessableEntity || l.Attempts != 1 || l.DeadTime == "" {
			t.Errorf("dead letter = %+v, want code 422 after 1 attempt", l)
		}
		test.Contains(t, "the reason of "+id, l.ErrorReason, want)
		test.Contains(t, "the origin of "+id, l.Origin, f.Name)
	}
}

// TestLastAttemptsAreDeadLetters: an event that a function never handles is one dead
// letter, after as many attempts as were asked for, with the error of the handler. The
// dispatcher counts: how many pods there are makes no difference.
func TestLastAttemptsAreDeadLetters(t *testing.T) {
	t.Parallel()
	needsRabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "hopeless", "def handler(event, context):\n    print('attempt at', context.id)\n    raise ValueError('not today')\n")
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(2), MaxReplicas: ptr.Int32(2)}
	f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(2), RetryBackoffDelay: v1alpha1.NewDuration(100 * time.Millisecond)}}
	f = ready(ctx, t, create(ctx, t, f))
	reached(ctx, t, f.Status.URL)
	const many = 10
	ids := make([]string, many+1)
	for i := range ids {
		ids[i] = fmt.Sprintf("hopeless-%02d", i)
		e := newEvent(ids[i], events.InvokeAsync, "/e2e")
		e.SetSubject(f.Namespace + "/" + f.Name)
		if i == many { // more dead letters of the others would be there by then
			dead(ctx, t, f, many)
		}
		publish(ctx, t, types.NamespacedName{Namespace: namespace, Name: "default"}, e)
	}
	letters := dead(ctx, t, f, len(ids))
	logs, err := kubectlLambda(ctx, namespace, "logs", f.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		i := slices.IndexFunc(letters, func(l receiverv1.DeadLetter) bool { return l.ID == id })
		if i < 0 {
			t.Errorf("%s is missing", id)
			continue
		}
		if l := letters[i]; l.ErrorCode != http.StatusInternalServerError || l.Attempts != 3 || l.ErrorReason != "ValueError: not today" || l.DeadTime == "" {
			t.Errorf("dead letter = %+v, want code 500 after 3 attempts, and the error of the handler", l)
		}
		test.Contains(t, "the origin of "+id, letters[i].Origin, "http://"+f.Name, namespace)
		if n := strings.Count(logs, "attempt at "+id); n != 3 {
			t.Errorf("the handler was called %d times with %s, want 3", n, id)
		}
	}
}

// TestLettersWithoutAReceiver: the dispatcher stores dead letters itself.
func TestLettersWithoutAReceiver(t *testing.T) {
	ctx := t.Context() // not in parallel: the receiver is the cluster's
	rabbitmq := rabbitMQ(t)
	f, broker := unlucky(ctx, t)
	replicas := scaleReceiver(ctx, t, 0)
	back := func() { scaleReceiver(context.Background(), t, replicas) }
	t.Cleanup(back)
	err := wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		pods, err := clients.Kube.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=receiver"})
		if err != nil {
			return false, err
		}
		return len(pods.Items) == 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const many = 5
	for i := range many {
		e := newEvent(fmt.Sprintf("today-%d", i), events.InvokeAsync, "/e2e")
		e.SetSubject(f.Namespace + "/" + f.Name)
		publish(ctx, t, broker, e)
	}
	err = wait.PollUntilContextTimeout(ctx, time.Second, test.Patience, true, func(context.Context) (bool, error) {
		queue, err := rabbitmq.QueueDeclarePassive(events.DeadLetterQueue(f.Namespace, f.Name), true, false, false, false, nil)
		return queue.Messages == many, err
	})
	if err != nil {
		t.Fatalf("%d letters did not come: %v", many, err)
	}
	back()
	for _, l := range dead(ctx, t, f, many) {
		if l.ErrorCode != http.StatusInternalServerError || l.Attempts != 1 || l.ErrorReason == "" || l.Origin == "" {
			t.Errorf("letter = %+v, want code 500 after 1 attempt, and where from", l)
		}
	}
}

// scaleReceiver returns how many there were.
func scaleReceiver(ctx context.Context, t *testing.T, replicas int32) int32 {
	t.Helper()
	before, err := clients.Scale(ctx, types.NamespacedName{Namespace: operatorNamespace, Name: "knative-lambda-receiver"}, replicas)
	if err != nil {
		t.Fatal(err)
	}
	return before
}
