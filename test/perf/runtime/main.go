// Command runtime measures the lambda runtime against what functions are served by
// otherwise: Flask under gunicorn, and the functions frameworks for Node.js and Go.
// For each language the same handler, interpreter, number of workers, load and
// processors, in turns within one run.
//
//	go run ./test/perf/runtime [-languages python,nodejs,go]
//
// It needs Python with flask and gunicorn (Debian: python3-flask, gunicorn), Node.js
// with npm, and Go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

const (
	body  = `{"name": "Ada"}`
	reply = `{"message": "Hello, Ada!"}`
	// compactReply is what all but Python write: without the space.
	compactReply = `{"message":"Hello, Ada!"}`
)

type options struct {
	languages   string
	python      string
	workers     int
	connections int
	rounds      int
	duration    time.Duration
	least       float64
}

func main() {
	var o options
	flag.StringVar(&o.languages, "languages", "python,nodejs,go", "the languages to measure")
	flag.StringVar(&o.python, "python", "/usr/bin/python3", "the interpreter of Python")
	flag.IntVar(&o.workers, "workers", 2, "worker processes, where there are such")
	flag.IntVar(&o.connections, "connections", 32, "connections of the load, each with one request at a time")
	flag.IntVar(&o.rounds, "rounds", 3, "measurements of each, in turns; the median counts")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "of a measurement")
	flag.Float64Var(&o.least, "least", 0, "fail if the ratio of the runtime to the best of the others is below")
	flag.Parse()
	program.Main(func(ctx context.Context) error { return run(ctx, &o) })
}

func run(ctx context.Context, o *options) error {
	fmt.Printf("%d workers, %d connections, median of %d rounds of %v\n", o.workers, o.connections, o.rounds, o.duration)
	var errs []error
	for _, c := range contests {
		if !slices.Contains(strings.Split(o.languages, ","), c.language) {
			continue
		}
		if err := c.run(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.language, err))
		}
	}
	return errors.Join(errs...)
}

func (c *contest) run(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp("", "lambda-perf-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("test/perf/runtime/testdata", c.language))); err != nil {
		return fmt.Errorf("expected to be run from the root of the repository: %w", err)
	}
	all, err := c.prepare(ctx, o, dir)
	if err != nil {
		return err
	}
	return c.compare(ctx, o, all)
}

// compare lets all have their turns and prints the median of each.
func (c *contest) compare(ctx context.Context, o *options, all []*contestant) error {
	for range o.rounds {
		for _, one := range all {
			if err := one.turn(ctx, o); err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
		}
	}
	fmt.Printf("\n%-44s %10s %9s %9s %12s\n", c.language, "requests/s", "p50", "p99", "first answer")
	best := 0.0
	for _, one := range all {
		m := one.median()
		fmt.Printf("%-44s %10.0f %9s %9s %12s\n", one.name, m.rate, round(m.p50), round(m.p99), round(one.medianFirst()))
		if one.rival {
			best = max(best, m.rate)
		}
	}
	ours := all[0].median().rate
	fmt.Printf("ratio to %s: %.2f\n", c.rivals, ours/best)
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
