//go:build fault

// Package fault breaks what the operator stands on, one thing after another, while
// images are built and functions serve. Each time all has to be settled again without
// help. It needs the local cluster: LAMBDA_CLUSTER is its program.
package fault

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test"
)

// fault of something that the operator needs.
type fault struct {
	name string
	// begin breaks it, and end repairs it after it has lasted so long; nil where it repairs
	// itself. meanwhile, if any, has to succeed before the end.
	begin, meanwhile, end func(ctx context.Context) error
	lasts                 time.Duration
	// within is how soon all has to be settled, if not within patience.
	within time.Duration
	// loses says that events are lost: it deletes them.
	loses bool
}

// result of a fault.
type result struct {
	fault
	settled          time.Duration
	requests, failed int
	events, lost     int
	err              error
}

// faults in the order in which they are tried.
func (w *world) faults() []fault {
	return []fault{
		{name: "the API server is restarted", begin: w.cluster("restart", "apiserver")},
		{name: "the API server is down", begin: w.cluster("stop", "apiserver"), meanwhile: w.delivers, end: w.cluster("start", "apiserver"), lasts: 20 * time.Second},
		{name: "etcd is paused", begin: w.cluster("pause", "etcd"), end: w.cluster("resume", "etcd"), lasts: 20 * time.Second},
		{name: "the controller is cut off from the API server", begin: w.cluster("cut"), meanwhile: w.delivers, end: w.cluster("mend"), lasts: 40 * time.Second},
		{name: "the registry is down", begin: w.cluster("stop", "registry"), end: w.cluster("start", "registry"), lasts: 30 * time.Second},
		{name: "RabbitMQ is down", begin: w.cluster("stop", "rabbitmq"), meanwhile: w.refuses, end: w.cluster("start", "rabbitmq"), lasts: 30 * time.Second},
		{name: "RabbitMQ has no disk space", begin: w.cluster("rabbitmqctl", "set_disk_free_limit", "1000000GB"), meanwhile: w.refuses,
			end: w.cluster("rabbitmqctl", "set_disk_free_limit", "100MB"), lasts: 20 * time.Second},
		{name: "the queue of a Trigger is deleted", begin: w.deleteQueues, within: time.Minute, loses: true},
		{name: "the passwords of RabbitMQ are rotated", begin: w.setUp("--rotate"), meanwhile: w.delivers, end: w.setUp(), lasts: 2 * time.Minute},
		{name: "a replica of the broker is killed", begin: w.killReplica, meanwhile: w.delivers},
		{name: "the broker is down", begin: w.scale("knative-lambda-broker", 0), end: w.scale("knative-lambda-broker", 2), lasts: 20 * time.Second},
		{name: "the webhook is down", begin: w.scale("knative-lambda-webhook", 0), meanwhile: w.delivers, end: w.reviveWebhook, lasts: 75 * time.Second},
		{name: "the leader is killed", begin: w.killLeader, meanwhile: w.delivers},
		{name: "the node's kubelet is restarted", begin: w.cluster("restart", "kubelet")},
	}
}

// TestFaults prints a table of how long each took to settle once it was repaired, and what became of
// requests and events meanwhile.
func TestFaults(t *testing.T) {
	program := os.Getenv("LAMBDA_CLUSTER")
	if program == "" {
		t.Fatal("LAMBDA_CLUSTER: missing; expected the program of the local cluster: make fault sets it")
	}
	clients, err := test.NewClients()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, clients, program)
	var results []result
	for i, f := range w.faults() {
		t.Run(f.name, func(t *testing.T) {
			r := w.suffer(t, i, f)
			results = append(results, r)
			if r.err != nil {
				t.Errorf("not settled after %v: %v", r.settled.Round(time.Second), r.err)
			}
			if r.lost > 0 && !f.loses {
				t.Errorf("%d of %d events that were accepted have not been delivered", r.lost, r.events)
			}
		})
	}
	fmt.Print(report(results))
}

func report(results []result) string {
	var out strings.Builder
	out.WriteString("| fault | lasted | settled after | requests meanwhile | of them failed | events accepted | of them lost |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		lasted, settled := "-", "never"
		if r.lasts > 0 {
			lasted = r.lasts.String()
		}
		if r.err == nil {
			settled = r.settled.Round(100 * time.Millisecond).String()
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %d | %d | %d | %d |\n", r.name, lasted, settled, r.requests, r.failed, r.events, r.lost)
	}
	return out.String()
}

// suffer a fault that begins while images are built, and wait until all is settled. What
// is broken is repaired whatever happens.
func (w *world) suffer(t *testing.T, i int, f fault) (r result) {
	ctx := t.Context()
	r.fault = f
	probes, err := w.deployProbes(ctx, i)
	if err != nil {
		t.Fatal(err)
	}
	load, stream := w.StartLoad(ctx, w.steady.Status.URL), w.startStream(ctx)
	defer func() { r.requests, r.failed, _ = load.Stop() }()
	defer stream.stop()
	if err := w.breakAndRepair(ctx, f); err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	repaired := time.Now()
	r.err = w.awaitSettled(ctx, probes, cmp.Or(f.within, patience))
	r.settled = time.Since(repaired)
	accepted := stream.stop()
	r.events = len(accepted)
	if r.err == nil {
		r.lost, r.err = w.lost(ctx, accepted)
	}
	return r
}

func (w *world) breakAndRepair(ctx context.Context, f fault) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	began := time.Now()
	var unexpected error
	if f.meanwhile != nil {
		unexpected = test.Retry(max(f.lasts, 10*time.Second), func() error { return f.meanwhile(ctx) })
	}
	if f.end == nil {
		return unexpected
	}
	select {
	case <-time.After(f.lasts - time.Since(began)):
	case <-ctx.Done():
	}
	if err := f.end(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("it cannot be repaired: %w", err)
	}
	return unexpected
}

// cluster is a command of the local cluster.
func (w *world) cluster(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, w.program, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
}
