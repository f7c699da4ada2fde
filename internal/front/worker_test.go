package front

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// TestTimeout: a late answer is dropped, and frees the slot. Until then it is not used.
func TestTimeout(t *testing.T) {
	release, reasons := make(chan struct{}), make(chan string, 1)
	f := serve(t, func(c *call) {
		if c.Path != "/slow" {
			c.result(c.Path)
			return
		}
		reasons <- <-c.cancel
		<-release
		c.result("late")
	}, func(s *setup) { s.Concurrency, s.Timeout, s.timing.overdue = 4, 100*time.Millisecond, patience })
	got := f.post(t, "/slow", "")
	if want := `{"type":"Timeout","message":"the handler took too long: more than 100ms (spec.runtime.timeout)","permanent":false}`; got.status != 504 || got.body != want {
		t.Errorf("answered %+v, want 504 %s", got, want)
	}
	if reason := <-reasons; reason != protocol.ReasonTimeout {
		t.Errorf("cancelled by %q", reason)
	}
	for range 10 {
		if got := f.post(t, "/fast", ""); got.body != "/fast" {
			t.Errorf("a call beside the late one is answered with %+v", got)
		}
	}
	close(release)
	f.free(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := f.post(t, "/fast", ""); got.body != "/fast" {
				t.Errorf("a call after the late answer is answered with %+v", got)
			}
		})
	}
	wg.Wait()
	if f.started() != 1 {
		t.Errorf("%d workers were started, want 1", f.started())
	}
}

// TestTimeoutCountsFromArrival: what a call waits for a slot is part of its time.
func TestTimeoutCountsFromArrival(t *testing.T) {
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		<-hold
		c.result("")
	}, func(s *setup) { s.Concurrency, s.Timeout = 1, 300*time.Millisecond })
	var wg sync.WaitGroup
	wg.Go(func() { f.post(t, "/", "") })
	eventually(t, "the first call", func() bool { return f.pool.count(f.pool.calls) == 1 })
	began := time.Now()
	if got := f.post(t, "/", ""); got.status != 504 || time.Since(began) > 2*time.Second {
		t.Errorf("the call that waited is answered with %+v after %v", got, time.Since(began))
	}
	close(hold)
	wg.Wait()
}

// TestLeftovers: what the last call leaves on its connection does not reach the next.
func TestLeftovers(t *testing.T) {
	f := serve(t, func(c *call) {
		if c.Path == "/again" {
			c.result("fine")
			return
		}
		c.unbounded(protocol.Answer{Kind: protocol.Result, ID: c.ID, More: true, ContentType: strings.Repeat("x", protocol.MaxHeader)}, "body")
		_ = c.chunk("a chunk")
		c.end()
		c.answer(protocol.Answer{Kind: protocol.End}, "")
	})
	for range 3 {
		if got := f.post(t, "/", ""); got.status != 500 || !strings.Contains(got.body, "InvalidReply") {
			t.Errorf("answered %+v", got)
		}
		if got := f.post(t, "/again", ""); got.body != "fine" {
			t.Errorf("the next call is answered with %+v", got)
		}
	}
	if f.started() != 1 {
		t.Errorf("%d workers were started, want 1", f.started())
	}
}

func TestWorkersThatBreakTheProtocol(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header any
		want   string
	}{
		{"another call", protocol.Answer{Kind: protocol.Result, ID: 99}, "it broke the protocol: it answered call 99 when it had been sent 1"},
		{"another kind", protocol.Control{Kind: protocol.Ready, ID: 1}, `it broke the protocol: it answered with "ready", expected "result" or "error"`},
		{"no object", []int{1}, "it broke the protocol: a header is not the expected JSON: json: cannot unmarshal array into Go value of type protocol.Answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, func(c *call) {
				if c.Path == "/again" {
					c.result("fine")
					return
				}
				c.unbounded(tt.header, "")
			})
			got := f.post(t, "/", "")
			if want := `"WorkerDied","message":"the worker process died while it handled the request: ` + quoted(tt.want); got.status != 500 || !strings.Contains(got.body, want) {
				t.Errorf("answered %+v, want %s", got, want)
			}
			if got := f.post(t, "/again", ""); got.body != "fine" {
				t.Errorf("the next call is answered with %+v", got)
			}
		})
	}
}

// TestDeathWithManyCalls: each is answered, and those of another worker go on.
func TestDeathWithManyCalls(t *testing.T) {
	var begun atomic.Int32
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		begun.Add(1)
		<-hold
		c.result("fine")
	}, func(s *setup) { s.Workers, s.Concurrency = 2, 200 })
	eventually(t, "two workers", func() bool { return f.pool.count(f.pool.accepting) == 2 })
	var fine, died atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			switch got := f.post(t, "/", ""); {
			case got.status == 200 && got.body == "fine":
				fine.Add(1)
			case got.status == 500 && strings.Contains(got.body, `"type":"WorkerDied"`):
				died.Add(1)
			default:
				t.Errorf("answered %+v", got)
			}
		})
	}
	eventually(t, "all calls", func() bool { return begun.Load() == 200 })
	f.pool.workers[0].kill()
	eventually(t, "the worker's calls to be answered", func() bool { return died.Load() == 100 })
	eventually(t, "its replacement", func() bool { return f.pool.count(f.pool.accepting) == 2 })
	close(hold)
	wg.Wait()
	if fine.Load() != 100 || died.Load() != 100 {
		t.Errorf("%d calls were answered and %d failed, want 100 of both", fine.Load(), died.Load())
	}
	f.free(t)
}

