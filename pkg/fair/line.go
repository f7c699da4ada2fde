// Package fair holds a line that is fair across namespaces: whoever has least of
// what is waited for comes first, so that one namespace with a thousand builds does
// not keep another with one from its own.
package fair

import "slices"

// Line of keys that wait, each for its namespace. It is not safe for use by
// several goroutines at once.
type Line[K comparable] struct {
	waiting []waiter[K] // first come first
	// served is when each namespace had its last turn: among namespaces that have
	// equally much, the one that waits longest since comes first.
	served map[string]uint64
	turn   uint64
}

type waiter[K comparable] struct {
	key       K
	namespace string
}

// Join puts a key at the end of its namespace's part of the line. A key that is in
// the line keeps its place.
func (l *Line[K]) Join(key K, namespace string) {
	if l.index(key) < 0 {
		l.waiting = append(l.waiting, waiter[K]{key, namespace})
	}
}

// Leave takes a key out of the line, and tells whether it was in it.
func (l *Line[K]) Leave(key K) bool {
	i := l.index(key)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// Len is how many wait.
func (l *Line[K]) Len() int { return len(l.waiting) }

func (l *Line[K]) index(key K) int {
	return slices.IndexFunc(l.waiting, func(w waiter[K]) bool { return w.key == key })
}

// Next takes the key out of the line whose turn it is when each namespace has so
// many running, and may have most. It returns false where nobody may.
func (l *Line[K]) Next(running map[string]int, most int) (key K, ok bool) {
	return l.NextWhere(running, most, func(K) bool { return true })
}

// NextWhere is Next among the keys that are eligible now. The others keep their places.
func (l *Line[K]) NextWhere(running map[string]int, most int, eligible func(K) bool) (key K, ok bool) {
	i := next(l.waiting, running, l.served, most, eligible)
	if i < 0 {
		return key, false
	}
	w := l.waiting[i]
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.serve(w.namespace, len(running) > 0)
	return w.key, true
}

func (l *Line[K]) serve(namespace string, busy bool) {
	if l.served == nil {
		l.served = map[string]uint64{}
	}
	l.turn++
	l.served[namespace] = l.turn
	if len(l.waiting) == 0 && !busy {
		l.served = nil // no namespace has had more than another
	}
}

// part of the line: those of one namespace.
type part struct {
	waiting []int // their places in the line
	running int
	served  uint64
}

// Order is the line as it stands: whom Next would give their turn one after the
// other if nothing ended.
func (l *Line[K]) Order(running map[string]int) []K {
	var parts []*part
	byNamespace := map[string]*part{}
	for i, w := range l.waiting {
		p := byNamespace[w.namespace]
		if p == nil {
			p = &part{running: running[w.namespace], served: l.served[w.namespace]}
			byNamespace[w.namespace], parts = p, append(parts, p)
		}
		p.waiting = append(p.waiting, i)
	}
	order := make([]K, 0, len(l.waiting))
	for turn := l.turn + 1; len(parts) > 0; turn++ {
		i := 0
		for j, p := range parts {
			if p.before(parts[i]) {
				i = j
			}
		}
		p := parts[i]
		order = append(order, l.waiting[p.waiting[0]].key)
		if p.waiting = p.waiting[1:]; len(p.waiting) == 0 {
			parts = slices.Delete(parts, i, i+1)
		}
		p.running++
		p.served = turn
	}
	return order
}

// before compares namespaces by how much they have, by how long ago they had their
// turn, and by who came first.
func (p *part) before(other *part) bool {
	if p.running != other.running {
		return p.running < other.running
	}
	if p.served != other.served {
		return p.served < other.served
	}
	return p.waiting[0] < other.waiting[0]
}

// next is the index of the waiter whose turn it is, -1 where nobody may.
func next[K comparable](waiting []waiter[K], running map[string]int, served map[string]uint64, most int, eligible func(K) bool) int {
	best := -1
	for i, w := range waiting {
		if running[w.namespace] >= most {
			continue
		}
		if best >= 0 {
			b := waiting[best].namespace
			if running[w.namespace] > running[b] || running[w.namespace] == running[b] && served[w.namespace] >= served[b] {
				continue
			}
		}
		if !eligible(w.key) {
			continue
		}
		best = i
	}
	return best
}
