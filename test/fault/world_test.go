//go:build fault

package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclient "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/typed/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	operatorNamespace = "knative-lambda"
	// patience until all is settled.
	patience = 5 * time.Minute
	// settledFor is how long all has to be so.
	settledFor = 3 * time.Second
)

// world is a namespace with functions that serve, and new ones for each fault.
type world struct {
	*test.Clients
	program, namespace string
	steady             *v1alpha1.LambdaFunction
	// ingress is the URL at which the Broker takes events from this machine.
	ingress string
	// setupJob prepares RabbitMQ.
	setupJob *batchv1.Job
}

func newWorld(t *testing.T, clients *test.Clients, program string) *world {
	ctx := t.Context()
	w := &world{Clients: clients, program: program, namespace: clients.Namespace(ctx, t)}
	t.Cleanup(func() { // as config/core has it
		for name, replicas := range map[string]int32{"knative-lambda-controller": 1, "knative-lambda-webhook": 1, "knative-lambda-broker": 2} {
			if err := w.scale(name, replicas)(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	if err := w.scale("knative-lambda-controller", 2)(ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.setupJob, err = w.Kube.BatchV1().Jobs(operatorNamespace).Get(ctx, "knative-lambda-rabbitmq-setup", metav1.GetOptions{}); err != nil {
		t.Fatal("make fault runs it before the tests:", err)
	}
	steady := w.function("steady", v1alpha1.BuildAuto)
	steady.Spec.Source.Inline.Code = remembers
	steady.Spec.Scaling.InitialScale, steady.Spec.Scaling.MinReplicas = nil, ptr.Int32(1)
	steady.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true}
	if err := w.create(ctx, steady); err != nil {
		t.Fatal(err)
	}
	if w.steady, err = w.AwaitFunction(ctx, test.Key(steady), "Ready", (*v1alpha1.LambdaFunction).IsReady); err != nil {
		t.Fatal(err)
	}
	if w.ingress, err = w.ingressOf(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.awaitSettled(ctx, nil, patience); err != nil {
		t.Fatal("nothing is broken yet:", err)
	}
	return w
}

func (w *world) function(name string, strategy v1alpha1.BuildStrategy) *v1alpha1.LambdaFunction {
	return &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: v1alpha1.LambdaFunctionSpec{
		Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: fmt.Sprintf("def handler(event, context):\n    return %q\n", name+" of "+w.namespace)}},
		Runtime: v1alpha1.FunctionRuntime{Language: "python", Version: "3.11"},
		Build:   v1alpha1.BuildSpec{Strategy: strategy},
		Scaling: v1alpha1.ScalingSpec{InitialScale: ptr.Int32(0)},
	}}
}

func (w *world) functions() lambdaclient.LambdaFunctionInterface {
	return w.Lambda.LambdaV1alpha1().LambdaFunctions(w.namespace)
}

func (w *world) create(ctx context.Context, f *v1alpha1.LambdaFunction) error {
	_, err := w.functions().Create(ctx, f, metav1.CreateOptions{})
	return err
}

// deployProbes makes functions whose images are being built when the fault begins.
func (w *world) deployProbes(ctx context.Context, i int) (names []string, err error) {
	for _, strategy := range []v1alpha1.BuildStrategy{v1alpha1.BuildAuto, v1alpha1.BuildKaniko} {
		f := w.function(fmt.Sprintf("probe-%d-%s", i, strategy), strategy)
		if err := w.create(ctx, f); err != nil {
			return nil, err
		}
		names = append(names, f.Name)
	}
	return names, nil
}

// awaitSettled waits until all is as it was asked for, and what is asked for now is done.
func (w *world) awaitSettled(ctx context.Context, probes []string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	since := time.Time{}
	changed := false
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		if !changed { // else what is seen may be of before
			last = w.change(ctx, probes)
			changed = last == nil
		}
		if changed {
			last = w.settled(ctx)
		}
		if last != nil {
			since = time.Time{}
			return false, nil //nolint:nilerr // it is reported when time is over
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= settledFor, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return nil
}

// change the probes' specs, which the whole operator has to be up for.
func (w *world) change(ctx context.Context, probes []string) error {
	for _, name := range probes {
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			f, err := w.functions().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			f.Spec.Env = []corev1.EnvVar{{Name: "CHANGED", Value: "1"}}
			_, err = w.functions().Update(ctx, f, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settled reports what is not as it should be.
func (w *world) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var errs []error
	all, err := w.functions().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range all.Items {
		if f := &all.Items[i]; !f.IsReady() || f.Status.ObservedGeneration != f.Generation {
			errs = append(errs, fmt.Errorf("%s is not ready: %v", f.Name, f.Status.GetCondition(v1alpha1.FunctionConditionReady)))
		} else if f.Name == "steady" {
			errs = append(errs, w.serves(ctx, f))
		}
	}
	errs = append(errs, w.operatorUp(ctx), w.nodeReady(ctx))
	return errors.Join(errs...)
}

// serves reports whether a function answers requests, and gets events.
func (w *world) serves(ctx context.Context, f *v1alpha1.LambdaFunction) error {
	answer, err := w.Call(ctx, f.Status.URL, "{}")
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("answered %v", answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return w.delivers(ctx)
}

func (w *world) operatorUp(ctx context.Context) error {
	all, err := w.Kube.AppsV1().Deployments(operatorNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, d := range all.Items {
		if *d.Spec.Replicas == 0 || d.Status.ReadyReplicas != *d.Spec.Replicas {
			return fmt.Errorf("%s has %d of %d replicas", d.Name, d.Status.ReadyReplicas, *d.Spec.Replicas)
		}
	}
	return nil
}

func (w *world) nodeReady(ctx context.Context) error {
	all, err := w.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range all.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
				return fmt.Errorf("node %s is not ready: %s", n.Name, c.Message)
			}
		}
	}
	return nil
}

// scale a Deployment of the operator.
func (w *world) scale(name string, replicas int32) func(context.Context) error {
	return func(ctx context.Context) error {
		wanted := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
		_, err := w.Kube.AppsV1().Deployments(operatorNamespace).UpdateScale(ctx, name, wanted, metav1.UpdateOptions{})
		return err
	}
}

// reviveWebhook brings the webhook back after it was away: it answers on over
// connections that are open until nothing has been asked for 45 s.
func (w *world) reviveWebhook(ctx context.Context) error {
	_, err := w.functions().Patch(ctx, w.steady.Name, types.MergePatchType, []byte(`{"spec":{"env":[{"name":"A","value":"b"}]}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return errors.New("the webhook was not down")
	}
	if !strings.Contains(err.Error(), "webhook") {
		return err
	}
	return w.scale("knative-lambda-webhook", 1)(ctx)
}

// killLeader kills the controller that leads.
func (w *world) killLeader(ctx context.Context) error {
	leases, err := w.Kube.CoordinationV1().Leases(operatorNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, l := range leases.Items {
		if strings.HasPrefix(l.Name, "controller.") && strings.Contains(l.Name, "lambdafunction.") && l.Spec.HolderIdentity != nil {
			pod, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
			return w.Kube.CoreV1().Pods(operatorNamespace).Delete(ctx, pod, metav1.DeleteOptions{GracePeriodSeconds: ptr.Int64(0)})
		}
	}
	return fmt.Errorf("nobody leads: %d leases in %s", len(leases.Items), operatorNamespace)
}
