// Command agent measures how long an event takes from a broker to a warm agent, beside
// a bare Knative Trigger to a bare Knative Service: the same broker, the same image, one
// event at a time, in turns.
//
//	eval "$(go run ./hack/cluster env)"
//	go run ./test/perf/agent
//
// It needs KUBECONFIG of a cluster of one node (times are compared across pods) with
// the operator, Knative Eventing and RabbitMQ. A function in the cluster sends the
// events.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

type options struct {
	rounds, events int
	pause          time.Duration
	most           float64
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 6, "measurements of each, in turns")
	flag.IntVar(&o.events, "events", 200, "events of a measurement")
	flag.DurationVar(&o.pause, "pause", 10*time.Millisecond, "between two events")
	flag.Float64Var(&o.most, "most", 0, "fail if the ratio of the medians is above; 0 never fails")
	flag.Parse()
	program.Main(func(ctx context.Context) error { return run(ctx, &o) })
}

func run(ctx context.Context, o *options) (err error) {
	clients, err := test.NewClients()
	if err != nil {
		return err
	}
	g, err := newGround(ctx, clients)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.remove()) }()
	took := map[string][]time.Duration{}
	for round := range o.rounds + 1 {
		for _, to := range []string{agent, bare} {
			all, err := g.measure(ctx, to, o)
			if err != nil {
				return fmt.Errorf("events to %s: %w", to, err)
			}
			if round > 0 { // the first warms up
				took[to] = append(took[to], all...)
			}
		}
	}
	fmt.Printf("%-28s %10s %10s\n", fmt.Sprintf("broker to, %d events", o.rounds*o.events), "p50", "p99")
	for _, to := range []struct{ key, name string }{{agent, "warm agent"}, {bare, "bare Trigger and Service"}} {
		fmt.Printf("%-28s %10v %10v\n", to.name, program.Quantile(took[to.key], 50), program.Quantile(took[to.key], 99))
	}
	ratio := program.Quantile(took[agent], 50).Seconds() / program.Quantile(took[bare], 50).Seconds()
	fmt.Printf("ratio of the medians %.2f, of p99 %.2f\n", ratio, program.Quantile(took[agent], 99).Seconds()/program.Quantile(took[bare], 99).Seconds())
	if o.most > 0 && ratio > o.most {
		return fmt.Errorf("the ratio of the medians is %.2f, expected at most %.2f", ratio, o.most)
	}
	return nil
}
