package front

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// double is a worker in Go. It runs in the test's process, or in one of its own.
type double struct {
	ready   protocol.Control
	handle  func(*call)
	control net.Conn
	slots   []net.Conn

	mu       sync.Mutex
	writing  sync.Mutex
	calls    map[int]*call // by slot
	drained  atomic.Bool
	silent   atomic.Bool // sends no pong
	opened   atomic.Int32
	canceled atomic.Int32
}

// call is one that a double has been sent.
type call struct {
	protocol.Call
	worker *double
	slot   int
	conn   net.Conn
	frames *protocol.Reader
	body   []byte      // of the invoke frame
	cancel chan string // receives the reasons of cancels
}

var ready = protocol.Control{Kind: protocol.Ready, Protocol: protocol.Version}

// serve runs until the control connection ends.
func (d *double) serve() {
	d.calls = map[int]*call{}
	d.send(d.ready)
	frames := protocol.NewReader(d.control)
	for {
		header, _, err := frames.Next()
		var c protocol.Control
		if err != nil || json.Unmarshal(header, &c) != nil {
			return
		}
		switch c.Kind {
		case protocol.Open:
			d.opened.Add(1)
			go d.serveSlot(c.Slot)
		case protocol.Ping:
			if !d.silent.Load() {
				d.send(protocol.Control{Kind: protocol.Pong, ID: c.ID})
			}
		case protocol.Cancel:
			d.canceled.Add(1)
			d.mu.Lock()
			if open := d.calls[c.Slot]; open != nil && open.ID == c.ID {
				open.cancel <- c.Reason
			}
			d.mu.Unlock()
		case protocol.Drain:
			d.drained.Store(true)
		}
	}
}

func (d *double) send(c protocol.Control) {
	d.writing.Lock()
	defer d.writing.Unlock()
	_ = protocol.Write(d.control, c, nil) // the front may have closed it
}

func (d *double) serveSlot(slot int) {
	conn := d.slots[slot-1]
	frames := protocol.NewReader(conn)
	for {
		header, _, err := frames.Next()
		if err != nil {
			return
		}
		c := &call{worker: d, slot: slot, conn: conn, frames: frames, cancel: make(chan string, 2)}
		if json.Unmarshal(header, &c.Call) != nil {
			return
		}
		if c.body, err = io.ReadAll(frames); err != nil {
			return
		}
		d.mu.Lock()
		d.calls[slot] = c
		d.mu.Unlock()
		d.handle(c)
		d.mu.Lock()
		delete(d.calls, slot)
		d.mu.Unlock()
	}
}

// answer sends a frame of the answer.
func (c *call) answer(a protocol.Answer, body string) {
	a.ID = c.ID
	_ = protocol.Write(c.conn, a, []byte(body)) // the front may have closed it
}

// unbounded sends a frame whatever its length.
func (c *call) unbounded(header any, body string) {
	text, _ := json.Marshal(header)
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
	_, _ = c.conn.Write(append(append(frame, text...), body...))
}

func (c *call) result(body string) {
	c.answer(protocol.Answer{Kind: protocol.Result, ContentType: "text/plain"}, body)
}

// stream begins a streamed result.
func (c *call) stream() {
	c.answer(protocol.Answer{Kind: protocol.Result, ContentType: "text/plain", More: true}, "")
}

func (c *call) chunk(data string) error { return protocol.WriteChunks(c.conn, []byte(data)) }
func (c *call) end()                    { _ = protocol.WriteEnd(c.conn) }

// readStream reads a streamed request to its end, which may be an error.
func (c *call) readStream() (string, error) {
	text := string(c.body)
	for c.More {
		header, size, err := c.frames.Next()
		switch {
		case err != nil:
			return text, err
		case len(header) > 0:
			return text, io.ErrUnexpectedEOF
		case size == 0:
			return text, nil
		}
		piece, err := io.ReadAll(c.frames)
		if text += string(piece); err != nil {
			return text, err
		}
	}
	return text, nil
}

// launch starts doubles in the test's process.
func (d *double) launch(p *Pool, files []*os.File) (*process, error) {
	conns := make([]net.Conn, 0, len(files))
	for _, f := range files {
		conn, err := net.FileConn(f)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	d.control, d.slots = conns[0], conns[1:]
	ended := make(chan struct{})
	go func() {
		d.serve()
		closeAll(conns)
		close(ended)
	}()
	return &process{signal: func() { closeAll(conns) }, grace: p.timing.death, ended: ended}, nil
}

// inherited returns the double of a process of its own.
func inherited() *double {
	open := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "inherited")
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			panic(err)
		}
		return conn
	}
	control, _ := strconv.Atoi(os.Getenv(protocol.EnvControl))
	slots, _ := strconv.Atoi(os.Getenv(protocol.EnvSlots))
	d := &double{ready: ready, control: open(control)}
	for n := range slots {
		d.slots = append(d.slots, open(control+1+n))
	}
	return d
}
