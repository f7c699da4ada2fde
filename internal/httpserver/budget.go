package httpserver

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
)

// ErrBusy reports that the bytes of requests in flight are at their bound. The sender is
// answered 503 with a Retry-After header.
var ErrBusy = errors.New("too many bytes of requests are in flight; try again later")

// step is how many bytes a body reserves at a time.
const step = 32 << 10

// Budget bounds the bytes of request bodies in memory: of all, and of each key, such as
// a namespace, so that one key alone cannot use it up.
type Budget struct {
	total, perKey int64
	// shared: perKey does not count, but what the other keys leave free.
	shared bool

	mu    sync.Mutex
	used  int64
	byKey map[string]int64
}

// NewBudget returns a Budget of that many bytes in total and for each key.
func NewBudget(total, perKey int64) *Budget {
	return &Budget{total: total, perKey: perKey, byKey: map[string]int64{}}
}

// NewSharedBudget returns a Budget of that many bytes in total, of which each key may
// have at most half of what the others leave free: a key that comes later finds room,
// however much one wants.
func NewSharedBudget(total int64) *Budget {
	return &Budget{total: total, shared: true, byKey: map[string]int64{}}
}

// Used returns how many bytes are reserved.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Reserve bytes for a key, or none if they are too many. Release gives them back.
func (b *Budget) Reserve(key string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, most := b.byKey[key], b.perKey
	if b.shared {
		most = (b.total - (b.used - own)) / 2
	}
	if b.used+n > b.total || own+n > most {
		return false
	}
	b.used += n
	b.byKey[key] += n
	return true
}

// Release bytes that a key has reserved.
func (b *Budget) Release(key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.byKey[key] -= n; b.byKey[key] <= 0 {
		delete(b.byKey, key)
	}
}

// Largest returns the key that has reserved most, and how much; the first by name of
// several, and the empty key if none has any.
func (b *Budget) Largest() (key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, has := range b.byKey {
		if has > n || has == n && k < key {
			key, n = k, has
		}
	}
	return key, n
}

// Body counts a request's body as it arrives, before it is read: a peer that announces
// much and sends little holds little. Reading fails with ErrBusy where the budget has no
// more. Release gives back what the body has reserved, once nothing keeps it any more.
type Body struct {
	io.ReadCloser
	budget             *Budget
	key                string
	reserved, received int64
	release            sync.Once
}

// Body returns the body of a request of that key.
func (b *Budget) Body(key string, body io.ReadCloser) *Body {
	return &Body{ReadCloser: body, budget: b, key: key}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if b.received == b.reserved {
		if !b.budget.Reserve(b.key, step) {
			return 0, ErrBusy
		}
		b.reserved += step
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.reserved-b.received)])
	b.received += int64(n)
	return n, err
}

// readAll reads the whole body in pieces of at most a step. None of them grows or is
// copied, so that a body that is under way costs no more than it has reserved. announced
// is the body's length, below 0 if that is unknown.
func (b *Body) readAll(announced int64) (pieces, error) {
	var all pieces
	size := int64(step)
	if announced >= 0 {
		size = min(size, announced+1) // one more shows that nothing follows
	}
	piece := make([]byte, 0, size)
	for {
		n, err := b.Read(piece[len(piece):cap(piece)])
		piece = piece[:len(piece)+n]
		switch {
		case errors.Is(err, io.EOF):
			return append(all, piece), nil
		case err != nil:
			return nil, err
		case len(piece) == cap(piece):
			all, piece = append(all, piece), make([]byte, 0, step)
		}
	}
}

// Release gives back what the body has reserved. It may be called more than once.
func (b *Body) Release() {
	b.release.Do(func() { b.budget.Release(b.key, b.reserved) })
}

// pieces of a body, in their order.
type pieces [][]byte

// reader reads the pieces one after another.
func (p pieces) reader() io.Reader {
	if len(p) == 1 {
		return bytes.NewReader(p[0])
	}
	readers := make([]io.Reader, len(p))
	for i, piece := range p {
		readers[i] = bytes.NewReader(piece)
	}
	return io.MultiReader(readers...)
}

// join returns all pieces as one.
func (p pieces) join() []byte {
	if len(p) == 1 {
		return p[0]
	}
	return slices.Concat(p...)
}
