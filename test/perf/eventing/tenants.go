package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/kubelet"
	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

const (
	// mostSlower is how many times the latency may be that of an idle plane.
	mostSlower = 1.2
	// mostOfNamespace is how many Triggers of a namespace may have queues.
	mostOfNamespace = 500
	// statsAge is how old the kubelet's figures may be.
	statsAge = 16 * time.Second
)

// tenants: the latency of one namespace without and with events of another that wait
// behind a subscriber which never answers.
func (b *bench) tenants(ctx context.Context) error {
	for _, class := range []string{plane, other} {
		without, with, err := b.besideBacklog(ctx, class)
		if err != nil {
			return fmt.Errorf("%s: %w", class, err)
		}
		if class == plane {
			b.table.latencies(fmt.Sprintf("beside %d events of another namespace (and without)", b.o.backlog), with.arrived, without.arrived, mostSlower)
			continue
		}
		for _, percent := range []int{50, 99} {
			b.table.note(fmt.Sprintf("  the same with %s (and without), p%d", class, percent),
				text(program.Quantile(with.arrived, percent)), text(program.Quantile(without.arrived, percent)))
		}
	}
	return nil
}

func (b *bench) besideBacklog(ctx context.Context, class string) (without, with *measured, err error) {
	quiet, err := b.newGround(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer quiet.remove()
	busy, err := b.newGround(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer busy.remove()
	to, err := quiet.lane(ctx, "quiet", class, atOnce)
	if err == nil {
		err = quiet.warm(ctx, to)
	}
	if err != nil {
		return nil, nil, err
	}
	at, err := busy.lane(ctx, "busy", class, hanging)
	if err == nil {
		err = busy.warm(ctx, at)
	}
	defer b.release()
	if err != nil {
		return nil, nil, err
	}
	if without, err = b.steady(ctx, to); err != nil {
		return nil, nil, err
	}
	if _, err := b.flood(ctx, at, newSource(), b.o.backlog); err != nil {
		return nil, nil, err
	}
	with, err = b.steady(ctx, to)
	deleted := b.Eventing.EventingV1().Triggers(busy.namespace).Delete(context.WithoutCancel(ctx), "busy", metav1.DeleteOptions{})
	return without, with, errors.Join(err, deleted)
}

// triggers: how long the ingress takes, and what the plane holds, with a tenth of the
// Triggers and with all of them. A namespace has at most 500 Triggers with queues: they
// are on as few Brokers as have room for them, and events go to the first.
func (b *bench) triggers(ctx context.Context) error {
	var grounds []*ground
	defer func() {
		for _, g := range grounds {
			g.remove()
		}
		b.gone(ctx, grounds)
	}()
	var urls []string
	for range (b.o.triggers + mostOfNamespace - 1) / mostOfNamespace {
		g, err := b.newGround(ctx)
		if err != nil {
			return err
		}
		grounds = append(grounds, g)
		url, err := g.broker(ctx, "default", plane)
		if err != nil {
			return err
		}
		urls = append(urls, url)
	}
	share := b.o.triggers / len(grounds)
	few, err := b.withTriggers(ctx, grounds, urls[0], 0, share/10)
	if err != nil {
		return err
	}
	many, err := b.withTriggers(ctx, grounds, urls[0], share/10, share)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("ingress with %d Triggers on %d Brokers (and with a tenth)", share*len(grounds), len(grounds))
	b.table.compare(what+", p50", program.Quantile(many.posts, 50), program.Quantile(few.posts, 50), 0)
	b.table.compare(what+", p99", program.Quantile(many.posts, 99), program.Quantile(few.posts, 99), mostSlower)
	b.table.note("  memory of the plane", mebibytes(many.rss), mebibytes(few.rss))
	b.table.note("  all Triggers Ready after", text(many.ready), text(few.ready))
	return nil
}

// crowd is what was measured with so many Triggers.
type crowd struct {
	*measured
	rss   int64
	ready time.Duration
}

// withTriggers makes those of each Broker up to a number, of which each has a type of its
// own, and measures events of the first.
func (b *bench) withTriggers(ctx context.Context, grounds []*ground, url string, from, to int) (*crowd, error) {
	began := time.Now()
	for _, g := range grounds {
		var all []trigger
		for i := from; i < to; i++ {
			all = append(all, trigger{fmt.Sprintf("trigger-%d", i), "default", fmt.Sprintf("io.example.perf.%d", i), atOnce})
		}
		if err := g.makeTriggers(ctx, all); err != nil {
			return nil, err
		}
	}
	for _, g := range grounds {
		if err := b.awaitTriggers(ctx, g.namespace, to); err != nil {
			return nil, err
		}
	}
	c := &crowd{ready: time.Since(began)}
	at := target{url, "io.example.perf.0"}
	err := grounds[0].warm(ctx, at)
	if err == nil {
		err = sleep(ctx, statsAge) // what the Triggers brought is over, too
	}
	if err != nil {
		return nil, err
	}
	if c.measured, err = b.steady(ctx, at); err != nil {
		return nil, err
	}
	pods, err := b.planePods(ctx)
	if err != nil {
		return nil, err
	}
	c.rss, err = kubelet.RSS(ctx, b.Kube, pods...)
	return c, err
}

// gone waits until namespaces are deleted, so that nothing of them slows what comes next.
func (b *bench) gone(ctx context.Context, grounds []*ground) {
	for _, g := range grounds {
		err := wait.PollUntilContextTimeout(ctx, time.Second, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
			_, err := b.Kube.CoreV1().Namespaces().Get(ctx, g.namespace, metav1.GetOptions{})
			return apierrs.IsNotFound(err), utilerrors.FilterOut(err, apierrs.IsNotFound)
		})
		if err != nil {
			fmt.Printf("namespace %s is still being deleted: %v\n", g.namespace, err)
		}
	}
}
