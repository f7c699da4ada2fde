package source

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
)

// TestGuard: which addresses are dialled, whatever leads to them.
func TestGuard(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true, "100.128.0.1:443": true, "172.32.0.1:80": true,
		"127.0.0.1:80": false, "127.8.8.8:80": false, "0.0.0.0:80": false, "10.96.0.1:443": false, "172.16.0.1:80": false,
		"192.168.1.1:80": false, "169.254.169.254:80": false, "100.100.100.200:80": false, "224.0.0.1:80": false,
		"255.255.255.255:80": false, "[::1]:80": false, "[::]:80": false, "[fe80::1%eth0]:80": false, "[fd00:ec2::254]:80": false,
		"[ff02::1]:80": false, "[::ffff:169.254.169.254]:80": false, "[::ffff:10.0.0.1]:80": false, "[64:ff9b::a9fe:a9fe]:80": false,
		"[2002:a9fe:a9fe::]:80": false, "192.0.2.1:80": false, "[2001:db8::1]:80": false, "168.63.129.16:80": false,
	} {
		err := newNetwork(&Request{}, 1).check(address, addressOf(t, address))
		if (err == nil) != want {
			t.Errorf("check(%s) = %v, want that it is allowed: %t", address, err, want)
		}
		var invalid *InvalidError
		if err != nil && (!errors.As(err, &invalid) || invalid.Reason != ReasonAddressForbidden) {
			t.Errorf("check(%s) = %v, want %s", address, err, ReasonAddressForbidden)
		}
	}
	allowed := newNetwork(&Request{AllowedNetworks: egress.Prefixes("10.96.0.0/12", "fd00::/8"), DeniedNetworks: egress.Prefixes("10.97.0.0/16", "93.184.216.0/24")}, 1)
	for address, want := range map[string]bool{"10.96.0.1:443": true, "[::ffff:10.96.0.1]:443": true, "10.0.0.1:80": false, "[fd00::1]:80": true, "[fe80::1]:80": false, "10.97.0.1:443": false, "93.184.216.34:443": false} {
		if err := allowed.check(address, addressOf(t, address)); (err == nil) != want {
			t.Errorf("check(%s) = %v with some networks allowed, want that it is allowed: %t", address, err, want)
		}
	}
}

func addressOf(t *testing.T, hostPort string) netip.Addr {
	t.Helper()
	address, err := egress.Address(hostPort)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// TestNamesAndRedirects: it is the address that counts, not the name that is
// resolved to it, and not who redirects there.
func TestNamesAndRedirects(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the target was reached") }))
	defer target.Close()
	_, port, _ := net.SplitHostPort(target.Listener.Addr().String())
	_, err := newNetwork(&Request{}, 1).dial(t.Context(), "tcp", net.JoinHostPort("localhost", port))
	refused(t, err, ReasonAddressForbidden, "source-allowed-networks")

	// One loopback address is allowed and sends on to the metadata of a cloud.
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "http://[::1]:" + port + "/"} {
		var asked int
		redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Redirect(w, r, to+strings.TrimPrefix(r.URL.RequestURI(), "/"), http.StatusFound)
		}))
		n := newNetwork(&Request{AllowedNetworks: loopback}, maxListing)
		transport, err := n.transport(nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Get(redirecting.URL + "/info/refs")
		if err == nil {
			response.Body.Close()
		}
		refused(t, n.unreachable(t.Context(), "host", err), ReasonAddressForbidden, "not on the public Internet")
		if asked != 1 {
			t.Errorf("the redirecting server was asked %d times", asked)
		}
		redirecting.Close()
	}
}

// TestTooMuch: a server that does not end is not read for ever.
func TestTooMuch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zeros := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(zeros); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	n := newNetwork(&Request{AllowedNetworks: loopback}, 1<<20)
	transport, err := n.transport(nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.Copy(io.Discard, response.Body)
	if err == nil || read > 2<<20 {
		t.Errorf("%d bytes were read of a server that does not end, error %v", read, err)
	}
	refused(t, n.unreachable(context.Background(), "host", err), ReasonTooLarge, "more than 1 MiB")
}
