package async

import (
	"context"
	"time"
)

// Run makes calls until the context ends, and returns when the last has ended.
func (p *Poller[K, Q, R]) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, p.due.ShutDown)
	defer stop()
	for {
		id, quit := p.due.Get()
		if quit {
			break
		}
		p.mu.Lock()
		p.enter(id)
		p.start(ctx)
		p.mu.Unlock()
		p.due.Done(id)
	}
	p.calls.Wait()
}

// enter puts a call that is due in line.
func (p *Poller[K, Q, R]) enter(id K) {
	e := p.entries[id]
	if e == nil {
		return
	}
	for key := range e.queries {
		if !p.Leads(key) {
			p.retain(key)
		}
	}
	switch {
	case p.entries[id] != e || len(e.queries) == 0: // no key wants it
	case e.state == running:
		e.again = true
	case e.state == idle:
		e.since = p.Clock.Now()
		p.join(id, e)
	}
}

// join the line on account of the namespace that has least in it: others that want
// the same call do not delay it.
func (p *Poller[K, Q, R]) join(id K, e *entry[Q, R]) {
	first := true
	for key := range e.queries {
		if first || p.load(key.Namespace) < p.load(e.namespace) {
			e.namespace, first = key.Namespace, false
		}
	}
	e.state = queued
	p.waiting[e.namespace]++
	p.line.Join(id, e.namespace)
}

// load is how many calls a namespace has in line and running.
func (p *Poller[K, Q, R]) load(namespace string) int {
	return p.waiting[namespace] + p.running[namespace]
}

// start the calls that may run now.
func (p *Poller[K, Q, R]) start(ctx context.Context) {
	for p.total < p.Parallel && ctx.Err() == nil {
		id, ok := p.line.NextWhere(p.running, p.PerNamespace, p.eligible)
		if !ok {
			return
		}
		e := p.entries[id]
		decrement(p.waiting, e.namespace)
		e.state = running
		p.running[e.namespace]++
		retry := e.failures > 0
		p.hosts[e.host]++
		p.total++
		if retry {
			p.retries++
		}
		queries := e.all()
		if p.Started != nil {
			p.Started(id, p.Clock.Since(e.since))
		}
		p.calls.Go(func() {
			result := p.Call(ctx, id, queries)
			p.mu.Lock()
			defer p.mu.Unlock()
			decrement(p.running, e.namespace)
			decrement(p.hosts, e.host)
			p.total--
			if retry {
				p.retries--
			}
			e.state = idle
			if ctx.Err() == nil {
				p.finish(id, e, result)
				p.start(ctx)
			}
		})
	}
}

// eligible: its host has room, and calls that failed before leave half of the places to
// others.
func (p *Poller[K, Q, R]) eligible(id K) bool {
	e := p.entries[id]
	if e.host != "" && p.hosts[e.host] >= p.PerHost {
		return false
	}
	return e.failures == 0 || p.retries < max(1, p.Parallel/2)
}

// finish a call whose result has come.
func (p *Poller[K, Q, R]) finish(id K, e *entry[Q, R], result R) {
	if p.entries[id] != e {
		return // forgotten meanwhile
	}
	queries := e.all()
	if e.failures++; !p.Failed(result) {
		e.failures = 0
	}
	before := e.result
	if p.Merge != nil {
		result = p.Merge(queries, before, result)
	}
	e.result, e.expires = &result, time.Time{}
	for key, query := range e.queries {
		if p.Changed(query, before, result) {
			p.Enqueue(key)
		}
	}
	switch then, after := p.Next(queries, result, e.failures); then {
	case Keep:
	case Repeat:
		p.due.AddAfter(id, after)
	case Expire:
		e.expires = p.Clock.Now().Add(after)
		if !e.again {
			for key := range e.queries {
				p.unwant(key, id, e)
			}
		}
	}
	if e.again {
		e.again, e.since = false, p.Clock.Now()
		p.join(id, e)
	}
}

func (e *entry[Q, R]) all() []Q {
	queries := make([]Q, 0, len(e.queries))
	for _, q := range e.queries {
		queries = append(queries, q)
	}
	return queries
}

// decrement a count, and drop it at zero: namespaces come and go.
func decrement(counts map[string]int, of string) {
	if counts[of]--; counts[of] <= 0 {
		delete(counts, of)
	}
}
