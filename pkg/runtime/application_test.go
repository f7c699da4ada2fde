package runtime

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// application is one that is linked into the program.
type application struct{ http.HandlerFunc }

func (application) Invoke(context.Context, *Invocation) (*Result, error) {
	return nil, errors.New("it is an application")
}
func (application) Ready() bool                                       { return true }
func (application) Limits() Limits                                    { return Limits{Timeout: 200 * time.Millisecond, Concurrency: 1} }
func (application) Traits(context.Context, time.Time) (Traits, error) { return Traits{Raw: true}, nil }

func (a application) Serve(ctx context.Context, w http.ResponseWriter, in *Invocation) {
	a.ServeHTTP(w, in.Request().WithContext(ctx))
}

func serveApplication(t *testing.T, cfg *Config, handler http.HandlerFunc) (*Server, string) {
	t.Helper()
	telemetry, err := StartTelemetry(t.Context(), cfg, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(cfg, application{handler}, telemetry)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

// TestApplicationsAreCounted by what the client saw.
func TestApplicationsAreCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    outcome
	}{
		"nothing":       {func(http.ResponseWriter, *http.Request) {}, outcomeSuccess},
		"not found":     {http.NotFound, outcomeSuccess},
		"error":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, outcomeError},
		"invalid reply": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(700) }, outcomeError},
		"panic":         {func(http.ResponseWriter, *http.Request) { panic("x") }, outcomeError},
		"abort":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, outcomeError},
		"later panic":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK); panic(errors.New("x")) }, outcomeError},
		"timeout":       {func(_ http.ResponseWriter, r *http.Request) { time.Sleep(300 * time.Millisecond) }, outcomeTimeout},
		"upgrade": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}, outcomeSuccess},
		"upgrade that fails": {func(w http.ResponseWriter, _ *http.Request) {
			_, _, _ = w.(http.Hijacker).Hijack()
			panic("x")
		}, outcomeError},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := serveApplication(t, &Config{MaxBody: 1024}, tt.handler)
			if response, err := http.Get(url); err == nil { // some are cut off
				response.Body.Close()
			}
			count := &s.telemetry.byOutcome[tt.want].count
			for deadline := time.Now().Add(10 * time.Second); count.Load() == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("it is not counted as %s", tt.want)
				}
			}
			for o, m := range s.telemetry.byOutcome {
				if n := m.count.Load(); o != tt.want && n > 0 || n > 1 {
					t.Errorf("%d are counted as %s", n, o)
				}
			}
		})
	}
}

// TestUpgradesAtTheTimeout: the connection is closed, whoever has it.
func TestUpgradesAtTheTimeout(t *testing.T) {
	read := make(chan error, 1)
	_, url := serveApplication(t, &Config{MaxBody: 1024}, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		read <- err
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "x")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := response.Body.Read(make([]byte, 1)); err == nil {
		t.Errorf("the connection has %d bytes", n)
	}
	select {
	case err := <-read:
		if err == nil {
			t.Error("the application read something")
		}
	case <-time.After(10 * time.Second):
		t.Error("the application still reads")
	}
}

// TestCORSOfApplications is the server's.
func TestCORSOfApplications(t *testing.T) {
	cfg := &Config{MaxBody: 1024, CORS: &config.CORS{AllowOrigins: []string{"https://a.example"}}}
	_, url := serveApplication(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Vary", "Accept")
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://a.example")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	h := response.Header
	if origin := h.Values("Access-Control-Allow-Origin"); !slices.Equal(origin, []string{"https://a.example"}) || !slices.Equal(h.Values("Vary"), []string{"Origin", "Accept"}) {
		t.Errorf("the headers are %v", h)
	}
}

// TestUpgradesOfServe: connections that an application takes over work as others do, and do not
// hold up the end.
func TestUpgradesOfServe(t *testing.T) {
	cfg := &Config{MaxBody: 1024, DrainTimeout: 10 * time.Second}
	s, _ := serveApplication(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			for b := []byte{0}; ; {
				if _, err := buffered.Read(b); err != nil {
					return
				}
				_, _ = conn.Write(b)
			}
		}()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, cfg, s, listener) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // of a connection that is open
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answered %+v, %v", response, err)
	}
	response.Body.Close()
	for range 2 { // also past the timeout, for the application has returned
		_, _ = io.WriteString(conn, "abc")
		got := make([]byte, 3)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "abc" {
			t.Fatalf("the connection has %q, %v", got, err)
		}
		time.Sleep(250 * time.Millisecond)
	}
	cancel()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the connection holds up the end")
	}
}
