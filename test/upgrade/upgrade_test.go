//go:build upgrade

// Package upgrade has the operator upgraded while functions serve. hack/upgrade-test.sh
// runs it against an older one.
package upgrade

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// settle is for how long the load goes on once the new operator is there: it looks at
// all that the old one has made.
const settle = 30 * time.Second

const operatorNamespace = "knative-lambda"

// TestUpgrade: functions that serve go on serving, with the images that they have.
func TestUpgrade(t *testing.T) {
	command := os.Getenv("LAMBDA_UPGRADE")
	if command == "" {
		t.Fatal("LAMBDA_UPGRADE: missing; expected a program that installs the operator to upgrade to")
	}
	clients, err := test.NewClients()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	namespace := clients.Namespace(ctx, t)
	before := map[string]*v1alpha1.LambdaFunction{}
	loads := map[string]*test.Load{}
	for _, strategy := range []v1alpha1.BuildStrategy{v1alpha1.BuildAuto, v1alpha1.BuildKaniko} {
		f := deploy(ctx, t, clients, namespace, string(strategy), strategy)
		before[f.Name], loads[f.Name] = f, clients.StartLoad(ctx, f.Status.URL)
	}
	jobs, err := clients.RecordJobs(ctx, namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer jobs.Stop()

	runtime := runtimeImage(ctx, t, clients)
	began := time.Now()
	upgrade := exec.CommandContext(ctx, command)
	upgrade.Stdout, upgrade.Stderr = os.Stdout, os.Stderr
	if err := upgrade.Run(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	t.Logf("upgraded after %v", time.Since(began).Round(time.Second))
	same := os.Getenv("LAMBDA_UPGRADE_REBUILDS") == "" && runtimeImage(ctx, t, clients) == runtime
	t.Logf("the runtime and what languages make of it are the same: %t", same)
	seen(ctx, t, clients, before, same)

	for name, load := range loads {
		requests, failed, failures := load.Stop()
		t.Logf("%s: %d requests, %d failed", name, requests, failed)
		if requests == 0 || failed > 0 {
			t.Errorf("%s: %d of %d requests failed: %v", name, failed, requests, failures)
		}
	}
	if made := jobs.Stop(); same && len(made) > 0 {
		t.Errorf("images were built again: %v", made)
	}
	deploy(ctx, t, clients, namespace, "later", v1alpha1.BuildAuto)
}

func deploy(ctx context.Context, t *testing.T, clients *test.Clients, namespace, name string, strategy v1alpha1.BuildStrategy) *v1alpha1.LambdaFunction {
	t.Helper()
	f := &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.LambdaFunctionSpec{
		Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: fmt.Sprintf("def handler(event, context):\n    return %q\n", name+" of "+namespace)}},
		Runtime: v1alpha1.FunctionRuntime{Language: "python", Version: "3.11"},
		Build:   v1alpha1.BuildSpec{Strategy: strategy},
		Scaling: v1alpha1.ScalingSpec{MinReplicas: ptr.Int32(1)},
	}}
	functions := clients.Lambda.LambdaV1alpha1().LambdaFunctions(namespace)
	if _, err := functions.Create(ctx, f, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := clients.AwaitFunction(ctx, test.Key(f), "Ready", (*v1alpha1.LambdaFunction).IsReady)
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Settle(ctx, f.Status.URL, 1, 3*test.Takeover, func(a test.Answer) bool { return a.Status == http.StatusOK }); err != nil {
		t.Fatal(err)
	}
	return f
}

// runtimeImage that function images are made with.
func runtimeImage(ctx context.Context, t *testing.T, clients *test.Clients) string {
	t.Helper()
	cm, err := clients.Kube.CoreV1().ConfigMaps(operatorNamespace).Get(ctx, config.BuildConfigName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return cm.Data["runtime-image"]
}

// seen waits until the new operator has had the time to look at all functions, and
// checks that they are ready: with the images that they had, where nothing that images
// are made from has changed.
func seen(ctx context.Context, t *testing.T, clients *test.Clients, before map[string]*v1alpha1.LambdaFunction, same bool) {
	t.Helper()
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	for name, old := range before {
		f, err := clients.AwaitFunction(ctx, test.Key(old), "Ready", (*v1alpha1.LambdaFunction).IsReady)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, want := f.Status.Build, old.Status.Build; same && (got.Image != want.Image || got.Attempts != want.Attempts) {
			t.Errorf("%s: image %s after %d attempts, want as before: %s, %d", name, got.Image, got.Attempts, want.Image, want.Attempts)
		}
		if got, want := f.Status.LatestReadyRevisionName, old.Status.LatestReadyRevisionName; same && got != want {
			t.Errorf("%s: revision %s, want as before: %s", name, got, want)
		}
	}
}
