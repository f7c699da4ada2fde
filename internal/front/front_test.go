package front

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

const patience = 20 * time.Second

// TestMain lets this program be a worker, too.
func TestMain(m *testing.M) {
	if os.Getenv("FRONT_TEST_WORKER") != "" {
		runWorker()
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGCHLD) // package signal keeps a goroutine from then on
	signal.Stop(c)
	os.Exit(m.Run())
}

// function is a pool behind the runtime's server.
type function struct {
	*httptest.Server
	pool    *Pool
	doubles []*double
	mu      sync.Mutex
}

// setup of a function.
type setup struct {
	runtime.PoolConfig
	timing    timing
	ready     protocol.Control
	reaps     bool
	httpEvent string
	launch    func(*Pool, []*os.File) (*process, error) // nil: doubles
}

// serve starts a function whose workers are doubles, and checks at its end that
// nothing of it is left.
func serve(t *testing.T, handle func(*call), change ...func(*setup)) *function {
	t.Helper()
	s := &setup{PoolConfig: runtime.PoolConfig{Handler: "h", TaskRoot: t.TempDir(), Workers: 1, Concurrency: 100, Queue: 100, Timeout: patience, StartTimeout: patience, MaxBody: 1 << 20},
		timing: timing{ping: 10 * time.Millisecond, blocked: patience, overdue: 50 * time.Millisecond, death: 200 * time.Millisecond, stop: patience}, ready: ready}
	for _, c := range change {
		c(s)
	}
	leavesNothing(t)
	f := &function{}
	cfg := &runtime.Config{MaxBody: s.MaxBody, EventSource: "/f", Function: "f", HTTPEvent: s.httpEvent}
	telemetry, err := runtime.StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if s.launch == nil {
		s.launch = func(p *Pool, files []*os.File) (*process, error) {
			d := &double{ready: s.ready, handle: handle}
			f.mu.Lock()
			f.doubles = append(f.doubles, d)
			f.mu.Unlock()
			return d.launch(p, files)
		}
	}
	f.pool = start(&Pool{cfg: &s.PoolConfig, timing: s.timing, telemetry: telemetry, stdout: io.Discard, stderr: io.Discard, launch: s.launch, reaps: s.reaps})
	server := runtime.NewServer(cfg, f.pool, telemetry)
	f.Server = httptest.NewServer(server)
	t.Cleanup(func() {
		f.pool.Close() // before Server.Close, which waits for open requests
		f.Close()
		server.Close()
		telemetry.Shutdown()
	})
	return f
}

// leavesNothing checks at the test's end that goroutines and descriptors are as many
// as before it.
func leavesNothing(t *testing.T) {
	t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return 0 // another system
		}
		return len(entries)
	}
	goroutines, files := goruntime.NumGoroutine(), descriptors()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		deadline := time.Now().Add(patience)
		for goruntime.NumGoroutine() > goroutines || descriptors() > files {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%d goroutines and %d descriptors are left, want %d and %d:\n%s", goruntime.NumGoroutine(), descriptors(), goroutines, files, stacks[:goruntime.Stack(stacks, true)])
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// started is how many workers were started.
func (f *function) started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.doubles)
}

func (f *function) double(n int) *double {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n >= len(f.doubles) {
		return nil
	}
	return f.doubles[n]
}

// reply to a request.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the body
}

// post sends a request; pairs are headers and their values in turns.
func (f *function) post(t testing.TB, path, body string, pairs ...string) reply {
	t.Helper()
	return f.send(t, t.Context(), path, strings.NewReader(body), pairs...)
}

