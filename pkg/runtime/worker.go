package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// workerFD is the descriptor on which a worker finds its socket.
	workerFD = 3
	// stopGrace is how long a worker whose socket was closed may take to end.
	stopGrace = time.Second
	// deathGrace is how long a worker that closed its socket may take to end,
	// before it is killed: its exit status says why it went.
	deathGrace = 200 * time.Millisecond
)

// LoadError says why the handler cannot be loaded; it is for the function's
// author.
type LoadError struct{ Message string }

func (e *LoadError) Error() string { return e.Message }

// worker is a process that calls the handler, one invocation at a time.
type worker struct {
	cmd  *exec.Cmd
	conn net.Conn
	r    *bufio.Reader
	free chan struct{} // receives when an invocation has ended
	gone chan struct{} // closed when the process has ended
	exit error         // how; to be read after gone
}

// startWorker starts the command and waits until it has loaded the handler.
func startWorker(ctx context.Context, cfg *PoolConfig, stdout, stderr io.Writer) (*worker, error) {
	conn, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(cfg.Command[0], cfg.Command[1:]...)
	cmd.Dir = cfg.TaskRoot
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(os.Environ(), "LAMBDA_WORKER_FD="+strconv.Itoa(workerFD), "LAMBDA_HANDLER="+cfg.Handler, "LAMBDA_TASK_ROOT="+cfg.TaskRoot)
	cmd.SysProcAttr = processAttributes()
	cmd.WaitDelay = time.Second // do not wait for heirs of stdout when it is a pipe
	err = cmd.Start()
	theirs.Close() // so that the end of the process is the end of the connection
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot start the worker: %w", err)
	}
	w := &worker{cmd: cmd, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), free: make(chan struct{}, 1), gone: make(chan struct{})}
	go w.wait()
	cancel := context.AfterFunc(ctx, w.kill)
	defer cancel()
	if err := w.awaitReady(cfg); err != nil {
		w.kill()
		<-w.gone
		return nil, err
	}
	return w, nil
}

// socketPair returns two ends of a Unix socket, the second to be inherited.
func socketPair() (net.Conn, *os.File, error) {
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
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// wait sees the process off, and whatever it leaves behind.
func (w *worker) wait() {
	w.exit = w.cmd.Wait()
	// Processes that the handler started belong to the worker's group. As PID 1
	// this program inherits them, and nobody else would reap them.
	group := -w.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGKILL)
	close(w.gone)
	if os.Getpid() == 1 {
		for {
			if _, err := syscall.Wait4(group, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				break
			}
		}
	}
}

func (w *worker) awaitReady(cfg *PoolConfig) error {
	if err := w.conn.SetReadDeadline(time.Now().Add(cfg.StartTimeout)); err != nil {
		return err
	}
	h, _, err := readFrame(w.r, cfg.MaxBody)
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
	return w.conn.SetReadDeadline(time.Time{})
}

// heads are buffers for what a frame has before its body.
var heads = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// invoke sends the frame and reads its answer, a result or an error. Errors but
// ErrReplyTooLong leave the worker unusable; os.ErrDeadlineExceeded is one of them.
func (w *worker) invoke(head, body []byte, id uint64, deadline time.Time, maxBody int) (*header, []byte, error) {
	if err := w.conn.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	frame := net.Buffers{head, body} // one system call, no copy
	if _, err := frame.WriteTo(w.conn); err != nil {
		return nil, nil, err
	}
	reply, data, err := readFrame(w.r, maxBody)
	if reply != nil && reply.ID != id {
		return nil, nil, fmt.Errorf("the worker answered invocation %d when it was asked %d", reply.ID, id)
	}
	if err == nil && reply.Kind != kindResult && reply.Kind != kindError {
		return nil, nil, fmt.Errorf("the worker answered with %q, expected %q or %q", reply.Kind, kindResult, kindError)
	}
	return reply, data, err
}

// kill ends the process and all that it started.
func (w *worker) kill() {
	w.conn.Close()
	select {
	case <-w.gone: // its number may be another's by now
	default:
		_ = syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// stop tells the process to end and sees to it that it does.
func (w *worker) stop() {
	w.conn.Close()
	select {
	case <-w.gone:
	case <-time.After(stopGrace):
		w.kill()
		<-w.gone
	}
}

// death waits for the end of a process that broke the connection, and tells
// its cause.
func (w *worker) death() string {
	select {
	case <-w.gone:
	case <-time.After(deathGrace):
		w.kill()
		<-w.gone
		return "it closed its socket"
	}
	var exit *exec.ExitError
	if !errors.As(w.exit, &exit) {
		return "it exited with status 0"
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return "it was killed, most likely because the container ran out of memory (spec.resources.limits.memory)"
	}
	return exit.Error()
}
