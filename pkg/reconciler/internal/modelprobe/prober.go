// Package modelprobe finds out in the background whether the models of agents
// answer: once for all agents that use an endpoint, again and again, and without a
// key. A reconcile never waits for one, and hears when the outcome has changed.
package modelprobe

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
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
	// parallel endpoints are probed at once.
	parallel = 8
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
	queue workqueue.TypedDelayingInterface[Endpoint]

	mu     sync.Mutex
	probed map[Endpoint]*probed
	uses   map[types.NamespacedName][]Model
}

// probed is one endpoint, for all that use it.
type probed struct {
	settings Settings
	keys     map[types.NamespacedName]struct{}
	verdicts map[string]Verdict // by model
	last     time.Time
	told     time.Time
	failures int
}

var _ Checker = (*Prober)(nil)

// New returns a Prober, which probes while Run runs.
func New(o Options) *Prober {
	return &Prober{
		Options: o,
		queue:   workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[Endpoint]{Name: "models", Clock: o.Clock}),
		probed:  map[Endpoint]*probed{},
		uses:    map[types.NamespacedName][]Model{},
	}
}

// Check implements Checker.
func (p *Prober) Check(key types.NamespacedName, settings Settings, models []Model) []Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	outcomes := make([]Outcome, len(models))
	if settings.Interval == 0 {
		p.leave(key, nil)
		return outcomes
	}
	p.leave(key, models)
	p.uses[key] = models
	for i, m := range models {
		known := p.probed[m.Endpoint]
		if known == nil {
			known = &probed{settings: settings, keys: map[types.NamespacedName]struct{}{}}
			p.probed[m.Endpoint] = known
			p.queue.Add(m.Endpoint)
		}
		known.keys[key] = struct{}{}
		if known.settings != settings { // what waits by the old interval need not
			known.settings = settings
			p.queue.AddAfter(m.Endpoint, known.wait())
		}
		verdict, ok := known.verdicts[m.Name]
		switch {
		case ok:
			outcomes[i] = Outcome{Verdict: verdict, Time: known.told}
		case !known.last.IsZero():
			p.queue.AddAfter(m.Endpoint, max(0, gap-p.Clock.Since(known.last)))
		}
	}
	return outcomes
}

// Forget implements Checker.
func (p *Prober) Forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(key, nil)
}

// leave takes the key from the endpoints that it uses no more, and an endpoint from
// those that are probed when nobody uses it any more.
func (p *Prober) leave(key types.NamespacedName, still []Model) {
	stays := map[Endpoint]bool{}
	for _, m := range still {
		stays[m.Endpoint] = true
	}
	for _, m := range p.uses[key] {
		known := p.probed[m.Endpoint]
		if stays[m.Endpoint] || known == nil {
			continue
		}
		delete(known.keys, key)
		if len(known.keys) == 0 {
			delete(p.probed, m.Endpoint)
		}
	}
	delete(p.uses, key)
}

// Run probes until the context ends.
func (p *Prober) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	p.queue.ShutDown()
	workers.Wait()
}

func (p *Prober) next(ctx context.Context) bool {
	endpoint, quit := p.queue.Get()
	if quit {
		return false
	}
	defer p.queue.Done(endpoint)
	if known, models, timeout := p.begin(endpoint); known != nil {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		verdicts := p.Ask(bounded, endpoint, models)
		cancel()
		if ctx.Err() == nil {
			p.end(endpoint, known, verdicts)
		}
	}
	return true
}

// begin tells which models are asked for, if anybody who is responsible still does.
func (p *Prober) begin(endpoint Endpoint) (*probed, []string, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.probed[endpoint]
	if known == nil {
		return nil, nil, 0
	}
	asked := map[string]bool{}
	var models []string
	for key := range known.keys {
		if !p.Leads(key) {
			p.leave(key, nil)
			continue
		}
		for _, m := range p.uses[key] {
			if m.Endpoint == endpoint && !asked[m.Name] {
				asked[m.Name] = true
				models = append(models, m.Name)
			}
		}
	}
	if p.probed[endpoint] != known {
		return nil, nil, 0
	}
	return known, models, known.settings.Timeout
}

// end records the verdicts, tells whose have changed, and comes back later.
func (p *Prober) end(endpoint Endpoint, known *probed, verdicts map[string]Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.probed[endpoint] != known {
		return // forgotten meanwhile
	}
	before := known.verdicts
	known.last, known.verdicts = p.Clock.Now().Truncate(time.Second), verdicts
	due, dead := known.last.Sub(known.told) >= tellEvery, false
	for _, v := range verdicts {
		dead = dead || v.Dead
	}
	if known.failures++; !dead {
		known.failures = 0
	}
	for key := range known.keys {
		news := due
		for _, m := range p.uses[key] {
			if m.Endpoint != endpoint {
				continue
			}
			verdict, ok := verdicts[m.Name]
			if !ok { // it was asked for after the probe began
				p.queue.AddAfter(endpoint, gap)
				continue
			}
			old, had := before[m.Name]
			news = news || !had || old != verdict
		}
		if news {
			known.told = known.last
			p.Enqueue(key)
		}
	}
	p.queue.AddAfter(endpoint, known.wait())
}

// wait is how long until the endpoint is probed again.
func (k *probed) wait() time.Duration {
	interval := k.settings.Interval
	if k.failures > 1 {
		interval = min(interval<<min(k.failures-1, 3), max(maxBackoff, interval))
	}
	return wait.Jitter(time.Duration(float64(interval)*(1-spread/2)), spread)
}
