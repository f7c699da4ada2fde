package test

import (
	"cmp"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// HostIP is the address of this machine at which pods reach what listens here. The test
// is skipped where pods do not reach it.
func (c *Clients) HostIP(t *testing.T) string {
	t.Helper()
	server, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", net.JoinHostPort(server.Hostname(), cmp.Or(server.Port(), "443"))) // sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	own := conn.LocalAddr().(*net.UDPAddr).IP
	if own.IsLoopback() {
		t.Skipf("the API server is at %s: pods do not reach this process there", server.Host)
	}
	return own.String()
}

// ServeHost answers HTTP at HostIP, on a port of its own, until the test ends.
func (c *Clients) ServeHost(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(c.HostIP(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	s.Start()
	t.Cleanup(s.Close)
	return s
}
