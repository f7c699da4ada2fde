// Command mesh measures how long agents that all talk to each other take from apply
// until each is joined with each, what the operator writes meanwhile, and that a
// resync writes nothing.
//
//	eval "$(go run ./hack/cluster env)"
//	go run ./test/perf/mesh
//
// It needs KUBECONFIG of a cluster with the operator and the kinds of Knative Eventing
// and RabbitMQ. No pod runs in its namespace, as each of thousands of Triggers would
// have two: what is measured is the operator with the API server and its webhooks.
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
	agents, peers int
	most, settle  time.Duration
	quiet         time.Duration
	ratio         float64
}

func main() {
	var o options
	flag.IntVar(&o.agents, "agents", 50, "how many")
	flag.IntVar(&o.peers, "peers", 0, "how many others each of them receives from; 0 is all")
	flag.DurationVar(&o.most, "most", 0, "fail if they are joined later than that; 0 never fails")
	flag.DurationVar(&o.settle, "settle", 30*time.Second, "for how long nothing is written before the resync")
	flag.DurationVar(&o.quiet, "quiet", 30*time.Second, "for how long nothing may be written after the resync")
	flag.Float64Var(&o.ratio, "ratio", 0, "fail if that takes more than so many times what the same objects take by a client; 0 never fails")
	flag.Parse()
	if o.peers <= 0 || o.peers >= o.agents {
		o.peers = o.agents - 1
	}
	program.Main(func(ctx context.Context) error { return run(ctx, &o) })
}

func run(ctx context.Context, o *options) (err error) {
	clients, err := test.NewClients()
	if err != nil {
		return err
	}
	m, err := newMesh(ctx, clients, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.remove()) }()
	began := time.Now()
	if err := m.create(ctx); err != nil {
		return err
	}
	fmt.Printf("%d agents, each of which receives from %d others\n  created                 %v\n", o.agents, o.peers, time.Since(began).Round(time.Millisecond))
	if err := m.joined(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("  every Trigger made      %v, %d Triggers\n", took.Round(time.Millisecond), m.triggers())
	if err := m.settled(ctx); err != nil {
		return err
	}
	fmt.Printf("  writes until it is still\n%s", m.writes.take())
	if err := m.resync(ctx); err != nil {
		return err
	}
	written := m.writes.take()
	fmt.Printf("  writes in the %v after a resync: %d\n%s", o.quiet, written.Total(), written)
	if written.Total() > 0 {
		return errors.New("a resync of what is as it should be wrote something")
	}
	alone, err := m.without(ctx)
	if err != nil {
		return err
	}
	ratio := took.Seconds() / alone.Seconds()
	fmt.Printf("  the same objects by a client that makes %d at once: %v; the operator takes %.2f times as long\n", creators, alone.Round(time.Millisecond), ratio)
	switch {
	case o.ratio > 0 && ratio > o.ratio:
		return fmt.Errorf("the agents took %.2f times as long, expected %.2f at most", ratio, o.ratio)
	case o.most > 0 && took > o.most:
		return fmt.Errorf("the agents were joined after %v, expected %v at most", took, o.most)
	}
	return nil
}
