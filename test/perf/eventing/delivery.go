package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

// Goals, as a share of the other class's figure or its multiple.
const (
	mostLatency   = 0.8
	leastRate     = 1.5
	mostFirst     = 500 * time.Millisecond
	firstOfPlane  = 10 // measurements
	firstOfOther  = 2  // which start a pod each
	sinceCreation = 20 * time.Millisecond
	firstPatience = 90 * time.Second
)

// latency from before an event is posted until the subscriber has it: one that answers
// at once, and one that works for 50 ms.
func (b *bench) latency(ctx context.Context) error {
	g, err := b.newGround(ctx)
	if err != nil {
		return err
	}
	defer g.remove()
	for _, path := range []string{atOnce, waiting} {
		to := map[string]target{}
		got := map[string]*measured{plane: {}, other: {}}
		for _, class := range []string{plane, other} {
			if to[class], err = g.lane(ctx, nameOf(class, path), class, path); err != nil {
				return err
			}
			if err := g.warm(ctx, to[class]); err != nil {
				return err
			}
		}
		for range b.o.rounds {
			for _, class := range []string{plane, other} {
				m, err := b.steady(ctx, to[class])
				if err != nil {
					return fmt.Errorf("%s: %w", class, err)
				}
				got[class].add(m)
			}
		}
		what := fmt.Sprintf("%d events/s to a subscriber that answers at once", b.o.rate)
		if path == waiting {
			what = fmt.Sprintf("%d events/s to a subscriber that works for %v", b.o.rate, work)
		}
		b.table.latencies(what, got[plane].arrived, got[other].arrived, mostLatency)
		b.table.latencies("  until they are accepted", got[plane].posts, got[other].posts, 0)
	}
	return nil
}

// nameOf a Broker: classes and paths have letters that names have not.
func nameOf(class, path string) string {
	return map[string]string{plane: "plane", other: "other"}[class] + "-" + path[1:]
}

// saturation: events a second from the first post until the last arrival.
func (b *bench) saturation(ctx context.Context) error {
	g, err := b.newGround(ctx)
	if err != nil {
		return err
	}
	defer g.remove()
	rates := map[string][]float64{}
	to := map[string]target{}
	for _, class := range []string{plane, other} {
		if to[class], err = g.lane(ctx, nameOf(class, atOnce), class, atOnce); err != nil {
			return err
		}
		if err := g.warm(ctx, to[class]); err != nil {
			return err
		}
	}
	for range b.o.rounds {
		for _, class := range []string{plane, other} {
			source := newSource()
			arrivals := b.expect(source, b.o.events)
			began := time.Now()
			refused, err := b.flood(ctx, to[class], source, b.o.events)
			if err == nil {
				err = arrivals.await(ctx)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", class, err)
			}
			if refused > 0 {
				b.table.note("  posts that "+class+" refused", fmt.Sprint(refused), "")
			}
			rates[class] = append(rates[class], float64(b.o.events)/arrivals.last.Sub(began).Seconds())
		}
	}
	b.table.rates(fmt.Sprintf("%d events at once, parallelism %s", b.o.events, parallelism), slices.Max(rates[plane]), slices.Max(rates[other]), leastRate)
	return nil
}

// first: how long after a Trigger is made its first event arrives.
func (b *bench) first(ctx context.Context) error {
	g, err := b.newGround(ctx)
	if err != nil {
		return err
	}
	defer g.remove()
	took := map[string][]time.Duration{}
	times := map[string]int{plane: firstOfPlane, other: firstOfOther}
	for _, class := range []string{plane, other} {
		name := nameOf(class, atOnce)
		to, err := g.lane(ctx, name, class, atOnce)
		if err != nil {
			return err
		}
		if err := g.warm(ctx, to); err != nil {
			return err
		}
		for i := range times[class] {
			after, err := g.firstDelivery(ctx, trigger{fmt.Sprintf("%s-%d", name, i), name, fmt.Sprintf("%s.%d", to.eventType, i), atOnce}, to.url)
			if err != nil {
				return fmt.Errorf("%s: %w", class, err)
			}
			took[class] = append(took[class], after)
		}
	}
	b.table.within("a Trigger's first delivery, slowest of "+fmt.Sprint(firstOfPlane), slices.Max(took[plane]), mostFirst, text(slices.Max(took[other])))
	b.table.compare("  median", program.Quantile(took[plane], 50), program.Quantile(took[other], 50), 0)
	return nil
}

// firstDelivery posts events of the Trigger's type since it is made.
func (g *ground) firstDelivery(ctx context.Context, t trigger, url string) (time.Duration, error) {
	source := newSource()
	most := int(firstPatience / sinceCreation)
	arrivals := g.expect(source, most)
	began := time.Now()
	if err := g.makeTrigger(ctx, t); err != nil {
		return 0, err
	}
	for n := range most {
		if err := g.post(ctx, target{url, t.eventType}, source, n); err != nil {
			return 0, err
		}
		if err := sleep(ctx, sinceCreation); err != nil {
			return 0, err
		}
		if at := arrivals.firstAt(); !at.IsZero() {
			return at.Sub(began), nil
		}
	}
	return 0, fmt.Errorf("no event of type %s has arrived within %v", t.eventType, firstPatience)
}
