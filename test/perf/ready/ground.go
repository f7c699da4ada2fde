package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// ground is a namespace in which is measured.
type ground struct {
	*test.Clients
	o         *options
	namespace string
	// template of a function's revision, which the bare Services have too.
	template servingv1.RevisionTemplateSpec
	// first is how long the first function took.
	first time.Duration
}

// kind of what is measured.
type kind struct {
	watch  func(context.Context, metav1.ListOptions) (watch.Interface, error)
	create func(ctx context.Context, name string) error
	remove func(ctx context.Context, name string) error
}

func newGround(ctx context.Context, clients *test.Clients, o *options) (*ground, error) {
	namespace, err := clients.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "perf-ready-"}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	g := &ground{Clients: clients, o: o, namespace: namespace.Name}
	if err := g.prepare(ctx); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	return g, nil
}

func (g *ground) remove() error {
	return g.Kube.CoreV1().Namespaces().Delete(context.Background(), g.namespace, metav1.DeleteOptions{})
}

// prepare makes one function, whose pod the bare Services get: its image is on the
// node then.
func (g *ground) prepare(ctx context.Context) error {
	if err := g.AwaitDefaults(ctx, g.namespace); err != nil {
		return err
	}
	began := time.Now()
	kind := g.functions()
	if err := kind.create(ctx, "model"); err != nil {
		return err
	}
	key := test.Key(&metav1.ObjectMeta{Namespace: g.namespace, Name: "model"})
	if _, err := g.AwaitFunction(ctx, key, "Ready", (*v1alpha1.LambdaFunction).IsReady); err != nil {
		return err
	}
	g.first = time.Since(began)
	service, err := g.Serving.ServingV1().Services(g.namespace).Get(ctx, "model", metav1.GetOptions{})
	if err != nil {
		return err
	}
	g.template = service.Spec.Template
	g.template.Labels = nil // the operator's
	return g.away(ctx, "model", kind, true)
}

func (g *ground) functions() kind {
	client := g.Lambda.LambdaV1alpha1().LambdaFunctions(g.namespace)
	return kind{
		watch: client.Watch,
		create: func(ctx context.Context, name string) error {
			_, err := client.Create(ctx, &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.LambdaFunctionSpec{
				Source:  v1alpha1.FunctionSource{Inline: &v1alpha1.InlineSource{Code: g.code(name)}},
				Runtime: v1alpha1.FunctionRuntime{Language: "python", Version: v1alpha1.RuntimeVersion(g.o.version)},
			}}, metav1.CreateOptions{})
			return err
		},
		remove: func(ctx context.Context, name string) error { return client.Delete(ctx, name, metav1.DeleteOptions{}) },
	}
}

// code that no function has had before.
func (g *ground) code(name string) string {
	return fmt.Sprintf("def handler(event, context):\n    return {\"message\": \"%s in %s\"}\n", name, g.namespace)
}

func (g *ground) services() kind {
	client := g.Serving.ServingV1().Services(g.namespace)
	return kind{
		watch: client.Watch,
		create: func(ctx context.Context, name string) error {
			_, err := client.Create(ctx, &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: servingv1.ServiceSpec{ConfigurationSpec: servingv1.ConfigurationSpec{Template: *g.template.DeepCopy()}}}, metav1.CreateOptions{})
			return err
		},
		remove: func(ctx context.Context, name string) error { return client.Delete(ctx, name, metav1.DeleteOptions{}) },
	}
}

// race creates many at once, measures until a watch has shown all of them Ready,
// and removes them.
func (g *ground) race(ctx context.Context, many int, prefix string, k kind) (time.Duration, error) {
	names := make([]string, many)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	took, err := g.measure(ctx, names, 1, k, func(ctx context.Context) error {
		return each(names, func(name string) error { return k.create(ctx, name) })
	})
	if err != nil {
		return 0, err
	}
	return took, each(names, func(name string) error { return g.away(ctx, name, k, many > 1) })
}

// measure from just before something is done until a watch has shown all names
// Ready in a generation that is not of before.
func (g *ground) measure(ctx context.Context, names []string, least int64, k kind, do func(context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, test.Patience)
	defer cancel()
	select {
	case <-time.After(g.o.pause):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	from, err := k.watch(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	defer from.Stop()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	missing, finished := map[string]bool{}, false
	for _, name := range names {
		missing[name] = true
	}
	for len(missing) > 0 || !finished {
		select {
		case err := <-done:
			if finished = true; err != nil {
				return 0, err
			}
		case e, ok := <-from.ResultChan():
			if !ok {
				return 0, fmt.Errorf("the watch ended; not Ready yet: %d of %d", len(missing), len(names))
			}
			o, is := e.Object.(metav1.Object)
			if !is {
				continue
			}
			if o.GetGeneration() >= least && isReady(e.Object) {
				delete(missing, o.GetName())
			}
		}
	}
	return time.Since(began), nil
}

// away removes one and, where there were many, waits until its pods are gone, so
// that they cost the next ones nothing. One pod that sleeps until its requests have
// drained costs nothing anyway.
func (g *ground) away(ctx context.Context, name string, k kind, wait bool) error {
	if err := k.remove(ctx, name); err != nil || !wait {
		return err
	}
	return g.AwaitNoPods(ctx, g.namespace, "serving.knative.dev/service="+name)
}

// changes measures an edit of a function that serves.
func (g *ground) changes(ctx context.Context) (all []time.Duration, err error) {
	k := g.functions()
	if err := k.create(ctx, "edited"); err != nil {
		return nil, err
	}
	key := test.Key(&metav1.ObjectMeta{Namespace: g.namespace, Name: "edited"})
	if _, err := g.AwaitFunction(ctx, key, "Ready", (*v1alpha1.LambdaFunction).IsReady); err != nil {
		return nil, err
	}
	client := g.Lambda.LambdaV1alpha1().LambdaFunctions(g.namespace)
	for i := range g.o.rebuilds {
		f, err := client.Get(ctx, "edited", metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		took, err := g.measure(ctx, []string{f.Name}, f.Generation+1, k, func(ctx context.Context) error {
			f.Spec.Source.Inline.Code = g.code(fmt.Sprint("change ", i))
			_, err := client.Update(ctx, f, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, took)
	}
	return all, g.away(ctx, "edited", k, false)
}

// each does something for all names at once.
func each(names []string, do func(string) error) error {
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { errs[i] = do(name) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
