// Command ready measures how long a function takes from apply to Ready, its first
// build included, beside a bare Knative Service with an equal pod: one at a time in
// turns, many at once, and after a change of one line.
//
//	eval "$(go run ./hack/cluster env)"
//	go run ./test/perf/ready
//
// It needs KUBECONFIG of a cluster with the operator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

type options struct {
	runs, rebuilds   int
	crowd, crowds    int
	version          string
	pause            time.Duration
	most, mostAtOnce float64
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 10, "measurements of each, in turns; the median counts")
	flag.IntVar(&o.crowd, "crowd", 30, "how many are applied at once; 0 leaves it out")
	flag.IntVar(&o.crowds, "crowds", 3, "measurements of each at once, in turns; the median counts")
	flag.IntVar(&o.rebuilds, "rebuilds", 5, "measurements of a change of one line")
	flag.StringVar(&o.version, "version", "", "of Python; default the newest")
	flag.DurationVar(&o.pause, "pause", 2*time.Second, "between measurements, for what the last one has left to do")
	flag.Float64Var(&o.most, "most", 0, "fail if the ratio to the bare Service is above; 0 never fails")
	flag.Float64Var(&o.mostAtOnce, "most-at-once", 0, "the same for many at once")
	flag.Parse()
	program.Main(func(ctx context.Context) error { return run(ctx, &o) })
}

func run(ctx context.Context, o *options) (err error) {
	clients, err := test.NewClients()
	if err != nil {
		return err
	}
	g, err := newGround(ctx, clients, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.remove()) }()
	fmt.Printf("first function of all, with the runtime's layer made: %v\n\n", g.first.Round(time.Millisecond))
	one, err := g.alone(ctx)
	if err != nil {
		return err
	}
	changes, err := g.changes(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("a change of one line, to Ready of its revision: %s\n", spread(changes))
	if one > o.most && o.most > 0 {
		err = fmt.Errorf("the ratio of one at a time is %.2f, expected at most %.2f", one, o.most)
	}
	if o.crowd == 0 || o.crowds == 0 {
		return err
	}
	many, crowdErr := g.atOnce(ctx)
	if crowdErr == nil && many > o.mostAtOnce && o.mostAtOnce > 0 {
		crowdErr = fmt.Errorf("the ratio of %d at once is %.2f, expected at most %.2f", o.crowd, many, o.mostAtOnce)
	}
	return errors.Join(err, crowdErr)
}

// alone measures one function and one Service at a time, in turns.
func (g *ground) alone(ctx context.Context) (float64, error) {
	var functions, services []time.Duration
	for i := range g.o.runs {
		took, err := g.race(ctx, 1, fmt.Sprintf("f%d", i), g.functions())
		if err != nil {
			return 0, err
		}
		functions = append(functions, took)
		if took, err = g.race(ctx, 1, fmt.Sprintf("s%d", i), g.services()); err != nil {
			return 0, err
		}
		services = append(services, took)
	}
	fmt.Printf("apply to Ready, %d runs of each in turns\n  %-24s%s\n  %-24s%s\n", g.o.runs, "function, code new", spread(functions), "bare Service", spread(services))
	ratio := median(functions).Seconds() / median(services).Seconds()
	fmt.Printf("  ratio of the medians    %.2f\n\n", ratio)
	return ratio, nil
}

// atOnce measures many functions, then as many Services, in turns.
func (g *ground) atOnce(ctx context.Context) (float64, error) {
	var functions, services []time.Duration
	for i := range g.o.crowds {
		took, err := g.race(ctx, g.o.crowd, fmt.Sprintf("fc%d", i), g.functions())
		if err != nil {
			return 0, err
		}
		functions = append(functions, took)
		if took, err = g.race(ctx, g.o.crowd, fmt.Sprintf("sc%d", i), g.services()); err != nil {
			return 0, err
		}
		services = append(services, took)
	}
	fmt.Printf("\n%d at once, apply of the first to Ready of the last, %d runs of each in turns\n  %-24s%s\n  %-24s%s\n",
		g.o.crowd, g.o.crowds, "functions, code new", spread(functions), "bare Services", spread(services))
	ratio := median(functions).Seconds() / median(services).Seconds()
	fmt.Printf("  ratio of the medians    %.2f\n", ratio)
	return ratio, nil
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "not measured"
	}
	return fmt.Sprintf("median %v, %v to %v", median(all).Round(time.Millisecond), slices.Min(all).Round(time.Millisecond), slices.Max(all).Round(time.Millisecond))
}

// isReady of what a watch shows: its newest generation serves.
func isReady(o any) bool {
	switch o := o.(type) {
	case *v1alpha1.LambdaFunction:
		return o.IsReady()
	case *servingv1.Service:
		return o.IsReady()
	}
	return false
}
