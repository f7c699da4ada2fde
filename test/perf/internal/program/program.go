// Package program has what the programs of test/perf have in common.
package program

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"
)

// Main runs a program until it is done or interrupted, and does not return where it
// fails: the error is printed, and the exit status is 1.
func Main(run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// Quantile of what was measured, rounded as it is printed.
func Quantile(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*percent/100].Round(10 * time.Microsecond)
}
