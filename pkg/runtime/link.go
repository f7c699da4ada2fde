package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// workerFD is the descriptor on which a worker finds its socket.
const workerFD = 3

// frames is a link over a Unix socket: see docs/worker-protocol.md.
type frames struct {
	conn net.Conn
	r    *bufio.Reader
}

// connectFrames gives the command its end of a socket. When the command has been
// started, started is to be called.
func connectFrames(cmd *exec.Cmd, _ *PoolConfig) (l link, started func(), err error) {
	conn, theirs, err := SocketPair(0)
	if err != nil {
		return nil, nil, err
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(cmd.Env, "LAMBDA_WORKER_FD="+strconv.Itoa(workerFD))
	// Closed here, so that the end of the process is the end of the connection.
	return &frames{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}, func() { theirs.Close() }, nil
}

// Close implements link.
func (l *frames) Close() error { return l.conn.Close() }

// SocketPair returns two ends of a Unix socket, the second to be inherited. buffer is how
// many bytes each end may hold that have been sent; 0 is the kernel's default.
func SocketPair(buffer int) (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "front"), os.NewFile(uintptr(fds[1]), "worker")
	defer ours.Close()
	for _, fd := range fds {
		if buffer == 0 {
			continue
		}
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, buffer); err != nil {
			theirs.Close()
			return nil, nil, fmt.Errorf("SO_SNDBUF: %w", err)
		}
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

func (l *frames) ready(w *worker, cfg *PoolConfig) error {
	if err := l.conn.SetReadDeadline(time.Now().Add(cfg.StartTimeout)); err != nil {
		return err
	}
	h, _, err := readFrame(l.r, cfg.MaxBody)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &LoadError{Message: fmt.Sprintf("handler %q was not loaded within %v: do less when the module is imported", cfg.Handler, cfg.StartTimeout)}
	case err != nil:
		return &LoadError{Message: fmt.Sprintf("the worker ended while it loaded handler %q: %s", cfg.Handler, w.death())}
	case h.Kind == kindFailed:
		return &LoadError{Message: h.Message}
	case h.Kind != kindReady:
		return fmt.Errorf("the worker's first frame is %q, expected %q or %q", h.Kind, kindReady, kindFailed)
	}
	return l.conn.SetReadDeadline(time.Time{})
}

func (l *frames) invoke(_ *worker, c *call) (*header, []byte, error) {
	if err := l.conn.SetDeadline(c.deadline); err != nil {
		return nil, nil, err
	}
	frame := net.Buffers{c.head, c.Body} // one system call, no copy
	if _, err := frame.WriteTo(l.conn); err != nil {
		return nil, nil, err
	}
	reply, data, err := readFrame(l.r, c.maxBody)
	if reply != nil && reply.ID != c.id {
		return nil, nil, fmt.Errorf("the worker answered invocation %d when it was asked %d", reply.ID, c.id)
	}
	if err == nil && reply.Kind != kindResult && reply.Kind != kindError {
		return nil, nil, fmt.Errorf("the worker answered with %q, expected %q or %q", reply.Kind, kindResult, kindError)
	}
	return reply, data, err
}
