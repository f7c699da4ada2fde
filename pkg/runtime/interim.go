package runtime

import (
	"net"
	"net/http"
	"sync/atomic"
)

// interim is what net/http writes, by one call, when a body is read whose client expects
// to be asked for it.
const interim = "HTTP/1.1 100 Continue\r\n\r\n"

// finalListener's connections never send interim responses: Knative's queue-proxy takes
// the status of the first for that of the response, so that errors would arrive as 200.
// Clients send the body without it after a moment, as RFC 9110 wants.
type finalListener struct{ net.Listener }

// Accept implements net.Listener.
func (l finalListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &finalConn{Conn: conn}, nil
}

// finalConn is one of them.
type finalConn struct {
	net.Conn
	responding atomic.Bool // the response has begun: what is written is part of it
}

// Write implements net.Conn.
func (c *finalConn) Write(p []byte) (int, error) {
	if len(p) == len(interim) && !c.responding.Load() && string(p) == interim {
		return len(p), nil
	}
	c.responding.Store(true)
	return c.Conn.Write(p)
}

// awaitResponse is an http.Server's ConnState: a connection between two requests has no
// response that has begun.
func awaitResponse(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*finalConn); ok && state == http.StateIdle {
		c.responding.Store(false)
	}
}
