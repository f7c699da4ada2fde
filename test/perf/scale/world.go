package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/audit"
)

const (
	// operatorNamespace has the controller and the configuration.
	operatorNamespace = "knative-lambda"
	// creators apply objects at once.
	creators = 8
	// pageSize of lists.
	pageSize = 500
)

// servingController is Knative Serving's controller.
var servingController = types.NamespacedName{Namespace: "knative-serving", Name: "controller"}

// world is functions and agents in a namespace of their own.
type world struct {
	*test.Clients
	o         *options
	namespace string
	log       *audit.Log
	restarts  int32
	// serving is how many of Knative Serving's controllers there were, where they are
	// away meanwhile.
	serving int32
}

func newWorld(ctx context.Context, clients *test.Clients, o *options) (*world, error) {
	log, err := audit.Open()
	if err != nil {
		return nil, err
	}
	namespace, err := clients.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "perf-scale-"}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	w := &world{Clients: clients, o: o, namespace: namespace.Name, log: log}
	_, err = clients.Kube.CoreV1().ResourceQuotas(w.namespace).Create(ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "no-pods"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	if err == nil {
		var pod *corev1.Pod
		if pod, err = w.controller(ctx); err == nil {
			w.restarts = pod.Status.ContainerStatuses[0].RestartCount
		}
	}
	if err == nil && !o.ready {
		w.serving, err = w.Scale(ctx, servingController, 0)
	}
	if err != nil {
		return nil, errors.Join(err, w.remove())
	}
	return w, nil
}

func (w *world) remove() error {
	ctx := context.Background()
	var restored error
	if w.serving > 0 {
		_, restored = w.Scale(ctx, servingController, w.serving)
	}
	err := w.Kube.CoreV1().Namespaces().Delete(ctx, w.namespace, metav1.DeleteOptions{})
	return errors.Join(restored, utilerrors.FilterOut(err, apierrs.IsNotFound))
}

func (w *world) function(i int) *v1alpha1.LambdaFunction {
	return &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("function-%d", i)}, Spec: v1alpha1.LambdaFunctionSpec{
		Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: "def handler(event, context):\n    return 'of " + w.namespace + "'\n"}},
		Runtime: v1alpha1.FunctionRuntime{Language: "python", Version: "3.11"},
		Scaling: v1alpha1.ScalingSpec{InitialScale: ptr.Int32(0)},
	}}
}

func (w *world) agent(i int) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("agent-%d", i)}}
	a.Spec.Image = v1alpha1.ImageReference{Repository: "ko.local/nowhere/agent", Tag: "1"} // a registry whose tags Knative Serving leaves alone
	a.Spec.Scaling.MinReplicas, a.Spec.Scaling.InitialScale = ptr.Int32(0), ptr.Int32(0)
	return a
}

func (w *world) create(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	client := w.Lambda.LambdaV1alpha1()
	for i := range w.o.functions {
		group.Go(func() error {
			_, err := client.LambdaFunctions(w.namespace).Create(ctx, w.function(i), metav1.CreateOptions{})
			return err
		})
	}
	for i := range w.o.agents {
		group.Go(func() error {
			_, err := client.LambdaAgents(w.namespace).Create(ctx, w.agent(i), metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// settled waits until all objects are as they were asked to be, and nothing has been
// written for a while; it returns when that was.
func (w *world) settled(ctx context.Context) (time.Time, error) {
	open := 0
	err := wait.PollUntilContextCancel(ctx, 2*time.Second, true, func(ctx context.Context) (bool, error) {
		if err := w.log.Read(); err != nil {
			return false, err
		}
		if time.Since(w.log.Last()) < w.o.settle && !w.o.ready {
			return false, nil // lists cost something, too
		}
		var err error
		open, err = w.open(ctx)
		return err == nil && open == 0 && time.Since(w.log.Last()) >= w.o.settle, err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%d objects are not settled: %w", open, err)
	}
	return w.log.Last(), nil
}

// open are the objects that are not settled.
func (w *world) open(ctx context.Context) (open int, err error) {
	client, page := w.Lambda.LambdaV1alpha1(), metav1.ListOptions{Limit: pageSize}
	for more := true; more; more = page.Continue != "" {
		list, err := client.LambdaFunctions(w.namespace).List(ctx, page)
		if err != nil {
			return 0, err
		}
		for i := range list.Items {
			if f := &list.Items[i]; !w.done(f.Status.ObservedGeneration == f.Generation, f.IsReady(), f.Status.Build != nil && f.Status.Build.Image != "") {
				open++
			}
		}
		page.Continue = list.Continue
	}
	for more := true; more; more = page.Continue != "" {
		list, err := client.LambdaAgents(w.namespace).List(ctx, page)
		if err != nil {
			return 0, err
		}
		for i := range list.Items {
			if a := &list.Items[i]; !w.done(a.Status.ObservedGeneration == a.Generation, a.IsReady(), true) {
				open++
			}
		}
		page.Continue = list.Continue
	}
	return open, nil
}

// done: Ready takes Knative Serving, whose own work for so many is not what is measured:
// its controller is away then, so that nothing changes that the operator has to follow.
func (w *world) done(observed, ready, made bool) bool {
	return observed && made && (ready || !w.o.ready)
}

// resync has the operator look at all objects again, by changes of its configuration that
// change nothing, and waits for what that may bring.
func (w *world) resync(ctx context.Context) error {
	if _, err := w.log.Take(); err != nil {
		return err
	}
	configMaps := w.Kube.CoreV1().ConfigMaps(operatorNamespace)
	for _, value := range []string{fmt.Sprintf("%q", time.Now().Format(time.RFC3339Nano)), "null"} {
		for _, name := range []string{config.BuildConfigName, config.DefaultsConfigName} {
			patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"lambda.knative.io/perf-scale":%s}}}`, value)
			if _, err := configMaps.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		select {
		case <-time.After(w.o.quiet):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// controller is the pod that all of this costs.
func (w *world) controller(ctx context.Context) (*corev1.Pod, error) {
	pods, err := w.Kube.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=knative-lambda-controller"})
	if err != nil {
		return nil, err
	}
	if len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) != 1 {
		return nil, fmt.Errorf("%d controllers run, expected one", len(pods.Items))
	}
	return &pods.Items[0], nil
}

// notRestarted: a controller that ran out of memory holds little afterwards.
func (w *world) notRestarted(ctx context.Context) error {
	pod, err := w.controller(ctx)
	if err != nil {
		return err
	}
	if now := pod.Status.ContainerStatuses[0].RestartCount; now != w.restarts {
		return fmt.Errorf("the controller was restarted %d times meanwhile", now-w.restarts)
	}
	return nil
}
