package lambda

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

// routes of an application.
func routes(ended chan<- error) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Method", FromContext(r.Context()).Method)
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, r.PathValue("id")+" "+string(body)+" "+r.URL.Query().Get("q")+" "+FromContext(r.Context()).FunctionName)
	})
	mux.HandleFunc("GET /nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "own") })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("it failed") })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) })
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", strings.Repeat("x", 60_000))
		if _, err := io.WriteString(w, "x"); err == nil {
			panic("written")
		}
	})
	mux.HandleFunc("GET /hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "a")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		w.Header().Set("X-Ignored", "3")
	})
	for name, then := range map[string]func(){"abort": func() { panic(http.ErrAbortHandler) }, "panic-later": func() { panic("it failed") }} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			then()
		})
	}
	mux.HandleFunc("GET /wait", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a")
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		<-r.Context().Done()
		_, err := io.WriteString(w, "b")
		ended <- err
	})
	return mux
}

func TestApplications(t *testing.T) {
	server := serve(t, routes(nil))
	made := ask(t, http.MethodPut, server.URL+"/items/7?q=x", "body")
	answered(t, made, http.StatusCreated, "7 body x f")
	if h := made.Header; h.Get("X-Method") != http.MethodPut || h.Get("Set-Cookie") != "a=1" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		t.Errorf("the headers are %v", h)
	}
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/nothing":                          {200, ""},
		"/none":                             {404, "404 page not found\n"},
		"/healthz":                          {200, "own"},
		"/panic":                            {500, `{"type":"panic","message":"it failed","permanent":false}`},
		"/status":                           {500, `{"type":"InvalidReply","message":"the handler returned the status 99, expected one from 200 to 599","permanent":false}`},
		"/headers":                          {500, `{"type":"InvalidReply","message":"the handler returned 1 headers of 60003 bytes, expected at most 90 of 57344","permanent":false}`},
		"/.well-known/knative-lambda/ready": {200, ""},
	} {
		answered(t, ask(t, http.MethodGet, server.URL+path, ""), want.status, want.body)
	}
	answered(t, ask(t, http.MethodPost, serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }).URL, "echo"), http.StatusOK, "echo")
}

func TestTrailersOfApplications(t *testing.T) {
	response := ask(t, http.MethodGet, serve(t, routes(nil)).URL+"/hints", "")
	answered(t, response, http.StatusOK, "a")
	if h := response.Trailer; h.Get("X-Sum") != "1" || h.Get("X-Late") != "2" || len(h) != 2 {
		t.Errorf("the trailers are %v", h)
	}
}

func TestApplicationsThatAbort(t *testing.T) {
	server := serve(t, routes(nil))
	for _, path := range []string{"/abort", "/panic-later"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil { // a client sees the head, or nothing
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Errorf("%s ends with %v", path, err)
		}
	}
}

// TestApplicationsThatTakeTooLong: the client gets 504, or its stream is aborted; what the
// application writes then goes nowhere.
func TestApplicationsThatTakeTooLong(t *testing.T) {
	ended := make(chan error, 1)
	server := serve(t, routes(ended), within(100*time.Millisecond))
	answered(t, ask(t, http.MethodGet, server.URL+"/wait", ""), http.StatusGatewayTimeout,
		`{"type":"Timeout","message":"the handler took too long: more than 100ms (spec.runtime.timeout)","permanent":false}`)
	if err := await(t, "the end of its context", ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the context ended with %v", err)
	}
	response := ask(t, http.MethodGet, server.URL+"/stream", "")
	if body, err := io.ReadAll(response.Body); string(body) != "a" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream is %q and ends with %v", body, err)
	}
	_ = await(t, "the handler to return", ended)
}

// TestApplicationsThatHang are cut off although they never return.
func TestApplicationsThatHang(t *testing.T) {
	until := make(chan struct{})
	wrote := make(chan error, 1)
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
		}
		<-until
		w.Header().Set("X-A", "1")
		_, err := io.WriteString(w, "b")
		wrote <- err
	}), within(100*time.Millisecond))
	late := ask(t, http.MethodGet, server.URL+"/", "")
	if _, err := io.ReadAll(late.Body); err != nil || late.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("answered %d, %v", late.StatusCode, err)
	}
	if body, err := io.ReadAll(ask(t, http.MethodGet, server.URL+"/stream", "").Body); string(body) != "a" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream is %q and ends with %v", body, err)
	}
	close(until)
	for range 2 {
		if err := await(t, "the handler to return", wrote); !errors.Is(err, http.ErrHandlerTimeout) {
			t.Errorf("a write after the timeout returned %v", err)
		}
	}
}

// TestClientsThatDoNotRead are cut off at the timeout, although a write holds them.
func TestClientsThatDoNotRead(t *testing.T) {
	ended := make(chan error, 1)
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	}), within(200*time.Millisecond))
	ask(t, http.MethodGet, server.URL, "")
	_ = await(t, "the write to fail", ended)
}

func TestClientsOfApplicationsThatGo(t *testing.T) {
	ended := make(chan error, 1)
	ask(t, http.MethodGet, serve(t, routes(ended)).URL+"/stream", "").Body.Close()
	_ = await(t, "the context to end", ended)
}

// TestUpgrades: an application may take the connection.
func TestUpgrades(t *testing.T) {
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		_, _ = io.WriteString(conn, line)
		if _, err := w.Write(nil); !errors.Is(err, http.ErrHijacked) {
			_, _ = io.WriteString(conn, "written\n")
		}
	}))
	response := ask(t, http.MethodGet, server.URL, "", "Connection", "Upgrade", "Upgrade", "echo")
	conn, ok := response.Body.(io.ReadWriter)
	if !ok || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answered %d", response.StatusCode)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	if line, err := lines.ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("the line is %q, %v", line, err)
	}
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("a second line is %q", line)
	}
}

func TestNilApplications(t *testing.T) {
	var mux *http.ServeMux
	for _, handler := range []any{mux, http.HandlerFunc(nil), (func(http.ResponseWriter, *http.Request))(nil)} {
		if _, err := NewInvoker(handler, runtime.Limits{}, "", "", nil); err == nil || !strings.HasSuffix(err.Error(), "or an http.Handler, and it is nil") {
			t.Errorf("%T: error %v", handler, err)
		}
	}
}
