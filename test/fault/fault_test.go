//go:build fault

// Package fault breaks what the operator stands on, one thing after another, while
// images are built and functions serve. Each time all has to be settled again without
// help. It needs the local cluster: LAMBDA_CLUSTER is its program.
package fault

import (
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
	// begin breaks it, and end mends it after it has lasted so long; nil where it mends
	// itself.
	begin, end func(ctx context.Context) error
	lasts      time.Duration
}

// result of a fault.
type result struct {
	fault
	settled          time.Duration
	requests, failed int
	err              error
}

// faults in the order in which they are tried.
func (w *world) faults() []fault {
	return []fault{
		{"the API server is restarted", w.cluster("restart", "apiserver"), nil, 0},
		{"etcd is paused", w.cluster("pause", "etcd"), w.cluster("resume", "etcd"), 20 * time.Second},
		{"the controller is cut off from the API server", w.cluster("cut"), w.cluster("mend"), 40 * time.Second},
		{"the registry is down", w.cluster("stop", "registry"), w.cluster("start", "registry"), 30 * time.Second},
		{"RabbitMQ is down", w.cluster("stop", "rabbitmq"), w.cluster("start", "rabbitmq"), 30 * time.Second},
		{"the webhook is down", w.scale("knative-lambda-webhook", 0), w.reviveWebhook, 75 * time.Second},
		{"the leader is killed", w.killLeader, nil, 0},
		{"the node's kubelet is restarted", w.cluster("restart", "kubelet"), nil, 0},
	}
}

// TestFaults prints a table of how long each took to settle once it was mended.
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
				t.Errorf("not settled within %v: %v", patience, r.err)
			}
		})
	}
	fmt.Print(report(results))
}

func report(results []result) string {
	var out strings.Builder
	out.WriteString("| fault | lasted | settled after | requests meanwhile | of them failed |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		lasted, settled := "-", "never"
		if r.lasts > 0 {
			lasted = r.lasts.String()
		}
		if r.err == nil {
			settled = r.settled.Round(100 * time.Millisecond).String()
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %d | %d |\n", r.name, lasted, settled, r.requests, r.failed)
	}
	return out.String()
}

// suffer a fault that begins while images are built, and wait until all is settled. What
// is broken is mended whatever happens.
func (w *world) suffer(t *testing.T, i int, f fault) (r result) {
	ctx := t.Context()
	r.fault = f
	probes, err := w.deployProbes(ctx, i)
	if err != nil {
		t.Fatal(err)
	}
	load := w.StartLoad(ctx, w.steady.Status.URL)
	defer func() { r.requests, r.failed, _ = load.Stop() }()
	if err := f.begin(ctx); err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	if f.end != nil {
		select {
		case <-time.After(f.lasts):
		case <-ctx.Done():
		}
		if err := f.end(context.WithoutCancel(ctx)); err != nil {
			t.Fatalf("%s: it cannot be mended: %v", f.name, err)
		}
	}
	mended := time.Now()
	r.err = w.awaitSettled(ctx, probes)
	r.settled = time.Since(mended)
	return r
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
