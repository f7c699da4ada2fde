package runtime

import (
	"net"
	"os"
	"sync"
	"time"
)

// hangUpDelay is how long a request is answered before anybody looks whether its
// client has hung up.
const hangUpDelay = 10 * time.Millisecond

// patientListener's connections look for a hang-up only after a while. net/http looks,
// by a read of one byte in a goroutine of its own, from the moment that it has read a
// request, and takes the read back when the answer is written. System calls and timers
// for that are a good part of what a short request costs.
type patientListener struct{ net.Listener }

// Accept implements net.Listener.
func (l patientListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patientConn{Conn: conn, wake: make(chan struct{}, 1)}, nil
}

// patientConn is one of them. Any other reader of single bytes is served as well, only
// later.
type patientConn struct {
	net.Conn
	wake  chan struct{}
	timer *time.Timer // of wait

	mu       sync.Mutex
	waiting  bool // in wait
	past     bool // the deadline that was set is over
	deadline bool // the connection itself has one
}

// Read implements net.Conn.
func (c *patientConn) Read(p []byte) (int, error) {
	if len(p) == 1 && !c.wait() {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(p)
}

// wait tells whether there is still somebody to read for after the delay.
func (c *patientConn) wait() bool {
	c.mu.Lock()
	if c.past {
		c.mu.Unlock()
		return false
	}
	c.waiting = true
	c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.NewTimer(hangUpDelay)
	} else {
		c.timer.Reset(hangUpDelay)
	}
	select {
	case <-c.wake:
		c.timer.Stop()
		return false
	case <-c.timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.waiting { // woken at this moment
		<-c.wake
	}
	c.waiting = false
	return !c.past
}

// SetReadDeadline implements net.Conn.
func (c *patientConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past = !t.IsZero() && !t.After(time.Now())
	switch {
	case c.past && c.waiting:
		c.waiting = false
		c.wake <- struct{}{}
		return nil
	case t.IsZero() && !c.deadline:
		return nil
	}
	c.deadline = !t.IsZero()
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *patientConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
