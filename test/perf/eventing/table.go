package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/program"
)

// table of what was measured, beside the other class and the goals.
type table struct{ rows []row }

type row struct {
	what, plane, other, ratio, goal string
	missed                          bool
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// note has no goal.
func (t *table) note(what, plane, other string) { t.add(row{what: what, plane: plane, other: other}) }

// within a limit of its own.
func (t *table) within(what string, plane, limit time.Duration, other string) {
	t.add(row{what: what, plane: text(plane), other: other, goal: fmt.Sprintf("≤ %v", limit), missed: plane > limit})
}

// compare a duration with that of the other column, of which it may be so many times at
// most; 0 is no goal.
func (t *table) compare(what string, plane, other time.Duration, most float64) {
	r := row{what: what, plane: text(plane), other: text(other), ratio: "-"}
	if other > 0 {
		ratio := plane.Seconds() / other.Seconds()
		r.ratio, r.missed = fmt.Sprintf("%.2f", ratio), most > 0 && ratio > most
	}
	if most > 0 {
		r.goal = fmt.Sprintf("≤ %.1f", most)
	}
	t.add(r)
}

// latencies compares the median and p99.
func (t *table) latencies(what string, plane, other []time.Duration, most float64) {
	for _, percent := range []int{50, 99} {
		t.compare(fmt.Sprintf("%s, p%d", what, percent), program.Quantile(plane, percent), program.Quantile(other, percent), most)
	}
}

// rates compares events a second, of which there have to be so many times more.
func (t *table) rates(what string, plane, other, least float64) {
	ratio := plane / other
	t.add(row{what: what, plane: fmt.Sprintf("%.0f/s", plane), other: fmt.Sprintf("%.0f/s", other), ratio: fmt.Sprintf("%.2f", ratio),
		goal: fmt.Sprintf("≥ %.1f", least), missed: ratio < least})
}

func (t *table) missed() (n int) {
	for _, r := range t.rows {
		if r.missed {
			n++
		}
	}
	return n
}

func (t *table) String() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tLambdaBroker\tbeside\tratio\tgoal\t")
	for _, r := range t.rows {
		met := ""
		switch {
		case r.missed:
			met = "missed"
		case r.goal != "":
			met = "met"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.plane, r.other, r.ratio, r.goal, met)
	}
	_ = w.Flush() // to memory
	return out.String()
}

func text(d time.Duration) string {
	if d >= time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
