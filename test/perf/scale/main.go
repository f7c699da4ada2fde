// Command scale measures what many functions and agents cost the operator: how long they
// take until all are settled, what it writes meanwhile, the memory that it holds, and
// that a resync writes nothing.
//
//	eval "$(go run ./hack/cluster env)"
//	go run ./test/perf/scale
//	go run ./test/perf/scale -objects 10000
//
// It needs the local cluster with the operator: what is written is read from its API
// server's audit log. No pod runs in its namespace. Functions share one image, so that
// one is made.
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
	functions, agents int
	ready             bool
	mostMiB           int
	patience          time.Duration
	settle, quiet     time.Duration
}

func main() {
	var o options
	objects := flag.Int("objects", 0, "how many in all, a sixth of them agents: they are settled as soon as the operator has made all that is its own, while Knative Serving's controller is away, and the controller may hold 512 MiB at most")
	flag.IntVar(&o.functions, "functions", 1000, "how many")
	flag.IntVar(&o.agents, "agents", 200, "how many")
	flag.IntVar(&o.mostMiB, "most-memory", 0, "fail if the controller holds more MiB than that; 0 never fails")
	flag.DurationVar(&o.patience, "patience", 2*time.Hour, "for how long they may take")
	flag.DurationVar(&o.settle, "settle", 30*time.Second, "for how long nothing is written before they are settled")
	flag.DurationVar(&o.quiet, "quiet", time.Minute, "for how long nothing may be written after the resync")
	flag.Parse()
	o.ready = *objects == 0
	if *objects > 0 {
		o.agents = *objects / 6
		o.functions = *objects - o.agents
		if o.mostMiB == 0 {
			o.mostMiB = 512
		}
	}
	program.Main(func(ctx context.Context) error { return run(ctx, &o) })
}

func run(ctx context.Context, o *options) (err error) {
	clients, err := test.NewClients()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	w, err := newWorld(ctx, clients, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	before, err := w.memory(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := w.create(ctx); err != nil {
		return err
	}
	fmt.Printf("%d functions, %d agents\n  created                  %v\n", o.functions, o.agents, time.Since(began).Round(time.Second))
	at, err := w.settled(ctx)
	if err != nil {
		return err
	}
	total := float64(o.functions + o.agents)
	fmt.Printf("  settled                  %v\n", at.Sub(began).Round(time.Second))
	written, err := w.log.Take()
	if err != nil {
		return err
	}
	fmt.Printf("  writes per object        %.2f\n%s", float64(written.Total())/total, written)
	after, err := w.memory(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("  controller, before       %v\n  controller, settled      %v\n  for 1000 objects more    %v\n", before, after, after.minus(before).times(1000/total))
	if err := w.resyncs(ctx); err != nil {
		return err
	}
	if peak := after.rss >> 20; o.mostMiB > 0 && peak > int64(o.mostMiB) {
		return fmt.Errorf("the controller holds %d MiB, expected %d at most", peak, o.mostMiB)
	}
	return w.notRestarted(ctx)
}

// resyncs has the operator look at all objects again, which must write nothing.
func (w *world) resyncs(ctx context.Context) error {
	if err := w.resync(ctx); err != nil {
		return err
	}
	written, err := w.log.Take()
	if err != nil {
		return err
	}
	fmt.Printf("  writes in the %v after a resync: %d\n%s", w.o.quiet, written.Total(), written)
	if written.Total() > 0 {
		return errors.New("a resync of what is as it should be wrote something")
	}
	return nil
}