// TestInheritedConnections: a process that holds a worker's connections open does not
// hold its calls.
func TestInheritedConnections(t *testing.T) {
	ended, called := make(chan struct{}), make(chan struct{})
	f := serve(t, nil, func(s *setup) {
		s.launch = func(p *Pool, files []*os.File) (*process, error) {
			d := &double{ready: ready, handle: func(c *call) { close(called) }}
			w, err := d.launch(p, files)
			t.Cleanup(func() { closeAll(append(d.slots, d.control)) })
			return &process{signal: func() {}, grace: w.grace, ended: ended}, err
		}
	})
	go func() {
		<-called
		close(ended)
	}()
	if got := f.post(t, "/", ""); got.status != 500 || !strings.Contains(got.body, `"WorkerDied"`) {
		t.Errorf("answered %+v, want WorkerDied", got)
	}
}

// TestStuckCalls: a worker with calls that do not end is replaced without harm to
// others.
func TestStuckCalls(t *testing.T) {
	for name, stuck := range map[string]int{"one": 1, "half of the slots": 5} {
		t.Run(name, func(t *testing.T) {
			never, hold := make(chan struct{}), make(chan struct{})
			defer close(never)
			var open atomic.Int32
			f := serve(t, func(c *call) {
				switch c.Path {
				case "/stuck":
					<-never
				case "/hold":
					open.Add(1)
					<-hold
				}
				c.result(c.Path)
			}, func(s *setup) {
				s.Concurrency, s.Timeout = 10, 500*time.Millisecond
				if stuck > 1 {
					s.timing.overdue = patience
				}
			})
			var wg sync.WaitGroup
			for range stuck {
				wg.Go(func() {
					if got := f.post(t, "/stuck", ""); got.status != 504 {
						t.Errorf("answered %+v, want 504", got)
					}
				})
			}
			time.Sleep(300 * time.Millisecond) // so that what follows outlives the calls that are stuck
			wg.Go(func() {
				if got := f.post(t, "/hold", ""); got.body != "/hold" {
					t.Errorf("the call in flight is answered with %+v", got)
				}
			})
			eventually(t, "the call beside them", func() bool { return open.Load() == 1 })
			eventually(t, "the replacement", func() bool { return f.double(1) != nil })
			close(hold)
			wg.Wait()
			eventually(t, "the end of the worker that is replaced", func() bool {
				return f.pool.count(f.pool.accepting) == 1 && f.pool.Ready()
			})
			if got := f.post(t, "/", ""); got.body != "/" {
				t.Errorf("the next call is answered with %+v", got)
			}
		})
	}
}

// TestWorkersThatRetire take no calls at once, and end those that they have.
func TestWorkersThatRetire(t *testing.T) {
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		if c.Path == "/retire" {
			c.worker.send(protocol.Control{Kind: protocol.Retire, Message: "an exception outside of all calls"})
			<-hold
		}
		c.result(fmt.Sprintf("%p", c.worker))
	})
	var old reply
	var wg sync.WaitGroup
	wg.Go(func() { old = f.post(t, "/retire", "") })
	eventually(t, "the replacement", func() bool { return f.double(1) != nil })
	got := f.post(t, "/", "")
	if want := fmt.Sprintf("%p", f.double(1)); got.body != want {
		t.Errorf("the next call is answered by %+v, want %s", got, want)
	}
	close(hold)
	wg.Wait()
	if want := fmt.Sprintf("%p", f.double(0)); old.body != want {
		t.Errorf("the open call is answered by %+v, want %s", old, want)
	}
	eventually(t, "one worker", func() bool { return f.pool.count(f.pool.accepting) == 1 })
}

// TestOneIsReplacedAtATime.
func TestOneIsReplacedAtATime(t *testing.T) {
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		c.worker.send(protocol.Control{Kind: protocol.Retire})
		<-hold
		c.result("")
	}, func(s *setup) { s.Workers = 2 })
	eventually(t, "two workers", func() bool { return f.pool.count(f.pool.accepting) == 2 })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { f.post(t, "/", "") })
	}
	eventually(t, "the first replacement", func() bool { return f.double(2) != nil })
	time.Sleep(50 * time.Millisecond)
	if f.double(3) != nil {
		t.Error("two workers are replaced at once")
	}
	close(hold)
	wg.Wait()
	eventually(t, "the second replacement", func() bool { return f.double(3) != nil })
}

