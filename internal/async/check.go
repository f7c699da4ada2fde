package async

import "time"

const (
	// rememberFor is how long an expired result is remembered: failures before it count
	// for the next call.
	rememberFor = 10 * time.Minute
	sweepEvery  = time.Minute
)

// Check returns the newest result of a call, and false as long as there is none. The
// first Check starts the call. A key has one query for each call, its newest.
func (p *Poller[K, Q, R]) Check(key Key, id K, query Q) (result R, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[id]
	switch {
	case e == nil:
		e = p.add(id)
		p.due.Add(id)
	case e.result != nil && !e.expires.IsZero():
		if p.Clock.Now().Before(e.expires) {
			return *e.result, true
		}
		e.result, e.expires = nil, time.Time{}
		p.due.Add(id)
	}
	p.want(key, id, e, query)
	if e.result == nil {
		return result, false
	}
	return *e.result, true
}

// Await makes the key want a call whose result is awaited already, and reports whether
// there is one.
func (p *Poller[K, Q, R]) Await(key Key, id K, query Q) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[id]
	if e == nil || e.result != nil {
		return false
	}
	p.want(key, id, e, query)
	return true
}

// Set a result that is known without a call, until it expires. A call whose result is
// awaited already brings its own.
func (p *Poller[K, Q, R]) Set(id K, result R, lasts time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[id]
	if e == nil {
		e = p.add(id)
	} else if e.result == nil {
		return
	}
	e.result, e.expires, e.failures = &result, p.Clock.Now().Add(lasts), 0
}

// Invalidate lets chosen results expire now: the next Check of each starts a new call.
func (p *Poller[K, Q, R]) Invalidate(chosen func(id K, result R) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock.Now()
	for id, e := range p.entries {
		if e.result != nil && chosen(id, *e.result) {
			e.expires = now
		}
	}
}

// add an entry without a result.
func (p *Poller[K, Q, R]) add(id K) *entry[Q, R] {
	p.sweep()
	e := &entry[Q, R]{queries: map[Key]Q{}}
	if p.Host != nil {
		e.host = p.Host(id)
	}
	p.entries[id] = e
	return e
}

// sweep drops results that expired long ago, so that there are not more entries than
// calls that are asked for.
func (p *Poller[K, Q, R]) sweep() {
	now := p.Clock.Now()
	if now.Sub(p.swept) < sweepEvery {
		return
	}
	p.swept = now
	for id, e := range p.entries {
		if len(e.queries) == 0 && e.state == idle && now.Sub(e.expires) > rememberFor {
			delete(p.entries, id)
		}
	}
}

// want notes that the key wants the call.
func (p *Poller[K, Q, R]) want(key Key, id K, e *entry[Q, R], query Q) {
	if p.byKey[key] == nil {
		p.byKey[key] = map[K]struct{}{}
	}
	p.byKey[key][id] = struct{}{}
	e.queries[key] = query
	if e.state == queued && p.load(key.Namespace) < p.load(e.namespace)-1 { // its turn comes sooner
		p.line.Leave(id)
		decrement(p.waiting, e.namespace)
		p.join(id, e)
	}
}

// Again makes a call after a while that was to be repeated later, or not at all.
func (p *Poller[K, Q, R]) Again(id K, after time.Duration) { p.due.AddAfter(id, max(0, after)) }

// Wanted reports whether a key wants the call.
func (p *Poller[K, Q, R]) Wanted(id K) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[id]
	return e != nil && len(e.queries) > 0
}

// Depth is how many calls wait in line for others.
func (p *Poller[K, Q, R]) Depth() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line.Len()
}

// Peek returns the newest result of a call without wanting it.
func (p *Poller[K, Q, R]) Peek(id K) (result R, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[id]; e != nil && e.result != nil {
		return *e.result, true
	}
	return result, false
}

// Retain forgets all calls that the key wanted, but these.
func (p *Poller[K, Q, R]) Retain(key Key, ids ...K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retain(key, ids...)
}

// Forget the key. A call without keys is not made, and the result of one under way is dropped.
func (p *Poller[K, Q, R]) Forget(key Key) { p.Retain(key) }

func (p *Poller[K, Q, R]) retain(key Key, ids ...K) {
	kept := map[K]struct{}{}
	for _, id := range ids {
		kept[id] = struct{}{}
	}
	for id := range p.byKey[key] {
		if _, ok := kept[id]; ok {
			continue
		}
		e := p.entries[id]
		p.unwant(key, id, e)
		if len(e.queries) > 0 {
			continue
		}
		delete(p.entries, id) // a call that runs ends on its own
		if e.state == queued {
			p.line.Leave(id)
			decrement(p.waiting, e.namespace)
		}
	}
}

// unwant notes that the key no longer wants the call.
func (p *Poller[K, Q, R]) unwant(key Key, id K, e *entry[Q, R]) {
	delete(e.queries, key)
	if delete(p.byKey[key], id); len(p.byKey[key]) == 0 {
		delete(p.byKey, key)
	}
}
