//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	// leaderBuilds of each strategy run while leaders are ended.
	leaderBuilds = 4
	// takeoverKilled and takeoverAsked are how soon another leads: after one that was
	// killed as soon as its lease is over (config-leader-election), after one that ends
	// by itself, and gives its lease back, as soon as others ask.
	takeoverKilled, takeoverAsked = 30 * time.Second, 10 * time.Second
)

// TestLeader: the leader is killed, and the next one asked to end, while images are
// built: another goes on where it was, nothing is lost and nothing is built twice.
//
// Not in parallel: what it ends serves the other tests, too.
func TestLeader(t *testing.T) {
	ctx := t.Context()
	scale(ctx, t, "knative-lambda-controller", 2)
	namespace := clients.Namespace(ctx, t)
	jobs, err := clients.RecordJobs(ctx, namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer jobs.Stop()
	var all []*v1alpha1.LambdaFunction
	build := func(strategy v1alpha1.BuildStrategy, i int) {
		f := python(namespace, fmt.Sprintf("%s-%d", strategy, i), greeting(fmt.Sprintf("%s %d of %s", strategy, i, namespace)))
		f.Spec.Build.Strategy = strategy
		all = append(all, create(ctx, t, f))
	}
	for i := range leaderBuilds {
		build(v1alpha1.BuildKaniko, i)
		build(v1alpha1.BuildAuto, i)
	}
	if err := awaitJob(ctx, namespace); err != nil {
		t.Fatal("no build has begun:", err)
	}
	t.Logf("killed: another leads after %v", endLeader(ctx, t, ptr.Int64(0), takeoverKilled))
	t.Logf("asked to end: another leads after %v", endLeader(ctx, t, nil, takeoverAsked))

	for _, f := range all {
		f = ready(ctx, t, f)
		if b := f.Status.Build; b.Attempts > 1 || b.Failure != nil {
			t.Errorf("%s took %d attempts, want 1: %+v", f.Name, b.Attempts, b.Failure)
		}
	}
	made := jobs.Stop()
	if len(made) != leaderBuilds || len(distinct(made)) != leaderBuilds {
		t.Errorf("%d Jobs were made, want one for each of %d functions: %v", len(made), leaderBuilds, made)
	}
}

func awaitJob(ctx context.Context, namespace string) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		list, err := clients.Kube.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(list.Items) > 0, err
	})
}

// leader of the functions, by its pod.
func leader(ctx context.Context) (string, error) {
	leases, err := clients.Kube.CoordinationV1().Leases(operatorNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, l := range leases.Items {
		if strings.Contains(l.Name, "lambdafunction.") && strings.HasPrefix(l.Name, "controller.") && l.Spec.HolderIdentity != nil {
			pod, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
			return pod, nil
		}
	}
	return "", fmt.Errorf("no lease of LambdaFunctions among %d in %s", len(leases.Items), operatorNamespace)
}

// endLeader ends the pod that leads, and returns how long it takes until another does.
func endLeader(ctx context.Context, t *testing.T, seconds *int64, most time.Duration) time.Duration {
	t.Helper()
	before, err := leader(ctx)
	if err == nil && before == "" {
		err = fmt.Errorf("nobody leads")
	}
	if err == nil {
		err = clients.Kube.CoreV1().Pods(operatorNamespace).Delete(ctx, before, metav1.DeleteOptions{GracePeriodSeconds: seconds})
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var now string
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		now, err = leader(ctx)
		return err == nil && now != "" && now != before, err
	})
	took := time.Since(began).Round(100 * time.Millisecond)
	if err != nil || took > most {
		t.Errorf("after %s, %q leads after %v, want another within %v: %v", before, now, took, most, err)
	}
	return took
}

// scale a Deployment of the operator for this test, and wait until its pods are ready.
func scale(ctx context.Context, t *testing.T, name string, replicas int32) {
	t.Helper()
	deployments := clients.Kube.AppsV1().Deployments(operatorNamespace)
	before, err := deployments.GetScale(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), test.Patience)
		defer cancel()
		if err := scaled(ctx, name, before.Spec.Replicas); err != nil {
			t.Errorf("%s has not its %d replicas again: %v", name, before.Spec.Replicas, err)
		}
	})
	if err := scaled(ctx, name, replicas); err != nil {
		t.Fatal(err)
	}
}

func scaled(ctx context.Context, name string, replicas int32) error {
	deployments := clients.Kube.AppsV1().Deployments(operatorNamespace)
	wanted := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
	if _, err := deployments.UpdateScale(ctx, name, wanted, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		d, err := deployments.Get(ctx, name, metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration == d.Generation && d.Status.ReadyReplicas == replicas && d.Status.Replicas == replicas, err
	})
}

// TestWebhookOutage: while nobody admits, what is said of an object's spec is refused,
// and the controller writes statuses as ever.
//
// Not in parallel: what it ends serves the other tests, too.
func TestWebhookOutage(t *testing.T) {
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	f := python(namespace, "steady", greeting("steady"))
	f.Spec.Scaling.MinReplicas = ptr.Int32(1)
	f = ready(ctx, t, create(ctx, t, f))
	functions := clients.Lambda.LambdaV1alpha1().LambdaFunctions(namespace)
	spec := []byte(`{"spec":{"env":[{"name":"A","value":"b"}]}}`)
	admitted := func(ctx context.Context) error {
		_, err := functions.Patch(ctx, f.Name, types.MergePatchType, spec, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	t.Cleanup(func() { // its pod is ready a moment before connections get there
		err := wait.PollUntilContextTimeout(context.Background(), 200*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
			return admitted(ctx) == nil, nil
		})
		if err != nil {
			t.Errorf("the webhook does not answer again: %v", err)
		}
	})
	scale(ctx, t, "knative-lambda-webhook", 0)
	var refusal error
	// So that nothing fails while it is rolled, it answers on over connections that are
	// open, until nothing has been asked for 45 s.
	err := wait.PollUntilContextTimeout(ctx, 50*time.Second, test.Patience, true, func(ctx context.Context) (bool, error) {
		refusal = admitted(ctx)
		return refusal != nil && strings.Contains(refusal.Error(), "webhook"), nil
	})
	if err != nil {
		t.Fatal("a spec is admitted though nobody admits:", refusal)
	}
	if _, err := functions.Patch(ctx, f.Name, types.MergePatchType, []byte(`{"status":{"annotations":{"e2e":"outage"}}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Error("a status is not taken:", err)
	}
	// The Service is made anew, and the status follows it both ways.
	if err := clients.Serving.ServingV1().Services(namespace).Delete(ctx, f.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.AwaitFunction(ctx, test.Key(f), "Ready lost", func(f *v1alpha1.LambdaFunction) bool { return !f.IsReady() }); err != nil {
		t.Fatal(err)
	}
	answers(ctx, t, ready(ctx, t, f), greetingBody("steady"))
}
