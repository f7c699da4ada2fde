package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

func yields[T any](values ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func TestStreams(t *testing.T) {
	for name, tt := range map[string]struct {
		value             any
		contentType, body string
	}{
		"bytes":          {yields([]byte("a"), nil, []byte("b")), "application/octet-stream", "ab"},
		"text":           {yields("a", "b"), "text/plain; charset=utf-8", "ab"},
		"values":         {yields(1, 2), "application/x-ndjson", "1\n2\n"},
		"text as any":    {yields[any]("a", []byte("b")), "text/plain; charset=utf-8", "ab"},
		"values as any":  {yields[any](1, "b"), "application/x-ndjson", "1\n\"b\"\n"},
		"reader":         {strings.NewReader("abc"), "application/octet-stream", "abc"},
		"long":           {strings.NewReader(strings.Repeat("x", 100_000)), "application/octet-stream", strings.Repeat("x", 100_000)},
		"no bytes":       {yields[[]byte](), "application/octet-stream", ""},
		"no text":        {yields[string](), "text/plain; charset=utf-8", ""},
		"no values":      {yields[int](), "application/x-ndjson", ""},
		"empty reader":   {strings.NewReader(""), "application/octet-stream", ""},
		"response":       {Response{Header: http.Header{"Content-Type": {"text/csv"}}, Body: yields("a")}, "text/csv", "a"},
		"events":         {yields(ServerSentEvent{Data: "a\r\nb"}, ServerSentEvent{Event: "e", ID: "1", Retry: time.Second, Data: 1}), "text/event-stream", "data: a\ndata: b\n\nevent: e\nid: 1\nretry: 1000\ndata: 1\n\n"},
		"declared type":  {func(yield func(string, error) bool) { yield("a", nil) }, "text/plain; charset=utf-8", "a"},
		"raw JSON items": {yields[any](map[string]string{"a": "<"}), "application/x-ndjson", "{\"a\":\"<\"}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			response := ask(t, http.MethodPost, serve(t, func() any { return tt.value }).URL, "")
			if got := response.Header.Get("Content-Type"); got != tt.contentType {
				t.Errorf("the content type is %s, want %s", got, tt.contentType)
			}
			answered(t, response, http.StatusOK, tt.body)
		})
	}
}

// TestPiecesComeOneByOne: a piece is produced when the one before has been read.
func TestPiecesComeOneByOne(t *testing.T) {
	produced := 0
	i := invoker(t, func() iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for produced = 1; yield("xy", nil); produced++ {
			}
		}
	})
	result, err := i.Invoke(t.Context(), &runtime.Invocation{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		if want := max(1, (n+1)/2); produced != want { // each piece is read in two
			t.Errorf("%d pieces have been produced before read %d, want %d", produced, n, want)
		}
		if _, err := io.ReadFull(result.Stream, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := result.Stream.Close(); err != nil {
		t.Error(err)
	}
	await(t, "the iterator to return", result.Stream.(*stream).Done())
}

// TestTheFirstPieceIsSent before there is a second.
func TestTheFirstPieceIsSent(t *testing.T) {
	next := make(chan struct{})
	server := serve(t, func() iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			if yield("first ", nil) {
				<-next
				yield("last", nil)
			}
		}
	})
	response := ask(t, http.MethodGet, server.URL, "")
	first := make([]byte, 6)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first " {
		t.Errorf("the first piece is %q, %v", first, err)
	}
	close(next)
	answered(t, response, http.StatusOK, "last")
}

