//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// What TestKill sends, and how fast: it goes on for as long as the restarts do.
const (
	killEvents = 1000
	killPace   = 80 * time.Millisecond
)

// slowly remembers each event after a tenth of a second, so that some are always in
// flight.
const slowly = remember + `
import time

at_once = handler

def handler(event, context):
    if context.type is not None:
        time.sleep(0.1)
    return at_once(event, context)
`

// TestKill: a thousand events go to a function that fails, then is repaired, while
// all that they pass through is killed in turn. None is lost: each has been answered
// or is a dead letter, and after a replay each has been answered.
//
// Not in parallel: what it restarts serves the other tests, too.
func TestKill(t *testing.T) {
	rabbitMQ(t)
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "moody", "def handler(event, context):\n    raise ValueError('not today')\n")
	f.Spec.Scaling = v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1), MaxReplicas: ptr.Int32(1)}
	f.Spec.Eventing = &v1alpha1.FunctionEventing{
		Enabled:  true,
		RabbitMQ: &v1alpha1.RabbitMQSpec{Parallelism: ptr.Int32(10)},
		DLQ:      &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(1), RetryBackoffDelay: v1alpha1.NewDuration(time.Second), BackoffPolicy: "linear"},
	}
	f = ready(ctx, t, create(ctx, t, f))

	start := time.Now()
	sent := sendSteadily(ctx, t, types.NamespacedName{Namespace: namespace, Name: "default"}, namespace+"/"+f.Name)
	restartInTurn(ctx, t, f, sent, start)
	f = ready(ctx, t, update(ctx, t, f, func(s *v1alpha1.LambdaFunctionSpec) { s.Source.Inline.Code = slowly }))
	t.Logf("repaired after %v, %d events sent", time.Since(start).Round(time.Second), sent.n.Load())
	restartInTurn(ctx, t, f, sent, start)
	sent.workers.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("%d events sent in %v; the broker refused %d posts, which were sent again", sent.n.Load(), time.Since(start).Round(time.Second), sent.refused.Load())

	everyOne(ctx, t, f, "answered or dead", func() []string {
		return append(answered(ctx, f), deadIDs(ctx, f)...)
	})
	first := deadIDs(ctx, f)
	t.Logf("%d dead letters, %d of them twice, after %v", len(first), len(first)-len(distinct(first)), time.Since(start).Round(time.Second))
	if len(first) == 0 {
		t.Error("no event has become a dead letter: the test tests nothing")
	}
	said, err := kubectlLambda(ctx, namespace, "dlq", "replay", f.Name, "--all")
	if err != nil {
		t.Fatalf("replay: %v: %s", err, said[max(0, len(said)-1000):])
	}
	all := everyOne(ctx, t, f, "answered after the replay", func() []string { return answered(ctx, f) })
	if left := deadIDs(ctx, f); len(left) > 0 {
		t.Errorf("%d dead letters are left after the replay, such as %s", len(left), left[0])
	}
	t.Logf("answered: %d events, %d of them more than once, after %v", len(distinct(all)), len(all)-len(distinct(all)), time.Since(start).Round(time.Second))
}

func killID(i int) string { return fmt.Sprintf("event-%04d", i) }

// sending of a steady stream of events.
type sending struct {
	workers    sync.WaitGroup
	n, refused atomic.Int64
}

// sendSteadily posts the events as a source does: what the broker does not take is
// posted again until it does.
func sendSteadily(ctx context.Context, t *testing.T, broker types.NamespacedName, subject string) *sending {
	s := &sending{}
	next := make(chan int)
	go func() {
		defer close(next)
		ticker := time.NewTicker(killPace)
		defer ticker.Stop()
		for i := range killEvents {
			next <- i
			<-ticker.C
		}
	}()
	post := func(i int) error {
		e := newEvent(killID(i), "io.knative.lambda.invoke.async", "/e2e")
		e.SetSubject(subject)
		var last error
		err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if last = clients.Publish(ctx, broker, e); last != nil {
				s.refused.Add(1)
			}
			return last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("%w: %w", err, last)
		}
		return nil
	}
	for range 8 {
		s.workers.Add(1)
		go func() {
			defer s.workers.Done()
			for i := range next {
				if err := post(i); err != nil && ctx.Err() == nil {
					t.Errorf("event %d was never taken: %v", i, err)
					continue
				}
				s.n.Add(1)
			}
		}()
	}
	return s
}