func (f *function) send(t testing.TB, ctx context.Context, path string, body io.Reader, pairs ...string) reply { //nolint:revive // t first
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{status: response.StatusCode, header: response.Header, body: string(text), err: err}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// count returns a number that the pool's lock guards.
func (p *Pool) count(of func() int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return of()
}

// accepting is how many workers take calls; calls is how many have no answer.
func (p *Pool) accepting() (n int) {
	for _, w := range p.workers {
		if !w.refuses {
			n++
		}
	}
	return n
}

func (p *Pool) calls() int { return p.open }

func TestCalls(t *testing.T) {
	seen := make(chan *call, 1)
	f := serve(t, func(c *call) {
		seen <- c
		c.answer(protocol.Answer{Kind: protocol.Result, Status: 201, ContentType: "text/plain", Headers: []protocol.Pair{{"x-a", "1"}, {"X-A", "2"}, {"connection", "close"}, {"content-length", "1"}},
			Cookies: []string{"a=1", "b=2; HttpOnly"}}, "got "+string(c.body))
	})
	for range 3 { // the slot serves one call after another
		got := f.post(t, "/a%20b/c?x=1&y=%C3%A9+&x=2&z&%zz=1", "body", "X-B", "1", "X-B", "2", "Content-Type", "text/csv")
		c := <-seen
		if c.Method != http.MethodPost || c.Path != "/a%20b/c" || c.ContentType != "text/csv" || c.Timeout < 1 || c.Timeout > patience.Milliseconds() || c.More {
			t.Errorf("the call is %+v", c.Call)
		}
		if want := "[[x 1] [y é ] [x 2] [z ] [%zz 1]]"; fmt.Sprint(c.Query) != want {
			t.Errorf("the query is %v, want %v", c.Query, want)
		}
		if text := fmt.Sprint(c.Headers); !strings.Contains(text, "[x-b 1] [x-b 2]") || !strings.Contains(text, "[host "+strings.TrimPrefix(f.URL, "http://")+"]") {
			t.Errorf("the headers are %v", c.Headers)
		}
		if got.status != 201 || got.body != "got body" || got.header.Get("Content-Type") != "text/plain" || fmt.Sprint(got.header["X-A"]) != "[1 2]" ||
			fmt.Sprint(got.header["Set-Cookie"]) != "[a=1 b=2; HttpOnly]" || got.header.Get("Connection") != "" {
			t.Errorf("answered %+v", got)
		}
	}
	if opened := f.double(0).opened.Load(); opened != 1 {
		t.Errorf("%d slots were opened for one call at a time, want 1", opened)
	}
}

func TestEventCalls(t *testing.T) {
	f := serve(t, func(c *call) {
		if c.Event["type"] != "t" || c.Event["ext"] != "e" || strings.Contains(fmt.Sprint(c.Headers), "[ce-") {
			c.answer(protocol.Answer{Kind: protocol.Error, Type: "Wrong", Message: fmt.Sprint(c.Event, c.Headers)}, "")
			return
		}
		c.answer(protocol.Answer{Kind: protocol.Result, ContentType: "application/json", Status: 503, Headers: []protocol.Pair{{"Retry-After", "7"}}, Cookies: []string{"a=1"}, More: true}, `{"a`)
		_ = c.chunk(`":1}`)
		c.end()
	})
	got := f.post(t, "/", "{}", "Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t", "Ce-Ext", "e")
	if got.status != 503 || got.header.Get("Ce-Type") != "io.knative.lambda.response.error" || got.body != `{"a":1}` || got.header.Get("Retry-After") != "7" || got.header.Get("Set-Cookie") != "" {
		t.Errorf("answered %+v", got)
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("日", 1<<17)
	for _, tt := range []struct {
		name   string
		answer protocol.Answer
		status int
		want   string
	}{
		{"an error", protocol.Answer{Type: "ValueError", Message: "no"}, 500, `{"type":"ValueError","message":"no","permanent":false}`},
		{"permanent", protocol.Answer{Type: "E", Message: "no", Permanent: true}, 422, `{"type":"E","message":"no","permanent":true}`},
		{"bad input", protocol.Answer{Type: "InvalidRequest", Message: "no", BadInput: true}, 400, `{"type":"InvalidRequest","message":"no","permanent":true}`},
		{"a status", protocol.Answer{Type: "HTTPError", Message: "no", Status: 405, Headers: []protocol.Pair{{"allow", "GET"}}}, 405, `{"type":"HTTPError","message":"no","permanent":false}`},
		{"a status that is none", protocol.Answer{Type: "HTTPError", Message: "no", Status: 200}, 500, `{"type":"HTTPError","message":"no","permanent":false}`},
		{"long text", protocol.Answer{Type: "E", Message: long, Stack: long}, 500, `{"type":"E","message":"` + long[:protocol.MaxMessage/3*3] + `","permanent":false}`},
		{"text without an end", protocol.Answer{Type: "E", Message: strings.Repeat("x", protocol.MaxHeader)}, 500,
			`{"type":"InvalidReply","message":"the reply is too long: a frame's header is too long: expected at most 1048576 bytes","permanent":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, func(c *call) {
				if c.Path == "/again" {
					c.result("fine")
					return
				}
				tt.answer.Kind, tt.answer.ID = protocol.Error, c.ID
				c.unbounded(tt.answer, "xyz")
			})
			got := f.post(t, "/", "")
			if got.status != tt.status || got.body != tt.want || tt.status == 405 && got.header.Get("Allow") != "GET" {
				t.Errorf("answered %.300v\nwant %d %.300s", got, tt.status, tt.want)
			}
			if got := f.post(t, "/again", ""); got.body != "fine" {
				t.Errorf("the next call is answered with %+v", got)
			}
			if n := f.started(); n != 1 {
				t.Errorf("%d workers were started, want 1: text of the function has killed one", n)
			}
		})
	}
}

func TestInvalidReplies(t *testing.T) {
	many := make([]protocol.Pair, protocol.MaxReplyLines+1)
	for i := range many {
		many[i] = protocol.Pair{"x", "y"}
	}
	for _, tt := range []struct {
		name   string
		answer protocol.Answer
		body   string
		want   string
	}{
		{"status", protocol.Answer{Status: 100}, "", "the handler returned the status 100, expected one from 200 to 599"},
		{"line break", protocol.Answer{Headers: []protocol.Pair{{"x", "a\r\nb: c"}}}, "", `the handler returned the header "X": "a\r\nb: c", expected a name of letters, digits and - and a value without line breaks`},
		{"name", protocol.Answer{Headers: []protocol.Pair{{"x y", "a"}}}, "", `the handler returned the header "x y": "a", expected a name of letters, digits and - and a value without line breaks`},
		{"many lines", protocol.Answer{Headers: many}, "", "the handler returned 91 headers of 182 bytes, expected at most 90 of 57344"},
		{"long", protocol.Answer{Headers: []protocol.Pair{{"x", strings.Repeat("y", 60<<10)}}}, "", "the handler returned 1 headers of 61441 bytes, expected at most 90 of 57344"},
		{"streamed", protocol.Answer{Status: 999, More: true}, "", "the handler returned the status 999, expected one from 200 to 599"},
		{"content type", protocol.Answer{ContentType: "a\nb"}, "", `the handler returned the content type "a\nb", expected one without line breaks`},
		{"body", protocol.Answer{}, strings.Repeat("x", 1<<20+1), "the reply is too long: the handler returned 1048577 bytes, expected at most 1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, func(c *call) {
				if c.Path == "/again" {
					c.result("fine")
					return
				}
				tt.answer.Kind = protocol.Result
				c.answer(tt.answer, tt.body)
				if tt.answer.More {
					if reason := <-c.cancel; reason != protocol.ReasonDisconnect {
						t.Errorf("cancelled by %q", reason)
					}
					c.end()
				}
			})
			got := f.post(t, "/", "")
			if got.status != 500 || !strings.HasPrefix(got.body, `{"type":"InvalidReply","message":`) || !strings.Contains(got.body, quoted(tt.want)) {
				t.Errorf("answered %.300v\nwant %s", got, tt.want)
			}
			if got := f.post(t, "/again", ""); got.body != "fine" || f.started() != 1 {
				t.Errorf("the next call is answered with %+v, after %d workers", got, f.started())
			}
		})
	}
}

func TestFewestOpenCalls(t *testing.T) {
	var calls atomic.Int32
	hold := make(chan struct{})
	f := serve(t, func(c *call) {
		calls.Add(1)
		<-hold
		c.result("")
	}, func(s *setup) { s.Workers, s.Concurrency, s.Queue = 4, 40, 1 })
	eventually(t, "four workers", func() bool { return f.pool.count(f.pool.accepting) == 4 })
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if got := f.post(t, "/", ""); got.status != 200 {
				t.Errorf("answered %+v", got)
			}
		})
	}
	eventually(t, "all calls at once", func() bool { return calls.Load() == 40 })
	for _, w := range f.pool.workers {
		if n := f.pool.count(func() int { return w.busy }); n != 10 {
			t.Errorf("a worker has %d calls, want 10", n)
		}
	}
	wg.Go(func() {
		if got := f.post(t, "/", ""); got.status != 200 {
			t.Errorf("the call that waited is answered with %+v", got)
		}
	})
	eventually(t, "a call to wait", func() bool { return f.pool.count(f.pool.waiters.Len) == 1 })
	got := f.post(t, "/", "")
	if want := `{"type":"Busy","message":"too many requests wait for a worker: 1","permanent":false}`; got.status != 503 || got.body != want || got.header.Get("Retry-After") != "1" {
		t.Errorf("answered %+v, want 503 %s", got, want)
	}
	close(hold)
	wg.Wait()
}

func TestSlowUploadsTakeNoSlot(t *testing.T) {
	f := serve(t, func(c *call) { c.result(string(c.body)) }, func(s *setup) { s.Concurrency, s.Queue = 1, 0 })
	eventually(t, "the worker", f.pool.Ready)
	r, w := io.Pipe()
	slow := make(chan reply)
	go func() { slow <- f.send(t, t.Context(), "/", r) }()
	if _, err := w.Write([]byte("slow")); err != nil {
		t.Fatal(err)
	}
	if got := f.post(t, "/", "fast"); got.body != "fast" {
		t.Errorf("a call beside the slow upload is answered with %+v", got)
	}
	w.Close()
	if got := <-slow; got.body != "slow" {
		t.Errorf("the slow upload is answered with %+v", got)
	}
}

// quoted is text within JSON.
func quoted(text string) string {
	quoted, _ := json.Marshal(text)
	return strings.Trim(string(quoted), `"`)
}
