package amqp

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
)

// proxy stands between a client and RabbitMQ, and breaks what passes.
type proxy struct {
	to       string
	listener net.Listener

	mu    sync.Mutex
	pairs map[*pair]bool
	// up is closed while what clients send passes, and down while what RabbitMQ sends
	// does.
	up, down chan struct{}
	refuse   bool
}

type pair struct {
	client, server net.Conn
	writing        sync.Mutex // to the client

	mu   sync.Mutex
	left int // bytes that pass upwards until the connection is cut; negative: no limit
}

func newProxy(t testing.TB, r *rabbit) *proxy {
	t.Helper()
	return newTLSProxy(t, r, nil)
}

// newTLSProxy takes TLS from clients if there is a configuration for it.
func newTLSProxy(t testing.TB, r *rabbit, config *tls.Config) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	p := &proxy{to: net.JoinHostPort(r.Host, r.Port), listener: l, pairs: map[*pair]bool{}, up: open(), down: open()}
	go p.serve()
	t.Cleanup(func() {
		_ = l.Close()
		p.resume()
		p.cut()
	})
	return p
}

func open() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (p *proxy) port() string {
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	return port
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

func (p *proxy) forward(client net.Conn) {
	p.mu.Lock()
	refuse := p.refuse
	p.mu.Unlock()
	server, err := net.Dial("tcp", p.to)
	if err != nil || refuse {
		_ = client.Close()
		if err == nil {
			_ = server.Close()
		}
		return
	}
	c := &pair{client: client, server: server, left: -1}
	p.mu.Lock()
	p.pairs[c] = true
	p.mu.Unlock()
	go p.pump(c, true)
	p.pump(c, false)
}

func (p *proxy) pump(c *pair, up bool) {
	defer c.close()
	from, to := c.server, c.client
	if up {
		from, to = c.client, c.server
	}
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			p.mu.Lock()
			delete(p.pairs, c)
			p.mu.Unlock()
			return
		}
		<-p.gate(up)
		if !up {
			c.writing.Lock()
			_, err = to.Write(buffer[:n])
			c.writing.Unlock()
		} else {
			n, cut := c.take(n)
			_, err = to.Write(buffer[:n])
			if cut {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// take as many of n bytes as may pass upwards.
func (c *pair) take(n int) (passing int, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < 0 {
		return n, false
	}
	n = min(n, c.left)
	c.left -= n
	return n, c.left == 0
}

func (c *pair) close() {
	_ = c.client.Close()
	_ = c.server.Close()
}

func (p *proxy) gate(up bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		return p.up
	}
	return p.down
}

func (p *proxy) each(f func(c *pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		f(c)
	}
}

// cut every connection.
func (p *proxy) cut() { p.each((*pair).close) }

// truncate lets some more bytes pass on each connection, and then cuts it.
func (p *proxy) truncate(n int) {
	p.each(func(c *pair) {
		c.mu.Lock()
		c.left = n
		c.mu.Unlock()
	})
}

// stall what passes, without a sign to either side.
func (p *proxy) stall(up, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		p.up = make(chan struct{})
	}
	if down {
		p.down = make(chan struct{})
	}
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, gate := range []chan struct{}{p.up, p.down} {
		select {
		case <-gate:
		default:
			close(gate)
		}
	}
	p.refuse = false
}

// refuseAll cuts every connection and each new one.
func (p *proxy) refuseAll() {
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	p.cut()
}

func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

// blocked sends each client what RabbitMQ sends when it is short of memory or disk.
// Nothing else may be on its way to the client.
func (p *proxy) blocked(reason string) {
	const connectionClass, blocked = 10, 60
	p.inject(append([]byte{0, connectionClass, 0, blocked, byte(len(reason))}, reason...))
}

func (p *proxy) unblocked() {
	const connectionClass, unblocked = 10, 61
	p.inject([]byte{0, connectionClass, 0, unblocked})
}

func (p *proxy) inject(method []byte) {
	const methodFrame, end = 1, 0xce
	frame := append([]byte{methodFrame, 0, 0, 0, 0, 0, byte(len(method))}, method...)
	p.each(func(c *pair) {
		c.writing.Lock()
		defer c.writing.Unlock()
		_, _ = c.client.Write(append(frame, end))
	})
}
