package front

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// open sends a request and returns when its head has been answered.
func (f *function) open(t *testing.T, body io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestStreamedResults(t *testing.T) {
	next := make(chan string)
	f := serve(t, func(c *call) {
		c.answer(protocol.Answer{Kind: protocol.Result, ContentType: "text/event-stream", Headers: []protocol.Pair{{"x-a", "1"}}, More: true}, "first ")
		for data := range next {
			_ = c.chunk(data)
		}
		c.answer(protocol.Answer{Kind: protocol.End, Trailers: []protocol.Pair{{"x-count", "3"}}}, "")
	})
	response := f.open(t, nil)
	defer response.Body.Close()
	if response.ContentLength != -1 || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("X-A") != "1" {
		t.Errorf("answered %v with a length of %d", response.Header, response.ContentLength)
	}
	piece := make([]byte, 100)
	for _, want := range []string{"first ", "second ", "third"} {
		if want != "first " {
			next <- want
		}
		n, err := response.Body.Read(piece) // each before the next is made
		if err != nil || string(piece[:n]) != want {
			t.Fatalf("read %q, %v, want %q", piece[:n], err, want)
		}
	}
	close(next)
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 || response.Trailer.Get("X-Count") != "3" {
		t.Errorf("the end is %q, %v with the trailers %v", rest, err, response.Trailer)
	}
	f.free(t)
}

// free waits until no slot is taken.
func (f *function) free(t *testing.T) {
	t.Helper()
	eventually(t, "all slots to be free", func() bool {
		return f.pool.count(func() int {
			n := f.pool.open
			for _, w := range f.pool.workers {
				n += w.busy + w.overdue
			}
			return n
		}) == 0
	})
}

func TestAbortedStreams(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*call)
	}{
		{"error", func(c *call) {
			c.answer(protocol.Answer{Kind: protocol.Error, Type: "ValueError", Message: "late"}, "")
		}},
		{"error without an end", func(c *call) {
			c.unbounded(protocol.Answer{Kind: protocol.Error, ID: c.ID, Message: strings.Repeat("x", protocol.MaxHeader)}, "")
		}},
		{"timeout", func(c *call) {
			<-c.cancel
			c.end()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, func(c *call) {
				c.stream()
				_ = c.chunk("begun")
				tt.end(c)
			}, func(s *setup) { s.Timeout = 200 * time.Millisecond })
			if got := f.post(t, "/", ""); got.status != 200 || got.body != "begun" || !errors.Is(got.err, io.ErrUnexpectedEOF) {
				t.Errorf("answered %+v, want an end that is not expected", got)
			}
			f.free(t)
			if f.started() != 1 {
				t.Errorf("%d workers were started, want 1", f.started())
			}
		})
	}
}

func TestClientsThatHangUp(t *testing.T) {
	for name, streamed := range map[string]bool{"before the answer": false, "in a stream": true} {
		t.Run(name, func(t *testing.T) {
			began, reasons := make(chan struct{}), make(chan string, 1)
			f := serve(t, func(c *call) {
				if streamed {
					c.stream()
					_ = c.chunk("begun")
				}
				close(began)
				reasons <- <-c.cancel
				if streamed {
					_ = c.chunk("late")
					c.end()
				} else {
					c.result("late")
				}
			})
			ctx, hangUp := context.WithCancel(t.Context())
			done := make(chan reply)
			go func() { done <- f.send(t, ctx, "/", nil) }()
			<-began
			hangUp()
			if got := <-done; got.err == nil {
				t.Errorf("answered %+v", got)
			}
			if reason := <-reasons; reason != protocol.ReasonDisconnect {
				t.Errorf("cancelled by %q, want %q", reason, protocol.ReasonDisconnect)
			}
			f.free(t)
		})
	}
}

// TestSlowReaders: one that does not read holds its slot, and no memory but that of
// the connections on the way.
func TestSlowReaders(t *testing.T) {
	var sent atomic.Int64
	f := serve(t, func(c *call) {
		if c.Method == http.MethodGet {
			c.result("fast")
			return
		}
		c.stream()
		for range 1000 {
			if c.chunk(strings.Repeat("x", protocol.MaxChunk)) != nil {
				return
			}
			sent.Add(protocol.MaxChunk)
		}
		c.end()
	}, func(s *setup) { s.Concurrency, s.Queue = 2, 0 })
	eventually(t, "the worker", f.pool.Ready)
	response := f.open(t, nil)
	defer response.Body.Close()
	last := int64(-1)
	eventually(t, "the worker to be held up", func() bool {
		time.Sleep(50 * time.Millisecond)
		now := sent.Load()
		held := now == last
		last = now
		return held
	})
	if last > 32<<20 {
		t.Errorf("%d bytes were sent that the client does not read", last)
	}
	for range 10 {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL, nil)
		got, err := http.DefaultClient.Do(r)
		if err != nil || got.StatusCode != http.StatusOK {
			t.Fatalf("a call beside the slow reader: %v, %v", got, err)
		}
		got.Body.Close()
	}
	if n := f.pool.count(f.pool.calls); n != 1 {
		t.Errorf("%d slots are taken, want 1", n)
	}
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != 1000*protocol.MaxChunk {
		t.Errorf("read %d bytes, %v", n, err)
	}
	f.free(t)
}

