package runtime

import (
	"net"
	"testing"
)

type addressedConn struct {
	net.Conn
	from string
}

func tcpAddress(text string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		panic(err)
	}
	return a
}

func (c *addressedConn) RemoteAddr() net.Addr { return tcpAddress(c.from) }
func (c *addressedConn) LocalAddr() net.Addr  { return tcpAddress("10.0.0.1:8080") }
func (c *addressedConn) Close() error         { return nil }

type addressedListener struct {
	net.Listener
	from []string
}

func (l *addressedListener) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, net.ErrClosed
	}
	c := &addressedConn{from: l.from[0]}
	l.from = l.from[1:]
	return c, nil
}

// TestAddressLimit: another pod has a bounded number of connections, and the queue proxy
// as many as it likes.
func TestAddressLimit(t *testing.T) {
	inner := &addressedListener{from: []string{"10.0.0.2:1", "10.0.0.2:2", "10.0.0.2:3", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "10.0.0.1:1", "10.0.0.3:1"}}
	l := &addressLimit{Listener: inner, most: 2}
	var open []net.Conn
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		open = append(open, c)
	}
	if len(open) != 7 {
		t.Errorf("%d connections were accepted, want all but the third of 10.0.0.2", len(open))
	}
	for range 2 { // which counts once
		if err := open[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	inner.from = []string{"10.0.0.2:4", "10.0.0.2:5"}
	if _, err := l.Accept(); err != nil {
		t.Error("no connection was accepted after one was closed")
	}
	if _, err := l.Accept(); err == nil {
		t.Error("two connections were accepted after one was closed")
	}
}
