// Package modelprobe finds out in the background whether the models of agents
// answer: once for all agents that use an endpoint, again and again, and without a
// key. A reconcile never waits for one, and hears when the outcome has changed.
package modelprobe

import (
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/internal/async"
)

// Checker tells whether models answer.
type Checker interface {
	// Check tells the outcome of each model as it was last, in their order. The
	// first time it only starts to find out. The key is enqueued when an outcome is
	// there, when it changes, and now and then to tell the time of the last probe.
	// A key has the models of its last call.
	Check(key types.NamespacedName, settings Settings, models []Model) []Outcome
	// Forget the key and its models.
	Forget(key types.NamespacedName)
}

// Endpoint of models: what is probed.
type Endpoint struct {
	Provider, URL string
}

// Model at an endpoint.
type Model struct {
	Endpoint
	Name string
}

// Settings of probes.
type Settings struct {
	// Interval between two probes of an endpoint; 0 is never.
	Interval time.Duration
	// Timeout of one probe.
	Timeout time.Duration
}

// Outcome of a model.
type Outcome struct {
	Verdict
	// Time of the probe, as it is told: not of each one, see tellEvery. Zero before
	// the first.
	Time time.Time
}

// Available tells whether the model answered.
func (o Outcome) Available() bool { return !o.Time.IsZero() && o.Reason == "" }

const (
	// parallel endpoints are probed at once, of them perNamespace of one namespace and
	// perHost of one server.
	parallel, perNamespace, perHost = 16, 4, 8
	// gap between two probes of an endpoint at least, whoever asks for another model
	// of it.
	gap = 2 * time.Second
	// maxBackoff of endpoints that do not answer, where it is longer than the
	// interval.
	maxBackoff = 5 * time.Minute
	// tellEvery is how often the time of the last probe is told at least while the
	// outcome stays the same: each telling is a write.
	tellEvery = 30 * time.Minute
	// spread of intervals, so that endpoints are not all probed at once.
	spread = 0.2
)

// Options of a Prober.
type Options struct {
	// Enqueue a key whose outcome is there or has changed.
	Enqueue func(types.NamespacedName)
	// Leads tells whether this process is responsible for a key; nobody's models are
	// probed.
	Leads func(types.NamespacedName) bool
	Clock clock.WithTicker
	// Ask an endpoint about the models: an HTTP client's Ask.
	Ask func(context.Context, Endpoint, []string) map[string]Verdict
}

// Prober is a Checker.
type Prober struct {
	Options
	poller *async.Poller[Endpoint, query, report]
}

// query is what one key wants to know of an endpoint.
type query struct {
	settings Settings
	models   []string
}

// report is the outcome of the newest probe of an endpoint.
type report struct {
	verdicts map[string]Verdict // by model
	interval time.Duration      // until the next probe
	last     time.Time
	reported time.Time // the last that keys were enqueued for
}

var _ Checker = (*Prober)(nil)

// New returns a Prober, which probes while Run runs.
func New(o Options) *Prober {
	p := &Prober{Options: o}
	p.poller = async.New(async.Options[Endpoint, query, report]{
		Name: "models", Clock: o.Clock, Parallel: parallel, PerNamespace: perNamespace, PerHost: perHost,
		Call: p.call,
		Host: Endpoint.host,
		Failed: func(r report) bool {
			for _, v := range r.verdicts {
				if v.Dead {
					return true
				}
			}
			return false
		},
		Merge:   merge,
		Changed: changed,
		Next:    next,
		Enqueue: o.Enqueue, Leads: o.Leads,
	})
	return p
}

// Check implements Checker.
func (p *Prober) Check(key types.NamespacedName, settings Settings, models []Model) []Outcome {
	outcomes := make([]Outcome, len(models))
	if settings.Interval == 0 {
		p.Forget(key)
		return outcomes
	}
	byEndpoint := map[Endpoint][]string{}
	for _, m := range models {
		byEndpoint[m.Endpoint] = append(byEndpoint[m.Endpoint], m.Name)
	}
	p.poller.Retain(key, slices.Collect(maps.Keys(byEndpoint))...)
	reports := map[Endpoint]report{}
	for endpoint, names := range byEndpoint {
		known, ok := p.poller.Check(key, endpoint, query{settings, names})
		if !ok {
			continue
		}
		reports[endpoint] = known
		if settings.Interval < known.interval {
			p.poller.Again(endpoint, jitter(settings.Interval))
		}
	}
	for i, m := range models {
		known, ok := reports[m.Endpoint]
		if !ok {
			continue
		}
		if verdict, ok := known.verdicts[m.Name]; ok {
			outcomes[i] = Outcome{Verdict: verdict, Time: known.reported}
		} else {
			p.poller.Again(m.Endpoint, gap-p.Clock.Since(known.last))
		}
	}
	return outcomes
}

// Forget implements Checker.
func (p *Prober) Forget(key types.NamespacedName) { p.poller.Forget(key) }

// Run probes until the context ends.
func (p *Prober) Run(ctx context.Context) { p.poller.Run(ctx) }

// call probes an endpoint for all models that are asked for.
func (p *Prober) call(ctx context.Context, endpoint Endpoint, queries []query) report {
	var models []string
	var timeout time.Duration
	for _, q := range queries {
		timeout = max(timeout, q.settings.Timeout)
		for _, m := range q.models {
			if !slices.Contains(models, m) {
				models = append(models, m)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	verdicts := p.Ask(ctx, endpoint, models)
	return report{verdicts: verdicts, last: p.Clock.Now().Truncate(time.Second)}
}

// merge decides which probe's time is in status: not that of each, as each is a write.
func merge(queries []query, before *report, after report) report {
	after.interval = shortest(queries)
	after.reported = after.last
	if before == nil {
		return after
	}
	for _, q := range queries {
		if changed(q, before, after) {
			return after
		}
	}
	after.reported = before.reported
	return after
}

// changed: a verdict is new or another, or the time is due.
func changed(q query, before *report, after report) bool {
	if before == nil || after.last.Sub(before.reported) >= tellEvery {
		return true
	}
	for _, m := range q.models {
		verdict, ok := after.verdicts[m]
		if !ok {
			continue // asked for after the probe began
		}
		if old, had := before.verdicts[m]; !had || old != verdict {
			return true
		}
	}
	return false
}

// next probe: soon where a model was asked for meanwhile, else on the interval, and more
// and more seldom while the endpoint fails.
func next(queries []query, r report, failures int) (async.Then, time.Duration) {
	for _, q := range queries {
		for _, m := range q.models {
			if _, ok := r.verdicts[m]; !ok {
				return async.Repeat, gap
			}
		}
	}
	interval := shortest(queries)
	if failures > 1 {
		interval = min(interval<<min(failures-1, 3), max(maxBackoff, interval))
	}
	return async.Repeat, jitter(interval)
}

func shortest(queries []query) time.Duration {
	interval := queries[0].settings.Interval
	for _, q := range queries {
		interval = min(interval, q.settings.Interval)
	}
	return interval
}

func jitter(interval time.Duration) time.Duration {
	return wait.Jitter(time.Duration(float64(interval)*(1-spread/2)), spread)
}
