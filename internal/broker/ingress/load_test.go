package ingress

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// hangingPublisher does not answer until it is released.
type hangingPublisher struct {
	queue.Publisher
	released chan struct{}
	held     atomic.Int64
}

func (p *hangingPublisher) Publish(context.Context, []string, *queue.Message) error {
	p.held.Add(1)
	<-p.released
	return nil
}

// zeros are a body that takes no memory before it is read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestHangingPublishes: 10,000 requests of one namespace that hang leave it within its
// share, in number and in memory, and leave room for another namespace.
func TestHangingPublishes(t *testing.T) {
	for name, tc := range map[string]struct {
		body int64
		// held requests of the namespace at most.
		held int64
	}{
		"small bodies": {body: 100, held: 1000},
		"large bodies": {body: 256 << 10, held: (32 << 20) / (256 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			p := &hangingPublisher{released: make(chan struct{})}
			h.handler.Publisher = p
			before := heap()
			var group sync.WaitGroup
			var accepted, refused, others atomic.Int64
			send := func(namespace string) {
				r := post(t.Context(), "/"+namespace+"/default", "")
				r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, tc.body)), tc.body
				w := httptest.NewRecorder()
				h.handler.ServeHTTP(w, r)
				switch {
				case w.Code == http.StatusAccepted:
					accepted.Add(1)
				case w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "1":
					refused.Add(1)
				default:
					others.Add(1)
				}
			}
			const requests = 10_000
			for range requests {
				group.Go(func() { send("team") })
			}
			until(t, func() bool { return p.held.Load()+refused.Load() == requests })
			held := p.held.Load()
			if held > tc.held || held < tc.held/2 || others.Load() > 0 {
				t.Errorf("%d requests are held, of %d at most; %d were refused, %d otherwise answered", held, tc.held, refused.Load(), others.Load())
			}
			if _, bytes := h.handler.Budget.InHand(); bytes > 32<<20 {
				t.Errorf("%d bytes in hand", bytes)
			}
			grown := heap() - before
			t.Logf("%d requests held, %d refused, heap grew by %d KiB", held, refused.Load(), grown>>10)
			if grown > 128<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
			group.Go(func() { send("other") })
			until(t, func() bool { return p.held.Load() == held+1 })
			close(p.released)
			group.Wait()
			if accepted.Load() != held+1 {
				t.Errorf("%d requests were accepted, want %d", accepted.Load(), held+1)
			}
			if requests, bytes := h.handler.Budget.InHand(); requests != 0 || bytes != 0 {
				t.Errorf("%d requests and %d bytes stay in hand", requests, bytes)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("waited for 60 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
