package egress

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDialer: the address that a name resolves to decides, unless the name itself is
// trusted.
func TestDialer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	dial := Dialer(func(hostPort string, address netip.Addr) error {
		asked = append(asked, hostPort)
		if hostPort == "127.0.0.1:"+port {
			return nil
		}
		return Policy{}.Check(hostPort, address)
	})
	conn, err := dial(t.Context(), "tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal("a trusted name is not dialled:", err)
	}
	conn.Close()
	_, err = dial(t.Context(), "tcp4", "localhost:"+port)
	var forbidden *ForbiddenError
	if !errors.As(err, &forbidden) || forbidden.Host != "localhost:"+port || forbidden.Address.String() != "127.0.0.1" {
		t.Errorf("dial(localhost) = %v, want a ForbiddenError", err)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:" + port, "localhost:" + port}, asked); diff != "" {
		t.Error("asked about (-want, +got):", diff)
	}
}

// TestClient: a redirect is a response, the exchange is bounded in time, and headers
// and body are bounded in size.
func TestClient(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/reached", http.StatusTemporaryRedirect)
		case "/reached":
			reached++
		case "/slow":
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/headers":
			w.Header().Set("Long", strings.Repeat("x", 2*maxHeader))
		case "/body":
			_, _ = w.Write([]byte(strings.Repeat("x", 100)))
		}
	}))
	defer server.Close()
	anywhere := func(string, netip.Addr) error { return nil }
	get := func(path string, timeout time.Duration, limit int64) (int, error) {
		response, err := Client(anywhere, timeout).Get(server.URL + path)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = ReadBody(response.Body, limit)
		return response.StatusCode, err
	}
	if status, err := get("/redirect", time.Minute, 1000); status != http.StatusTemporaryRedirect || err != nil || reached > 0 {
		t.Errorf("a redirect: %d, %v, followed %d times; want it returned", status, err, reached)
	}
	if _, err := get("/slow", 100*time.Millisecond, 1000); err == nil {
		t.Error("a body without end is read without end")
	}
	if _, err := get("/headers", time.Minute, 1000); err == nil {
		t.Error("headers of any length are read")
	}
	if _, err := get("/body", time.Minute, 99); !errors.Is(err, ErrBodyTooLarge) {
		t.Errorf("a body longer than the limit: %v, want ErrBodyTooLarge", err)
	}
	if _, err := get("/body", time.Minute, 100); err != nil {
		t.Errorf("a body of the limit: %v", err)
	}
	if response, err := Client(Policy{}.Check, time.Minute).Get(server.URL); err == nil {
		response.Body.Close()
		t.Error("the loopback address is dialled")
	}
}