// restartInTurn kills the receiver, what dispatches to the function and the controller,
// and ends RabbitMQ, each when the one before is back. Nothing may finish what it does.
func restartInTurn(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, sent *sending, start time.Time) {
	t.Helper()
	pods := func(namespace, selector string) func() error {
		return func() error { return clients.RestartPods(ctx, namespace, selector, ptr.Int64(0)) }
	}
	for _, k := range []struct {
		name    string
		restart func() error
	}{
		{"the receiver", pods(operatorNamespace, "app.kubernetes.io/component=receiver")},
		{"the dispatchers", pods(f.Namespace, "eventing.knative.dev/brokerRole=dispatcher")},
		{"the controller", pods(operatorNamespace, "app.kubernetes.io/component=controller")},
		{"RabbitMQ", func() error { return restartRabbitMQ(ctx) }},
	} {
		began := time.Now()
		if err := k.restart(); err != nil {
			t.Fatalf("restarting %s: %v", k.name, err)
		}
		t.Logf("ended %s after %v, back %v later; %d events sent", k.name, began.Sub(start).Round(time.Second), time.Since(began).Round(100*time.Millisecond), sent.n.Load())
	}
}

// restartRabbitMQ runs the command that the cluster has for it, and waits until
// RabbitMQ takes connections.
func restartRabbitMQ(ctx context.Context) error {
	command := os.Getenv("LAMBDA_RABBITMQ_RESTART")
	if command == "" {
		return fmt.Errorf("LAMBDA_RABBITMQ_RESTART: missing; expected a shell command that ends RabbitMQ and starts it again")
	}
	if out, err := exec.CommandContext(ctx, "sh", "-c", command).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		conn, err := amqp.Dial(os.Getenv("LAMBDA_RABBITMQ_URL"))
		if err != nil {
			return false, nil //nolint:nilerr // it is still starting
		}
		return true, conn.Close()
	})
}

// everyOne waits until each of the events is among those that found returns, and
// returns them.
func everyOne(ctx context.Context, t *testing.T, f *v1alpha1.LambdaFunction, what string, found func() []string) (all []string) {
	t.Helper()
	var missing []string
	err := wait.PollUntilContextTimeout(ctx, 2*time.Second, test.Patience, true, func(context.Context) (bool, error) {
		all = found()
		has := distinct(all)
		missing = nil
		for i := range killEvents {
			if _, ok := slices.BinarySearch(has, killID(i)); !ok {
				missing = append(missing, killID(i))
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		t.Fatalf("%d of %d events of %s are not %s: %v; the first: %v", len(missing), killEvents, f.Name, what, err, missing[:min(20, len(missing))])
	}
	return all
}

func distinct(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}

// answered are the ids of the events that the function has handled; none where it
// cannot be asked just now.
func answered(ctx context.Context, f *v1alpha1.LambdaFunction) (ids []string) {
	answer, err := clients.Call(ctx, f.Status.URL, "{}")
	var got []seen
	if err != nil || answer.Status != http.StatusOK || json.Unmarshal([]byte(answer.Body), &got) != nil {
		return nil
	}
	for _, s := range got {
		ids = append(ids, s.ID)
	}
	return ids
}

// deadIDs are the ids of the function's dead letters; none where they cannot be
// listed just now.
func deadIDs(ctx context.Context, f *v1alpha1.LambdaFunction) (ids []string) {
	said, err := kubectlLambda(ctx, f.Namespace, "dlq", "list", f.Name, "--limit", "1000", "-o", "json")
	var list receiverv1.DeadLetterList
	if err != nil || json.Unmarshal([]byte(said), &list) != nil {
		return nil
	}
	for _, l := range list.Items {
		ids = append(ids, l.ID)
	}
	return ids
}
