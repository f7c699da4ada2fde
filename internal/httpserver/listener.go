package httpserver

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// warnEvery bounds how often refused connections are logged.
const warnEvery = 10 * time.Second

// listener closes connections beyond its bounds at once, so that they cost nothing, and
// bounds each write of the others.
type listener struct {
	net.Listener
	name              string
	total, perAddress int
	write             time.Duration

	mu        sync.Mutex
	open      int
	byAddress map[netip.Addr]int
	refused   int
	warned    time.Time
}

func newListener(inner net.Listener, o *Options) *listener {
	return &listener{Listener: inner, name: o.Name, total: o.Connections, perAddress: o.PerAddress, write: o.WriteTimeout, byAddress: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := remote(c)
		if l.admit(address) {
			return &conn{Conn: c, write: l.write, release: sync.OnceFunc(func() { l.release(address) })}, nil
		}
		_ = c.Close()
	}
}

// remote is the address at the other end; the zero address stands for the machine
// itself and for what is no IP address.
func remote(c net.Conn) netip.Addr {
	address := ipOf(c.RemoteAddr())
	if address.IsLoopback() || address == ipOf(c.LocalAddr()) {
		return netip.Addr{}
	}
	return address
}

func ipOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func (l *listener) admit(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total || address.IsValid() && l.byAddress[address] >= l.perAddress {
		l.refused++
		if now := time.Now(); now.Sub(l.warned) >= warnEvery {
			slog.Warn("Refused connections beyond the limit", "server", l.name, "refused", l.refused, "last_address", address.String(),
				"open", l.open, "limit", l.total, "limit_per_address", l.perAddress)
			l.warned, l.refused = now, 0
		}
		return false
	}
	l.open++
	if address.IsValid() {
		l.byAddress[address]++
	}
	return true
}

func (l *listener) release(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if !address.IsValid() {
		return
	}
	if l.byAddress[address]--; l.byAddress[address] == 0 {
		delete(l.byAddress, address)
	}
}

// conn bounds each write, and counts until it is closed.
type conn struct {
	net.Conn
	write   time.Duration
	release func()
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if c.write > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}
