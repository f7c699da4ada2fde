package main

import (
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	for name, tc := range map[string]struct {
		add    func(*table)
		row    string
		missed int
	}{
		"a ratio that is met": {func(b *table) { b.compare("p50", 8*time.Millisecond, 10*time.Millisecond, 0.8) }, "p50 8ms 10ms 0.80 ≤ 0.8 met", 0},
		"and missed":          {func(b *table) { b.compare("p50", 9*time.Millisecond, 10*time.Millisecond, 0.8) }, "p50 9ms 10ms 0.90 ≤ 0.8 missed", 1},
		"and without a goal":  {func(b *table) { b.compare("p50", 9*time.Millisecond, 10*time.Millisecond, 0) }, "p50 9ms 10ms 0.90", 0},
		"a rate that is met":  {func(b *table) { b.rates("events", 1500, 1000, 1.5) }, "events 1500/s 1000/s 1.50 ≥ 1.5 met", 0},
		"a rate, missed":      {func(b *table) { b.rates("events", 1400, 1000, 1.5) }, "events 1400/s 1000/s 1.40 ≥ 1.5 missed", 1},
		"a limit that is met": {func(b *table) { b.within("first", time.Second, time.Second, "12s") }, "first 1s 12s ≤ 1s met", 0},
		"a limit, missed":     {func(b *table) { b.within("first", 2*time.Second, time.Second, "12s") }, "first 2s 12s ≤ 1s missed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := &table{}
			tc.add(b)
			lines := strings.Split(strings.TrimSpace(b.String()), "\n")
			if got := strings.Join(strings.Fields(lines[len(lines)-1]), " "); got != tc.row {
				t.Errorf("the row is %q, want %q", got, tc.row)
			}
			if got := b.missed(); got != tc.missed {
				t.Errorf("%d goals are missed, want %d", got, tc.missed)
			}
		})
	}
}

func TestArrivals(t *testing.T) {
	s := &subscriber{runs: map[string]*arrivals{}}
	a := s.expect("/perf/1", 2)
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	for _, arrival := range []struct {
		n  int
		at time.Time
	}{{1, early}, {1, late}, {2, late}, {-1, late}, {0, late}} { // a duplicate, and two of no number
		a.arrive(arrival.n, arrival.at)
	}
	select {
	case <-a.done:
	default:
		t.Error("not done although both events have arrived")
	}
	if a.at[0] != late || a.at[1] != early || a.firstAt() != early || a.last != late || a.missing() != 0 {
		t.Errorf("arrivals %v, first %v, last %v, %d missing", a.at, a.first, a.last, a.left)
	}
}
