package main

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Paths of the subscriber.
const (
	atOnce  = "/at-once"
	waiting = "/waiting" // 50 ms
	hanging = "/hanging" // until release
)

// work that a handler waits for.
const work = 50 * time.Millisecond

// subscriber of all Triggers: this program, so that one clock says when an event was
// sent and when it arrived.
type subscriber struct {
	server   *http.Server
	port     int
	released chan struct{}

	mu   sync.Mutex
	runs map[string]*arrivals // by the source of events
}

// arrivals of the events of one source, which are numbered.
type arrivals struct {
	mu    sync.Mutex
	at    []time.Time
	first time.Time
	last  time.Time
	left  int
	done  chan struct{} // closed when all have arrived
}

func newSubscriber(ctx context.Context, address string) (*subscriber, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	s := &subscriber{port: listener.Addr().(*net.TCPAddr).Port, released: make(chan struct{}), runs: map[string]*arrivals{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(listener) }() // until close
	return s, nil
}

// close ends what hangs, too.
func (s *subscriber) close() { _ = s.server.Close() }

// ServeHTTP implements http.Handler.
func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	run, released := s.runs[r.Header.Get("Ce-Source")], s.released
	s.mu.Unlock()
	if n, err := strconv.Atoi(r.Header.Get("Ce-Id")); err == nil && run != nil {
		run.arrive(n, time.Now())
	}
	switch r.URL.Path {
	case waiting:
		time.Sleep(work)
	case hanging:
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// release what hangs.
func (s *subscriber) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.released)
	s.released = make(chan struct{})
}

// expect so many events of a source.
func (s *subscriber) expect(source string, events int) *arrivals {
	a := &arrivals{at: make([]time.Time, events), left: events, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[source] = a
	return a
}

// arrive takes the first arrival of an event.
func (a *arrivals) arrive(n int, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n < 0 || n >= len(a.at) || !a.at[n].IsZero() {
		return
	}
	a.at[n] = at
	if a.first.IsZero() {
		a.first = at
	}
	a.last = at
	if a.left--; a.left == 0 {
		close(a.done)
	}
}

func (a *arrivals) missing() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left
}

// firstAt is when the first event arrived; zero if none has.
func (a *arrivals) firstAt() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first
}
