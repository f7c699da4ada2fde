package httpserver

import (
	"net"
	"net/http"
)

// RemoteIP is the address of a request's peer, as the key of a Budget where nothing
// better is known of the sender.
func RemoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