func TestBlockedWorkers(t *testing.T) {
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		if c.Path == "/block" {
			c.worker.silent.Store(true)
			<-hold
			c.worker.silent.Store(false)
		}
		c.result(fmt.Sprintf("%p", c.worker))
	}, func(s *setup) { s.Workers, s.timing.blocked = 2, 50*time.Millisecond })
	eventually(t, "two workers", func() bool { return f.pool.count(f.pool.accepting) == 2 })
	var blocked reply
	var wg sync.WaitGroup
	wg.Go(func() { blocked = f.post(t, "/block", "") })
	blockedWorkers := func() int {
		n := 0
		for _, w := range f.pool.workers {
			if w.blocked {
				n++
			}
		}
		return n
	}
	eventually(t, "a blocked worker", func() bool { return f.pool.count(blockedWorkers) == 1 })
	var wg2 sync.WaitGroup
	for range 10 {
		wg2.Go(func() {
			if got := f.post(t, "/", ""); got.status != 200 {
				t.Errorf("answered %+v", got)
			}
		})
	}
	wg2.Wait()
	close(hold)
	wg.Wait()
	if blocked.status != 200 {
		t.Errorf("the call that blocked is answered with %+v: a long computation is legal", blocked)
	}
	if f.started() != 2 {
		t.Errorf("%d workers were started, want 2", f.started())
	}
}

// TestBlockedWorkersMeetTheTimeout: then they end, with all their calls.
func TestBlockedWorkersMeetTheTimeout(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	f := serve(t, func(c *call) {
		if c.Path == "/block" {
			c.worker.silent.Store(true)
		}
		<-never
	}, func(s *setup) { s.Timeout, s.timing.blocked = 500*time.Millisecond, 300*time.Millisecond })
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.post(t, "/block", ""); got.status != 504 {
			t.Errorf("the call that blocks is answered with %+v, want 504", got)
		}
	})
	time.Sleep(150 * time.Millisecond) // so that it is not past its timeout when the other is
	got := f.post(t, "/", "")
	if want := `{"type":"WorkerBlocked","message":"another call blocked the worker process: it did not respond for 300ms, and a call in it was past its timeout","permanent":false}`; got.status != 500 || got.body != want {
		t.Errorf("the call beside it is answered with %+v, want 500 %s", got, want)
	}
	wg.Wait()
}

func TestExclusiveWorkers(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	f := serve(t, func(c *call) {
		if c.Path == "/stuck" {
			<-never
		}
		c.result("fine")
	}, func(s *setup) {
		s.Exclusive, s.Workers, s.Concurrency, s.Timeout = true, 1, 1, 300*time.Millisecond
	})
	if got := f.post(t, "/stuck", ""); got.status != 504 {
		t.Errorf("answered %+v, want 504", got)
	}
	if got := f.post(t, "/", ""); got.body != "fine" {
		t.Errorf("the next call is answered with %+v", got)
	}
	eventually(t, "the replacement", func() bool { return f.double(1) != nil })
}

func TestDrain(t *testing.T) {
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		<-hold
		c.result("fine")
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.post(t, "/", ""); got.body != "fine" {
			t.Errorf("answered %+v", got)
		}
	})
	eventually(t, "the call", func() bool { return f.pool.count(f.pool.calls) == 1 })
	f.pool.Drain()
	eventually(t, "the worker to learn of it", func() bool { return f.double(0).drained.Load() })
	close(hold)
	wg.Wait()
	f.pool.Close()
	if _, err := f.pool.Invoke(t.Context(), &runtime.Invocation{}); !errors.Is(err, runtime.ErrBusy) || f.pool.Ready() {
		t.Errorf("a closed pool answers %v, want ErrBusy", err)
	}
}

func TestEarlyRequestsWait(t *testing.T) {
	load := make(chan struct{})
	var f *function
	started := make(chan struct{})
	f = serve(t, nil, func(s *setup) {
		s.Queue = 1
		s.launch = func(p *Pool, files []*os.File) (*process, error) {
			close(started)
			<-load
			d := &double{ready: ready, handle: func(c *call) { c.result("late") }}
			return d.launch(p, files)
		}
	})
	<-started
	var wg sync.WaitGroup
	wg.Go(func() {
		if got := f.post(t, "/", ""); got.body != "late" {
			t.Errorf("the early request is answered with %+v", got)
		}
	})
	eventually(t, "the early request", func() bool { return f.pool.count(func() int { return f.pool.loading }) == 1 })
	if got := f.post(t, "/", ""); got.status != 503 || got.header.Get("Retry-After") != "1" {
		t.Errorf("one request too many is answered with %+v, want 503", got)
	}
	ctx, hangUp := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer hangUp()
	f.send(t, ctx, "/", nil)
	close(load)
	wg.Wait()
}

// TestParallelWorkers: one process has all calls.
func TestParallelWorkers(t *testing.T) {
	f := serve(t, func(c *call) { c.result("") }, func(s *setup) { s.Workers, s.ready.Parallel = 4, true })
	if got := f.post(t, "/", ""); got.status != 200 {
		t.Errorf("answered %+v", got)
	}
	time.Sleep(20 * time.Millisecond)
	if n := f.started(); n != 1 {
		t.Errorf("%d workers were started, want 1", n)
	}
}
