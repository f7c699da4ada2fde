package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	subscriberName = "subscriber"
	// creators apply objects at once.
	creators = 8
	// parallelism of all Triggers.
	parallelism = "100"
)

// ground is a namespace with a Service that leads to the subscriber. The event plane
// delivers to Services of the Trigger's namespace, and takes the node for one of its pods:
// a pod that does nothing has the node's network.
type ground struct {
	*bench
	namespace string
}

func (b *bench) newGround(ctx context.Context) (*ground, error) {
	namespace, err := b.newNamespace(ctx)
	if err != nil {
		return nil, err
	}
	g := &ground{b, namespace}
	if err := g.serve(ctx); err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

func (b *bench) newNamespace(ctx context.Context) (string, error) {
	namespace, err := b.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "perf-eventing-"}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return namespace.Name, nil
}

func (g *ground) remove() { g.bench.remove(g.namespace) }

// remove a namespace, also where time is over.
func (b *bench) remove(namespace string) {
	if err := b.Kube.CoreV1().Namespaces().Delete(context.Background(), namespace, metav1.DeleteOptions{}); err != nil {
		fmt.Printf("namespace %s is left behind: %v\n", namespace, err)
	}
}

func (g *ground) serve(ctx context.Context) error {
	labels := map[string]string{"app": subscriberName}
	_, err := g.Kube.CoreV1().Services(g.namespace).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: subscriberName}, Spec: corev1.ServiceSpec{
		Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt(g.port)}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := g.AwaitDefaults(ctx, g.namespace); err != nil {
		return err
	}
	_, err = g.Kube.CoreV1().Pods(g.namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: subscriberName, Labels: labels}, Spec: corev1.PodSpec{
		HostNetwork: true, TerminationGracePeriodSeconds: ptr.Int64(1), Containers: []corev1.Container{{Name: "idle", Image: g.idle}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = g.AwaitPod(ctx, types.NamespacedName{Namespace: g.namespace, Name: subscriberName}, "ready", test.PodReady)
	return err
}

// broker makes one of a class, waits until it is ready, and returns its URL.
func (g *ground) broker(ctx context.Context, name, class string) (string, error) {
	if err := g.makeBroker(ctx, name, class); err != nil {
		return "", err
	}
	ready, err := g.AwaitBroker(ctx, types.NamespacedName{Namespace: g.namespace, Name: name})
	if err != nil {
		return "", err
	}
	return ready.Status.Address.URL.String(), nil
}

func (g *ground) makeBroker(ctx context.Context, name, class string) error {
	_, err := g.Eventing.EventingV1().Brokers(g.namespace).Create(ctx, &eventingv1.Broker{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{eventingv1.BrokerClassAnnotationKey: class}},
	}, metav1.CreateOptions{})
	return err
}

// trigger of a Broker that takes events of the type, to a path of the subscriber.
type trigger struct{ name, broker, eventType, path string }

func (g *ground) destination(path string) duckv1.Destination {
	return duckv1.Destination{URI: &apis.URL{Path: path}, Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: g.namespace, Name: subscriberName}}
}

func (g *ground) makeTrigger(ctx context.Context, t trigger, change ...func(*eventingv1.Trigger)) error {
	o := &eventingv1.Trigger{
		ObjectMeta: metav1.ObjectMeta{Name: t.name, Annotations: map[string]string{lambda.ParallelismAnnotationKey: parallelism}},
		Spec: eventingv1.TriggerSpec{
			Broker: t.broker, Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": t.eventType}}, Subscriber: g.destination(t.path),
		},
	}
	for _, c := range change {
		c(o)
	}
	_, err := g.Eventing.EventingV1().Triggers(g.namespace).Create(ctx, o, metav1.CreateOptions{})
	return err
}

// make all Triggers at once.
func (g *ground) makeTriggers(ctx context.Context, all []trigger, change ...func(*eventingv1.Trigger)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for _, t := range all {
		group.Go(func() error { return g.makeTrigger(ctx, t, change...) })
	}
	return group.Wait()
}

// awaitTriggers of the namespace: so many at least, and all of them ready.
func (b *bench) awaitTriggers(ctx context.Context, namespace string, wanted int) error {
	ready := 0
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		all, err := b.Eventing.EventingV1().Triggers(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		ready = 0
		for i := range all.Items {
			if t := &all.Items[i]; t.Status.ObservedGeneration == t.Generation && t.Status.IsReady() {
				ready++
			}
		}
		return ready == len(all.Items) && ready >= wanted, nil
	})
	if err != nil {
		return fmt.Errorf("%d of %d Triggers are ready: %w", ready, wanted, err)
	}
	return nil
}

// plumbing are the pods that Brokers and Triggers of a class have: those of the event
// plane, or all of the namespace but the subscriber.
func (g *ground) plumbing(ctx context.Context, class string) ([]corev1.Pod, error) {
	if class == plane {
		return g.planePods(ctx)
	}
	all, err := g.Kube.CoreV1().Pods(g.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app!=" + subscriberName})
	if err != nil {
		return nil, err
	}
	return all.Items, nil
}

func (b *bench) planePods(ctx context.Context) ([]corev1.Pod, error) {
	all, err := b.Kube.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: planeSelector})
	if err != nil {
		return nil, err
	}
	return all.Items, nil
}

// lane is a Broker of a class with one Trigger.
func (g *ground) lane(ctx context.Context, name, class, path string) (target, error) {
	url, err := g.broker(ctx, name, class)
	if err != nil {
		return target{}, err
	}
	to := target{url, "io.example.perf." + name}
	if err := g.makeTrigger(ctx, trigger{name, name, to.eventType, path}); err != nil {
		return target{}, err
	}
	return to, g.awaitTriggers(ctx, g.namespace, 1)
}

// warm posts events until one arrives: until then proxies and caches may be behind.
func (g *ground) warm(ctx context.Context, to target) error {
	source := newSource()
	const most = 600
	arrivals := g.expect(source, most)
	var last error
	for n := range most {
		if last = g.post(ctx, to, source, n); last != nil && ctx.Err() != nil {
			break
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			break
		}
		if !arrivals.firstAt().IsZero() {
			return nil
		}
	}
	return fmt.Errorf("no event of type %s has arrived: %w", to.eventType, last)
}
