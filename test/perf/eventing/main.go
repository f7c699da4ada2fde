// Command eventing measures the event plane (class LambdaBroker) beside Knative's Broker
// on RabbitMQ (class RabbitMQBroker): on the same RabbitMQ, with the same subscriber, in
// turns.
//
//	eval "$(go run ./hack/cluster env)"
//	go run ./test/perf/eventing
//	go run ./test/perf/eventing -parts latency,saturation
//
// It needs the local cluster with the operator and --with=eventing: this program is the
// subscriber, which pods reach at the address of the cluster's only node, and what the
// controller writes is read from the API server's audit log.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

type options struct {
	parts            string
	rounds, rate     int
	window, patience time.Duration
	events, backlog  int
	triggers         int
	strict           bool
}

type part struct {
	name    string
	measure func(*bench, context.Context) error
}

// parts in the order in which they are measured: the last leaves most to be deleted.
var parts = []part{
	{"agents", (*bench).agents},
	{"latency", (*bench).latency},
	{"saturation", (*bench).saturation},
	{"first", (*bench).first},
	{"tenants", (*bench).tenants},
	{"triggers", (*bench).triggers},
}

func main() {
	var o options
	flag.StringVar(&o.parts, "parts", "agents,latency,saturation,first,tenants,triggers", "what to measure, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 2, "measurements of latency for each class, in turns")
	flag.IntVar(&o.rate, "rate", 100, "events a second where latency is measured")
	flag.DurationVar(&o.window, "window", 15*time.Second, "of a measurement of latency")
	flag.IntVar(&o.events, "events", 10_000, "events of a measurement of saturation")
	flag.IntVar(&o.backlog, "backlog", 10_000, "events that wait behind a subscriber that hangs")
	flag.IntVar(&o.triggers, "triggers", 1000, "Triggers of the largest Brokers, beside a tenth of them")
	flag.DurationVar(&o.patience, "patience", 15*time.Minute, "for all of it")
	flag.BoolVar(&o.strict, "strict", false, "fail if a goal is missed")
	flag.Parse()
	program.Main(func(ctx context.Context) error { return run(ctx, &o) })
}

func run(ctx context.Context, o *options) (err error) {
	wanted := strings.Split(o.parts, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-parts: there is no part %q", name)
		}
	}
	clients, err := test.NewClients()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.patience)
	defer cancel()
	b, err := newBench(ctx, clients, o)
	if err != nil {
		return err
	}
	defer b.close()
	var errs []error
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		began := time.Now()
		if err := p.measure(b, ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
		fmt.Fprintf(os.Stderr, "%s took %v\n", p.name, time.Since(began).Round(time.Second))
	}
	fmt.Print(b.table.String())
	if n := b.table.missed(); o.strict && n > 0 {
		errs = append(errs, fmt.Errorf("%d goals are missed", n))
	}
	return errors.Join(errs...)
}
