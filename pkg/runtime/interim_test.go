package runtime

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// serveOn serves the handler until the test ends, and returns its address.
func serveOn(t *testing.T, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, &Config{DrainTimeout: 2 * time.Millisecond}, handler, listener) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return listener.Addr().String()
}

// TestNoInterimResponse: the first line of a response is that of its status, on
// connections that are used again, too.
func TestNoInterimResponse(t *testing.T) {
	address := serveOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(body)
	}))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	responses := bufio.NewReader(conn)
	for _, body := range []string{"first", interim, "third"} { // a body that reads like the line is sent
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: f\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
		time.Sleep(20 * time.Millisecond) // the server reads
		fmt.Fprint(conn, body)
		// An interim response would be read as the response.
		response, err := http.ReadResponse(responses, nil) //nolint:bodyclose // read whole
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || string(got) != body || response.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("answered %s %q, %v, want 422 %q", response.Status, got, err, body)
		}
	}
}
