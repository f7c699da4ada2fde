package httpserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience bounds what these tests wait for.
const patience = 20 * time.Second

// start serves o on loopback and returns its address.
func start(t *testing.T, o Options) string {
	t.Helper()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, listener := New(o, inner)
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	return inner.Addr().String()
}

func dial(t *testing.T, address, request string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

// closed waits until the server has closed the connection and returns what came.
func closed(t *testing.T, c net.Conn) string {
	t.Helper()
	got, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the server keeps the connection; it answered %q", got)
	}
	return string(got)
}

const (
	post    = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
	bounded = 200 * time.Millisecond
)

// TestTimeouts: a peer that sends its header, its body or its next request too slowly
// loses its connection.
func TestTimeouts(t *testing.T) {
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, "slow", http.StatusRequestTimeout)
		}
	})
	for name, tc := range map[string]struct {
		options Options
		request string
		want    string
	}{
		"header":       {Options{HeaderTimeout: bounded}, "POST / HTTP/1.1\r\nHost:", ""},
		"body":         {Options{ReadTimeout: bounded}, post + "a", "HTTP/1.1 408"},
		"next request": {Options{IdleTimeout: bounded}, post + "abcd", "HTTP/1.1 200"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.Handler = read
			if got := closed(t, dial(t, start(t, tc.options), tc.request)); !strings.HasPrefix(got, tc.want) {
				t.Errorf("answer = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestReadTimeout_EndsWithTheBody: a handler may take longer than reading its request,
// and is not cancelled.
func TestReadTimeout_EndsWithTheBody(t *testing.T) {
	for name, request := range map[string]string{"with a body": post + "abcd", "without": "GET / HTTP/1.1\r\nHost: h\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			address := start(t, Options{ReadTimeout: bounded, IdleTimeout: bounded, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				select {
				case <-r.Context().Done():
				case <-time.After(3 * bounded): // longer than the timeout
				}
				ended <- r.Context().Err()
			})})
			got := closed(t, dial(t, address, request))
			if err := <-ended; err != nil || !strings.HasPrefix(got, "HTTP/1.1 200") {
				t.Errorf("the handler ended with %v and was answered %q", err, got)
			}
		})
	}
}

// TestWriteTimeout: a stream ends when its reader stops reading, and not before.
func TestWriteTimeout(t *testing.T) {
	failed := make(chan error, 1)
	address := start(t, Options{WriteTimeout: bounded, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line := []byte(strings.Repeat("x", 64<<10))
		for {
			if _, err := w.Write(line); err != nil {
				failed <- err
				return
			}
		}
	})})
	dial(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	select {
	case <-failed:
	case <-time.After(patience):
		t.Fatal("the server waits for a reader that does not read")
	}
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from, at string
}

func addr(text string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		panic(err)
	}
	return a
}

func (c *fakeConn) RemoteAddr() net.Addr { return addr(c.from) }
func (c *fakeConn) LocalAddr() net.Addr  { return addr(c.at) }
func (c *fakeConn) Close() error         { return nil }

// fakeListener accepts connections from these addresses, and none after them.
type fakeListener struct{ from []string }

func (l *fakeListener) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, net.ErrClosed
	}
	c := &fakeConn{from: l.from[0], at: "10.0.0.1:80"}
	l.from = l.from[1:]
	return c, nil
}
func (*fakeListener) Close() error   { return nil }
func (*fakeListener) Addr() net.Addr { return addr("10.0.0.1:80") }

// TestConnections: one address has no more than its bound, all have no more than theirs,
// and a closed connection makes room.
func TestConnections(t *testing.T) {
	inner := &fakeListener{from: []string{"10.0.0.2:1", "10.0.0.2:2", "10.0.0.2:3", "[::ffff:10.0.0.2]:4", "10.0.0.3:1", "127.0.0.1:1", "10.0.0.1:1", "10.0.0.4:1"}}
	o := Options{Connections: 5, PerAddress: 2}
	o.complete()
	l := newListener(inner, &o)
	var open []net.Conn
	accept := func() (froms []string) {
		for {
			c, err := l.Accept()
			if err != nil {
				return froms
			}
			open, froms = append(open, c), append(froms, c.RemoteAddr().String())
		}
	}
	if got, want := strings.Join(accept(), " "), "10.0.0.2:1 10.0.0.2:2 10.0.0.3:1 127.0.0.1:1 10.0.0.1:1"; got != want {
		t.Errorf("accepted %s, want %s", got, want)
	}
	for range 2 { // which counts once
		if err := open[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	inner.from = []string{"10.0.0.2:5", "10.0.0.2:6"}
	if got := strings.Join(accept(), " "); got != "10.0.0.2:5" {
		t.Errorf("accepted %s after one was closed, want one", got)
	}
}

// TestServe_Drains: requests in flight end, and the server with them.
func TestServe_Drains(t *testing.T) {
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	begun, finish, served := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		served <- Serve(ctx, Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-finish
			_, _ = io.WriteString(w, "whole")
		})}, inner)
	}()
	c := dial(t, inner.Addr().String(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-begun
	end()
	close(finish)
	if got := closed(t, c); !strings.HasSuffix(got, "whole") {
		t.Errorf("answer = %q", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v", err)
	}
}