func TestStreamsThatFail(t *testing.T) {
	failing := func(after int, fail func() error) func() iter.Seq2[any, error] {
		return func() iter.Seq2[any, error] {
			return func(yield func(any, error) bool) {
				for range after {
					yield("a", nil)
				}
				yield(nil, fail())
			}
		}
	}
	fails := func() error { return &HTTPError{Status: 409, Message: "it failed"} }
	panics := func() error { panic("it failed") }
	for name, tt := range map[string]struct {
		handler any
		status  int
		body    string
		aborted bool
	}{
		"at first":       {failing(0, fails), 409, `{"type":"HTTPError","message":"it failed","permanent":false}`, false},
		"later":          {failing(1, fails), 200, "a", true},
		"panic at first": {failing(0, panics), 500, `{"type":"panic","message":"it failed","permanent":false}`, false},
		"panic later":    {failing(1, panics), 200, "a", true},
		"reader":         {func() io.Reader { return io.MultiReader(strings.NewReader("a"), broken{}) }, 200, "a", true},
		"broken reader":  {func() io.Reader { return broken{} }, 500, `{"type":"error","message":"it broke","permanent":false}`, false},
		"other kind":     {func() iter.Seq2[any, error] { return yields[any]("a", 1) }, 200, "a", true},
		"no JSON":        {func() any { return yields(func() {}) }, 500, `{"type":"InvalidReply","message":"the handler returned a value of type func() that cannot be written as JSON: json: unsupported type: func()","permanent":false}`, false},
		"no line": {func() any { return yields(ServerSentEvent{ID: "a\nb"}) }, 500,
			`{"type":"InvalidReply","message":"the handler returned a server-sent event with the id \"a\\nb\", expected one line","permanent":false}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, tt.handler)
			response := ask(t, http.MethodPost, server.URL, "")
			body, err := io.ReadAll(response.Body)
			if response.StatusCode != tt.status || string(body) != tt.body || errors.Is(err, io.ErrUnexpectedEOF) != tt.aborted {
				t.Errorf("answered %d %s, %v, want %d %s, aborted: %t", response.StatusCode, body, err, tt.status, tt.body, tt.aborted)
			}
			if event := ask(t, http.MethodPost, server.URL, "", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t", "Ce-Specversion", "1.0"); event.StatusCode < 400 {
				t.Errorf("an event is answered %d", event.StatusCode)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("it broke") }

// waiting is a reader that waits after its first byte, until it is closed.
type waiting struct {
	first  io.Reader
	closed chan struct{}
}

func (w waiting) Read(p []byte) (int, error) {
	if n, err := w.first.Read(p); err == nil {
		return n, nil
	}
	<-w.closed
	return 0, errors.New("closed")
}

func (w waiting) Close() error { close(w.closed); return nil }

// TestStreamsThatAreCutOff: the client goes away, or the timeout comes. Contexts end, and readers
// are closed.
func TestStreamsThatAreCutOff(t *testing.T) {
	for _, timeout := range []time.Duration{time.Minute, 100 * time.Millisecond} {
		reader := waiting{strings.NewReader("a"), make(chan struct{})}
		ended := make(chan error, 1)
		for name, handler := range map[string]any{
			"reader": func() io.Reader { return reader },
			"iterator": func(ctx context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					yield("a", nil)
					<-ctx.Done()
					ended <- ctx.Err()
					yield("", ctx.Err())
				}
			},
		} {
			t.Run(fmt.Sprint(name, timeout), func(t *testing.T) {
				response := ask(t, http.MethodGet, serve(t, handler, within(timeout)).URL, "")
				if _, err := io.ReadFull(response.Body, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				if timeout == time.Minute {
					response.Body.Close()
				} else if _, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the body ends with %v", err)
				}
				if name == "reader" {
					await(t, "the reader to be closed", reader.closed)
				} else if err := await(t, "the context to end", ended); err == nil {
					t.Error("the context has no error")
				}
			})
		}
	}
}

// TestHEADProducesNoMore than the first piece.
func TestHEADProducesNoMore(t *testing.T) {
	ended := make(chan bool, 1)
	server := serve(t, func() iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { ended <- yield("a", nil) }
	})
	answered(t, ask(t, http.MethodHead, server.URL, ""), http.StatusOK, "")
	if await(t, "the iterator", ended) {
		t.Error("a second piece was asked for")
	}
}

// TestStreamsThatAreTooLate are closed: the caller has been answered.
func TestStreamsThatAreTooLate(t *testing.T) {
	body := closer{strings.NewReader("x"), make(chan struct{})}
	server := serve(t, func(ctx context.Context) io.Reader {
		time.Sleep(100 * time.Millisecond)
		return body
	}, within(50*time.Millisecond))
	if response := ask(t, http.MethodGet, server.URL, ""); response.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("answered %d", response.StatusCode)
	}
	await(t, "the reader to be closed", body.closed)
}
