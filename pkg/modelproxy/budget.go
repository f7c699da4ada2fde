package modelproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// budget of this replica. Windows begin at multiples of their length since the
// Unix epoch, so that all replicas agree about them.
type budget struct {
	share  int64
	window time.Duration
	now    func() time.Time
	file   string // keeps the count over restarts of the container; empty keeps none

	mu       sync.Mutex
	number   int64 // of the window
	used     int64
	reserved int64
}

// spent is what the file holds.
type spent struct {
	Window int64 `json:"window"`
	Tokens int64 `json:"tokens"`
}

// newBudget of the configuration, nil where it has none.
func newBudget(cfg *Config, now func() time.Time) (*budget, error) {
	if cfg.share == 0 {
		return nil, nil
	}
	b := &budget{share: cfg.share, window: cfg.window, now: now}
	b.number = b.current()
	if cfg.StateDir == "" {
		return b, nil
	}
	b.file = filepath.Join(cfg.StateDir, "budget.json")
	text, err := os.ReadFile(b.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil
	case err != nil:
		return nil, fmt.Errorf("the count of tokens: %w", err)
	}
	var s spent
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("the count of tokens in %s: %w", b.file, err)
	}
	if s.Window == b.number {
		b.used = max(0, s.Tokens)
	}
	return b, nil
}

func (b *budget) current() int64 { return b.now().UnixNano() / int64(b.window) }

// next window's beginning.
func (b *budget) next() time.Time {
	return time.Unix(0, (b.current()+1)*int64(b.window)).UTC()
}

// reservation of tokens for a call that runs.
type reservation struct {
	window, tokens int64
}

// reserve what the call may cost at most: its input by estimate, its output by
// bound. An output that nobody bounds, or more than is left, is bounded here.
func (b *budget) reserve(q *call) (*reservation, bool) {
	if b == nil {
		return nil, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	left := b.share - b.used - b.reserved - q.input
	r := &reservation{window: b.number, tokens: q.input}
	if q.operation == "embeddings" {
		if left < 0 {
			return nil, false
		}
	} else {
		each := left / q.choices()
		if each < 1 {
			return nil, false
		}
		if wanted := q.output; wanted == 0 || wanted > each {
			if wanted == 0 {
				wanted = defaultOutput
			}
			q.bound(min(wanted, each))
		}
		r.tokens += q.output * q.choices()
	}
	b.reserved += r.tokens
	b.save()
	return r, true
}

// settle puts what the call did cost in the place of what was reserved for it.
func (b *budget) settle(r *reservation, tokens int64) {
	if b == nil || r == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	if r.window != b.number {
		return // of a window that is over
	}
	b.reserved -= r.tokens
	b.used += tokens
	b.save()
}

func (b *budget) roll() {
	if n := b.current(); n != b.number {
		b.number, b.used, b.reserved = n, 0, 0
	}
}

// save the count, calls that run included: after a crash they count in full.
func (b *budget) save() {
	if b.file == "" {
		return
	}
	text, _ := json.Marshal(spent{Window: b.number, Tokens: b.used + b.reserved})
	partial := b.file + ".new"
	err := os.WriteFile(partial, text, 0o600)
	if err == nil {
		err = os.Rename(partial, b.file)
	}
	if err != nil {
		slog.Error("the count of tokens is not kept: a restart would forget it", "error", err)
	}
}

// left of this window, in tokens, and what calls that run have reserved.
func (b *budget) left() (tokens, reserved int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	return max(0, b.share-b.used-b.reserved), b.reserved
}
