// Command runtime measures the lambda runtime against Flask under gunicorn: the
// same Python handler, interpreter, number of workers, load and processors, in
// turns within one run.
//
//	go run ./test/perf/runtime
//
// It needs Python with flask and gunicorn (Debian: python3-flask, gunicorn).
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

//go:embed testdata/*.py
var code embed.FS

const (
	body  = `{"name": "Ada"}`
	reply = `{"message": "Hello, Ada!"}`
	// jsonify writes less space.
	flaskReply = `{"message":"Hello, Ada!"}`
)

type options struct {
	python      string
	workers     int
	connections int
	rounds      int
	duration    time.Duration
	least       float64
}

func main() {
	var o options
	flag.StringVar(&o.python, "python", "/usr/bin/python3", "the interpreter of both")
	flag.IntVar(&o.workers, "workers", 2, "worker processes of both")
	flag.IntVar(&o.connections, "connections", 32, "connections of the load, each with one request at a time")
	flag.IntVar(&o.rounds, "rounds", 3, "measurements of each, in turns; the median counts")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "of a measurement")
	flag.Float64Var(&o.least, "least", 0, "fail if the ratio of the runtime to the best of the others is below")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, o *options) error {
	if err := exec.CommandContext(ctx, o.python, "-c", "import flask, gunicorn").Run(); err != nil {
		return fmt.Errorf("%s cannot import flask and gunicorn (Debian: apt-get install python3-flask gunicorn): %w", o.python, err)
	}
	dir, err := os.MkdirTemp("", "lambda-perf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := lay(dir); err != nil {
		return err
	}
	binary := filepath.Join(dir, "runtime")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "github.com/brunovlucena/knative-lambda-operator/cmd/runtime")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build of the runtime: %w", err)
	}
	worker, err := filepath.Abs("runtimes/python/worker/worker.py")
	if err == nil {
		_, err = os.Stat(worker)
	}
	if err != nil {
		return fmt.Errorf("expected to be run from the root of the repository: %w", err)
	}
	return compare(ctx, o, contestants(o, dir, binary, worker))
}

// lay writes the handler and the Flask application, and compiles both.
func lay(dir string) error {
	for _, name := range []string{"main.py", "app.py"} {
		text, err := code.ReadFile("testdata/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// compare lets all have their turns and prints the median of each.
func compare(ctx context.Context, o *options, all []*contestant) error {
	for range o.rounds {
		for _, c := range all {
			if err := c.turn(ctx, o); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	fmt.Printf("%d workers, %d connections, median of %d rounds of %v\n\n", o.workers, o.connections, o.rounds, o.duration)
	fmt.Printf("%-44s %10s %9s %9s %12s\n", "", "requests/s", "p50", "p99", "first answer")
	for _, c := range all {
		m := c.median()
		fmt.Printf("%-44s %10.0f %9s %9s %12s\n", c.name, m.rate, round(m.p50), round(m.p99), round(c.medianFirst()))
	}
	ours := all[0].median().rate
	best := 0.0
	for _, c := range all {
		if c.rival {
			best = max(best, c.median().rate)
		}
	}
	fmt.Printf("\nratio to the best of Flask: %.2f\n", ours/best)
	if ours/best < o.least {
		return fmt.Errorf("the ratio is %.2f, expected at least %.2f", ours/best, o.least)
	}
	return nil
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func (c *contestant) median() *result {
	slices.SortFunc(c.results, func(a, b *result) int { return int(a.rate - b.rate) })
	return c.results[len(c.results)/2]
}

func (c *contestant) medianFirst() time.Duration {
	slices.Sort(c.first)
	return c.first[len(c.first)/2]
}

// turn starts the server, measures until its first answer, puts it under load
// and ends it.
func (c *contestant) turn(ctx context.Context, o *options) (err error) {
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), append(c.env, "PYTHONDONTWRITEBYTECODE=", "PYTHONPYCACHEPREFIX="+filepath.Join(c.dir, "cache"))...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()                       // by the signal
	}()
	if err := c.awaitAnswer(ctx); err != nil {
		return err
	}
	c.first = append(c.first, time.Since(began))
	r, err := load(ctx, c.address, c.request, []byte(c.want), o.connections, time.Second, o.duration)
	if err == nil {
		c.results = append(c.results, r)
	}
	return err
}

func (c *contestant) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		client := &client{address: c.address}
		_, err := client.roundTrip(c.request)
		client.close()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("it did not answer in time"), err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