func TestSlowReadersMeetTheTimeout(t *testing.T) {
	f := serve(t, func(c *call) {
		c.stream()
		for c.chunk(strings.Repeat("x", protocol.MaxChunk)) == nil {
			select {
			case <-c.cancel:
				c.end()
				return
			default:
			}
		}
	}, func(s *setup) { s.Timeout = 200 * time.Millisecond })
	response := f.open(t, nil)
	defer response.Body.Close()
	f.free(t)
	if _, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Error("the client takes what it was sent for whole")
	}
}

func streaming(s *setup) { s.ready.RequestStream = true }

func TestStreamedRequests(t *testing.T) {
	f := serve(t, func(c *call) {
		text, err := c.readStream()
		if err != nil {
			text += " and " + err.Error()
		}
		c.result(text)
	}, streaming)
	if got := f.post(t, "/", ""); got.status != 200 || got.body != "" {
		t.Errorf("a request without a body is answered with %+v", got)
	}
	for range 3 {
		if got := f.post(t, "/", "hello"); got.body != "hello" {
			t.Errorf("answered %+v", got)
		}
		long := strings.Repeat("0123456789", 1<<18) // longer than what is buffered
		if got := f.post(t, "/", long); got.body != "" && got.body != long && got.status != 500 {
			t.Errorf("a long request is answered with %d and %d bytes", got.status, len(got.body))
		}
	}
	f.free(t)
}

// TestBothDirectionsAtOnce: a piece is answered before the next is sent.
func TestBothDirectionsAtOnce(t *testing.T) {
	f := serve(t, func(c *call) {
		c.stream()
		for {
			_, size, err := c.frames.Next()
			if err != nil || size == 0 {
				break
			}
			piece, _ := io.ReadAll(c.frames)
			_ = c.chunk("<" + string(piece) + ">")
		}
		c.end()
	}, streaming)
	r, w := io.Pipe()
	go func() { _, _ = w.Write([]byte("1")) }()
	response := f.open(t, r)
	defer response.Body.Close()
	piece := make([]byte, 100)
	for _, next := range []string{"2", "3", ""} {
		if n, err := response.Body.Read(piece); err != nil || n != 3 {
			t.Fatalf("read %q, %v", piece[:n], err)
		}
		if next != "" {
			go func() { _, _ = w.Write([]byte(next)) }()
		}
	}
	w.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		t.Errorf("the end is %q, %v", rest, err)
	}
	f.free(t)
}

// TestEarlyReplies: the slot is free when the worker has read that the body ends.
func TestEarlyReplies(t *testing.T) {
	dropped := make(chan error, 1)
	f := serve(t, func(c *call) {
		c.result("early")
		_, err := c.readStream()
		dropped <- err
	}, streaming, func(s *setup) { s.Concurrency, s.Queue = 1, 10 })
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte("begun")) }()
	got := f.send(t, t.Context(), "/", r)
	if got.status != 200 || got.body != "early" {
		t.Errorf("answered %+v", got)
	}
	if err := <-dropped; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the body ended with %v, want an error frame", err)
	}
	if got := f.post(t, "/", "again"); got.body != "early" {
		t.Errorf("the next call is answered with %+v", got)
	}
	<-dropped
	f.free(t)
}

// TestRequestsThatBreakOff: the handler learns that the body is not whole.
func TestRequestsThatBreakOff(t *testing.T) {
	ends := make(chan error, 1)
	f := serve(t, func(c *call) {
		_, err := c.readStream()
		ends <- err
		c.result("")
	}, streaming)
	ctx, hangUp := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { f.send(t, ctx, "/", r) })
	if _, err := w.Write([]byte("begun")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the call", func() bool { return f.pool.count(f.pool.calls) == 1 })
	hangUp()
	w.CloseWithError(io.ErrClosedPipe)
	if err := <-ends; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the body ended with %v, want an error frame", err)
	}
	wg.Wait()
	f.free(t)
}
