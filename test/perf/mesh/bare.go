package main

import (
	"bytes"
	"context"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// bare are the objects that the operator makes for a mesh, as a script would apply them.
type bare map[schema.GroupVersionResource][]*unstructured.Unstructured

// children of the agents, as they are to be in another namespace.
func (m *mesh) children(ctx context.Context, namespace string) (bare, error) {
	made := bare{}
	for _, kind := range childKinds {
		list, err := m.Dynamic.Resource(kind).Namespace(m.namespace).List(ctx, metav1.ListOptions{LabelSelector: lambda.Selector})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			o, err := moved(&list.Items[i], m.namespace, namespace)
			if err != nil {
				return nil, err
			}
			made[kind] = append(made[kind], o)
		}
	}
	return made, nil
}

// moved is an object as it was asked for, in another namespace and without an owner.
func moved(o *unstructured.Unstructured, from, to string) (*unstructured.Unstructured, error) {
	annotations := o.GetAnnotations()
	for key := range annotations { // which admission sets
		if strings.HasSuffix(key, "/creator") || strings.HasSuffix(key, "/lastModifier") {
			delete(annotations, key)
		}
	}
	next := &unstructured.Unstructured{Object: map[string]any{}}
	for key, value := range o.Object {
		if key != "metadata" && key != "status" {
			next.Object[key] = value
		}
	}
	next.SetName(o.GetName())
	next.SetAnnotations(annotations)
	text, err := next.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return next, next.UnmarshalJSON(bytes.ReplaceAll(text, []byte(from), []byte(to)))
}

// apply makes the objects of one kind after those of the other, as many at once as the
// operator does, and returns how long that takes.
func (b bare) apply(ctx context.Context, client dynamic.Interface, namespace string) (time.Duration, error) {
	began := time.Now()
	for _, kind := range childKinds {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(creators)
		for _, o := range b[kind] {
			group.Go(func() error {
				_, err := client.Resource(kind).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// without the operator: how long the same objects take, in a namespace of their own and
// once those of the mesh are gone.
func (m *mesh) without(ctx context.Context) (time.Duration, error) {
	namespace, err := emptyNamespace(ctx, m.Clients)
	if err != nil {
		return 0, err
	}
	defer func() { _ = remove(m.Clients, namespace) }() // what was measured is told
	b, err := m.children(ctx, namespace)
	if err == nil {
		err = m.gone(ctx)
	}
	if err != nil {
		return 0, err
	}
	return b.apply(ctx, m.Dynamic, namespace)
}

// gone removes the mesh and waits until nothing of it is left.
func (m *mesh) gone(ctx context.Context) error {
	if err := remove(m.Clients, m.namespace); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(ctx context.Context) (bool, error) {
		_, err := m.Kube.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
		return apierrs.IsNotFound(err), utilerrors.FilterOut(err, apierrs.IsNotFound)
	})
}

// remove a namespace, if it is there.
func remove(clients *test.Clients, namespace string) error {
	err := clients.Kube.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{})
	return utilerrors.FilterOut(err, apierrs.IsNotFound)
}
