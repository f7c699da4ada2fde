package runtime

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestDeadlinesInOrder: what arrived first is due first, whenever its body had been read.
func TestDeadlinesInOrder(t *testing.T) {
	d := newDeadlines(Limits{Timeout: time.Hour, Concurrency: 1})
	now := time.Now()
	var all [4]*exchange
	for i, arrived := range []int{1, 3, 0, 2} {
		all[arrived] = &exchange{start: now.Add(time.Duration(arrived) * time.Minute)}
		d.add(all[arrived])
		if i == 2 && d.first != all[0] {
			t.Error("the first is not that which arrived first")
		}
	}
	check := func(want ...*exchange) {
		t.Helper()
		var previous *exchange
		x := d.first
		for i := range want {
			if x != want[i] || x.previous != previous {
				t.Fatalf("exchange %d is another", i)
			}
			previous, x = x, x.next
		}
		if x != nil || d.last != previous {
			t.Error("there are others")
		}
	}
	check(all[:]...)
	d.remove(all[1])
	check(all[0], all[2], all[3])
	d.remove(all[3])
	d.remove(all[0])
	check(all[2])
	d.remove(all[2])
	check()
	d.timer.Stop()
}

// deaf is a handler that returns when it is released.
type deaf struct {
	limits  Limits
	release chan struct{}
}

func (d deaf) Invoke(context.Context, *Invocation) (*Result, error) {
	<-d.release
	return &Result{}, nil
}

func (deaf) Ready() bool { return true }

func (d deaf) Limits() Limits { return d.limits }

// callLate sends a request whose handler takes too long.
func callLate(t *testing.T, url string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("answered %d", response.StatusCode)
	}
}

// TestAbandonedCalls: as many calls as there may be at once, that go on after their timeout,
// exhaust the function.
func TestAbandonedCalls(t *testing.T) {
	handler := deaf{Limits{Timeout: 10 * time.Millisecond, Concurrency: 2}, make(chan struct{})}
	s, server := newDeafServer(t, handler, time.Millisecond)
	callLate(t, server.URL)
	select {
	case <-s.Exhausted():
		t.Fatal("one call exhausts a function that may have two")
	case <-time.After(50 * time.Millisecond):
	}
	callLate(t, server.URL)
	select {
	case <-s.Exhausted():
	case <-time.After(10 * time.Second):
		t.Error("two calls do not")
	}
	server.Close() // does not wait for connections of abandoned calls
	close(handler.release)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.deadlines.mu.Lock()
		abandoned := s.deadlines.abandoned
		s.deadlines.mu.Unlock()
		if abandoned == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls go on", abandoned)
		}
	}
}

// TestLateCalls that end soon do not.
func TestLateCalls(t *testing.T) {
	handler := deaf{Limits{Timeout: 10 * time.Millisecond, Concurrency: 1}, make(chan struct{})}
	s, server := newDeafServer(t, handler, 200*time.Millisecond)
	callLate(t, server.URL)
	close(handler.release)
	select {
	case <-s.Exhausted():
		t.Error("it is exhausted")
	case <-time.After(300 * time.Millisecond):
	}
}

func newDeafServer(t *testing.T, handler Invoker, patience time.Duration) (*Server, *httptest.Server) {
	t.Helper()
	cfg := &Config{MaxBody: 1024}
	telemetry, err := StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(cfg, handler, telemetry)
	s.deadlines.patience = patience
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server
}
