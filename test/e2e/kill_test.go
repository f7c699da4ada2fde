//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	// killPause is how soon the next is killed, whether or not the one before is back.
	killPause = 2 * time.Second
	// killEvents and stopEvents are sent while something is killed, or stopped.
	killEvents, stopEvents = 1000, 300
)

// TestKill: a thousand events go to a function that always fails for a third of them, and
// twice for another third, while all that they pass through is killed in turn. None is
// lost: each has been answered, or is a dead letter that has used up its attempts; and
// after a replay each has been answered.
//
// Not in parallel: what it kills serves the other tests, too.
func TestKill(t *testing.T) {
	rabbitMQ(t)
	ctx := t.Context()
	f := newThirds(ctx, t)
	start := time.Now()
	s := sendSteadily(ctx, t, f, "kill", killEvents)
	struck := strikeInTurn(ctx, t, s)
	s.wait(t)
	if err := clients.AwaitDeployments(ctx, operatorNamespace); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events sent in %v during %d kills; %d posts were refused and sent again", killEvents, time.Since(start).Round(time.Second), struck, s.refused.Load())
	s.settle(ctx, t, f)
	t.Logf("settled after %v", time.Since(start).Round(time.Second))
	repair(ctx, t, f)
	s.replay(ctx, t, f)
	t.Logf("replayed after %v", time.Since(start).Round(time.Second))
}

// strike is one thing that is killed or stopped.
type strike struct {
	name string
	do   func(context.Context) error
}

// strikeInTurn goes on for as long as events are sent.
func strikeInTurn(ctx context.Context, t *testing.T, s *sending) (struck int) {
	t.Helper()
	end := func(component string) func(context.Context) error {
		return onePod(component, func(ctx context.Context, pod *corev1.Pod) error {
			return clients.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		})
	}
	kill := func(component string) func(context.Context) error { return onePod(component, clients.KillPod) }
	strikes := []strike{
		{"SIGTERM to a replica of the broker", end("broker")}, {"SIGKILL to a replica of the broker", kill("broker")},
		{"SIGTERM to the controller", end("controller")}, {"SIGKILL to the controller", kill("controller")},
		{"SIGTERM to the receiver", end("receiver")}, {"SIGKILL to the receiver", kill("receiver")},
		{"restart of RabbitMQ", restartRabbitMQ},
	}
	for ; !s.done(); struck++ {
		next := strikes[struck%len(strikes)]
		began := time.Now()
		if err := next.do(ctx); err != nil {
			t.Fatalf("%s: %v", next.name, err)
		}
		t.Logf("%s took %v; %d events sent", next.name, time.Since(began).Round(100*time.Millisecond), s.n.Load())
		select {
		case <-time.After(killPause):
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	if struck < len(strikes) {
		t.Errorf("only %d of %d kinds of kills happened while events were sent", struck, len(strikes))
	}
	return struck
}

// onePod does something to the oldest pod of a component that is not ending, if there is
// one.
func onePod(component string, do func(context.Context, *corev1.Pod) error) func(context.Context) error {
	return func(ctx context.Context) error {
		pods, err := componentPods(ctx, component)
		if err != nil || len(pods) == 0 {
			return err
		}
		oldest := slices.MinFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
		err = do(ctx, &oldest)
		if apierrs.IsNotFound(err) {
			return nil
		}
		return err
	}
}

// componentPods that are not ending.
func componentPods(ctx context.Context, component string) ([]corev1.Pod, error) {
	pods, err := clients.Kube.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

// TestStop: what stops in good order makes no dead letter of an event that has not failed
// as often as it may, and loses none: a roll-out of the broker, edits of all Triggers, and
// evictions, as a drained node brings.
//
// Not in parallel: what it stops serves the other tests, too.
func TestStop(t *testing.T) {
	rabbitMQ(t)
	ctx := t.Context()
	f := newThirds(ctx, t)
	for _, s := range []strike{
		{"roll-out", rollOutBroker},
		{"edit", func(ctx context.Context) error { return editTriggers(ctx, f) }},
		{"eviction", evictBroker},
	} {
		t.Run(s.name, func(t *testing.T) {
			sent := sendSteadily(ctx, t, f, s.name, stopEvents)
			for stops := 1; ; stops++ {
				if err := s.do(ctx); err != nil {
					t.Fatal(err)
				}
				if sent.done() {
					t.Logf("%d times while %d events were sent; %d posts were refused and sent again", stops, stopEvents, sent.refused.Load())
					break
				}
			}
			sent.wait(t)
			sent.settle(ctx, t, f)
		})
	}
}

// rollOutBroker as kubectl rollout restart does.
func rollOutBroker(ctx context.Context) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	if _, err := clients.Kube.AppsV1().Deployments(operatorNamespace).Patch(ctx, "knative-lambda-broker", types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	return clients.AwaitDeployments(ctx, operatorNamespace)
}

// editTriggers of a function: the backoff of their delivery.
func editTriggers(ctx context.Context, f *v1alpha1.LambdaFunction) error {
	patch := fmt.Appendf(nil, `{"spec":{"eventing":{"dlq":{"retryBackoffDelay":"%dms"}}}}`, 200+time.Now().UnixMilli()%100)
	if _, err := clients.Lambda.LambdaV1alpha1().LambdaFunctions(f.Namespace).Patch(ctx, f.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	_, err := clients.AwaitFunction(ctx, test.Key(f), "Ready", (*v1alpha1.LambdaFunction).IsReady)
	return err
}

// evictBroker evicts each replica as soon as its PodDisruptionBudget allows.
func evictBroker(ctx context.Context) error {
	pods, err := componentPods(ctx, "broker")
	if err != nil {
		return err
	}
	for i := range pods {
		err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
			err := clients.Kube.CoreV1().Pods(operatorNamespace).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: pods[i].Name}})
			if apierrs.IsTooManyRequests(err) {
				return false, nil
			}
			return err == nil || apierrs.IsNotFound(err), err
		})
		if err != nil {
			return fmt.Errorf("evicting %s: %w", pods[i].Name, err)
		}
	}
	return clients.AwaitDeployments(ctx, operatorNamespace)
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
