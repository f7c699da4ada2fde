package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/kubelet"
)

// What is applied at once, and the goals for it.
const (
	agentCount, subscriptions, forwards = 45, 226, 9

	mostReady = 15 * time.Second
	mostPods  = 2
	mostMiB   = 150
	// shareBrokers and shareTriggers of all are made of both classes: all would be more
	// pods of the other than a node takes.
	shareBrokers, shareTriggers = 3, 15
)

// agents that are applied at once until all are Ready, and beside them the same agents
// without events: the difference is what their Brokers and Triggers take.
func (b *bench) agents(ctx context.Context) error {
	if _, err := b.log.Take(); err != nil {
		return err
	}
	bare, err := b.applyAgents(ctx, false)
	if err != nil {
		return fmt.Errorf("without events: %w", err)
	}
	alone, err := b.log.Take()
	if err != nil {
		return err
	}
	took, err := b.applyAgents(ctx, true)
	if err != nil {
		return err
	}
	written, err := b.log.Take()
	if err != nil {
		return err
	}
	b.table.within(fmt.Sprintf("%d agents, %d subscriptions, %d forwards Ready (and without events)", agentCount, subscriptions, forwards), took.ready, mostReady, text(bare.ready))
	b.table.note("  writes of the controller", fmt.Sprint(written.Total()), fmt.Sprint(alone.Total()))
	b.table.add(row{what: "  pods", plane: fmt.Sprint(took.pods), goal: fmt.Sprintf("≤ %d", mostPods), missed: took.pods > mostPods})
	b.table.add(row{what: "  memory of these pods", plane: mebibytes(took.rss), goal: fmt.Sprintf("≤ %d MiB", mostMiB), missed: took.rss > mostMiB<<20})
	return b.shares(ctx)
}

// plumbed is what Brokers and Triggers take.
type plumbed struct {
	ready time.Duration
	pods  int
	rss   int64
}

func (b *bench) agent(i int, events bool) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("agent-%d", i)}}
	a.Spec.Image = v1alpha1.ImageReference{Repository: "ko.local/nowhere/agent", Tag: "1"} // a registry whose tags Knative Serving does not resolve
	a.Spec.Scaling.MinReplicas, a.Spec.Scaling.InitialScale = ptr.Int32(0), ptr.Int32(0)
	if !events {
		return a
	}
	a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true, Intents: []string{fmt.Sprintf("io.example.perf.agent-%d.said", i)}}
	for k := i; k < subscriptions; k += agentCount {
		a.Spec.Eventing.Subscriptions = append(a.Spec.Eventing.Subscriptions, v1alpha1.AgentSubscription{EventType: fmt.Sprintf("io.example.perf.%d", k)})
	}
	if i < forwards {
		a.Spec.Eventing.Forwards = []v1alpha1.AgentForward{{EventTypes: a.Spec.Eventing.Intents, TargetAgent: fmt.Sprintf("agent-%d", i+forwards)}}
	}
	return a
}

// applyAgents in a namespace without pods: they are Ready at scale 0.
func (b *bench) applyAgents(ctx context.Context, events bool) (*plumbed, error) {
	namespace, err := b.newNamespace(ctx)
	if err != nil {
		return nil, err
	}
	defer b.remove(namespace)
	if _, err := b.Kube.CoreV1().ResourceQuotas(namespace).Create(ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "no-pods"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	client := b.Lambda.LambdaV1alpha1().LambdaAgents(namespace)
	began := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range agentCount {
		group.Go(func() error {
			_, err := client.Create(groupCtx, b.agent(i, events), metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := b.awaitAgents(ctx, namespace); err != nil {
		return nil, err
	}
	p := &plumbed{ready: time.Since(began)}
	if !events {
		return p, nil
	}
	if err := b.awaitTriggers(ctx, namespace, subscriptions+forwards); err != nil {
		return nil, err
	}
	p.ready = time.Since(began)
	pods, err := b.planePods(ctx)
	if err != nil {
		return nil, err
	}
	return p, p.weigh(ctx, b, pods)
}

func (p *plumbed) weigh(ctx context.Context, b *bench, pods []corev1.Pod) (err error) {
	p.pods = len(pods)
	if err := sleep(ctx, statsAge); err != nil {
		return err
	}
	p.rss, err = kubelet.RSS(ctx, b.Kube, pods...)
	return err
}

func (b *bench) awaitAgents(ctx context.Context, namespace string) error {
	ready := 0
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, test.Patience, true, func(ctx context.Context) (bool, error) {
		all, err := b.Lambda.LambdaV1alpha1().LambdaAgents(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		ready = 0
		for i := range all.Items {
			if a := &all.Items[i]; a.Status.ObservedGeneration == a.Generation && a.IsReady() {
				ready++
			}
		}
		return ready == agentCount, nil
	})
	if err != nil {
		return fmt.Errorf("%d of %d agents are Ready: %w", ready, agentCount, err)
	}
	return nil
}

// shares makes the same Brokers and Triggers of both classes.
func (b *bench) shares(ctx context.Context) error {
	got := map[string]*plumbed{}
	for _, class := range []string{plane, other} {
		var err error
		if got[class], err = b.share(ctx, class); err != nil {
			return fmt.Errorf("%s: %w", class, err)
		}
	}
	p, o := got[plane], got[other]
	const factor = float64(subscriptions+forwards) / shareTriggers
	b.table.compare(fmt.Sprintf("%d Brokers and %d Triggers Ready", shareBrokers, shareTriggers), p.ready, o.ready, 0)
	b.table.note("  pods", fmt.Sprint(p.pods), fmt.Sprintf("%d, for all of the above %.0f", o.pods, factor*float64(o.pods)))
	b.table.note("  memory of these pods", mebibytes(p.rss), fmt.Sprintf("%s, for all of the above %s", mebibytes(o.rss), mebibytes(int64(factor*float64(o.rss)))))
	return nil
}

func (b *bench) share(ctx context.Context, class string) (*plumbed, error) {
	g, err := b.newGround(ctx)
	if err != nil {
		return nil, err
	}
	defer g.remove()
	deadLetters := func(t *eventingv1.Trigger) { // as each Trigger of a function has
		sink := g.destination(atOnce)
		t.Spec.Delivery = &eventingduckv1.DeliverySpec{DeadLetterSink: &sink, Retry: ptr.Int32(1)}
	}
	var all []trigger
	for i := range shareTriggers {
		all = append(all, trigger{fmt.Sprintf("trigger-%d", i), fmt.Sprintf("broker-%d", i%shareBrokers), fmt.Sprintf("io.example.perf.%d", i), atOnce})
	}
	began := time.Now()
	for i := range shareBrokers {
		if err := g.makeBroker(ctx, fmt.Sprintf("broker-%d", i), class); err != nil {
			return nil, err
		}
	}
	if err := g.makeTriggers(ctx, all, deadLetters); err != nil {
		return nil, err
	}
	if err := b.awaitTriggers(ctx, g.namespace, shareTriggers); err != nil {
		return nil, err
	}
	p := &plumbed{ready: time.Since(began)}
	pods, err := g.plumbing(ctx, class)
	if err != nil {
		return nil, err
	}
	return p, p.weigh(ctx, b, pods)
}
