package runtime

import (
	"bufio"
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

	"golang.org/x/sys/unix"
)

// workerFD is the descriptor on which a worker finds its socket.
const workerFD = 3

// worker is a process that calls the handler, one invocation at a time.
type worker struct {
	cmd  *exec.Cmd
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	kill sync.Once
	gone chan struct{} // closed when the process has ended
	exit error         // why; read after gone
}

// HandlerError says that the handler cannot be loaded: nothing that the runtime
// could do again would help.
type HandlerError struct{ Message string }

func (e *HandlerError) Error() string { return e.Message }

// startWorker starts the command and waits until it has loaded the handler.
func startWorker(cfg *Config, stdout, stderr io.Writer) (*worker, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "front"), os.NewFile(uintptr(fds[1]), "worker") //nolint:gosec // descriptors
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(cfg.WorkerCommand[0], cfg.WorkerCommand[1:]...) //nolint:gosec // the image's own command
	cmd.Dir = cfg.TaskRoot
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(os.Environ(), "LAMBDA_WORKER_FD="+strconv.Itoa(workerFD), "LAMBDA_HANDLER="+cfg.Handler, "LAMBDA_TASK_ROOT="+cfg.TaskRoot)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, &HandlerError{Message: fmt.Sprintf("cannot start the worker %q: %v", cfg.WorkerCommand[0], err)}
	}
	w := &worker{cmd: cmd, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 64<<10), gone: make(chan struct{})}
	go func() {
		w.exit = cmd.Wait()
		close(w.gone)
	}()
	if err := w.awaitReady(cfg); err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

func (w *worker) awaitReady(cfg *Config) error {
	if err := w.conn.SetReadDeadline(time.Now().Add(cfg.StartTimeout)); err != nil {
		return err
	}
	h, _, err := ReadFrame(w.r, cfg.MaxBody)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &HandlerError{Message: fmt.Sprintf("the handler %q did not load within %v", cfg.Handler, cfg.StartTimeout)}
	case err != nil:
		<-w.gone
		return &HandlerError{Message: fmt.Sprintf("the worker ended while it loaded the handler %q: %v", cfg.Handler, w.exit)}
	case h.Kind == KindFailed:
		return &HandlerError{Message: h.Message}
	case h.Kind != KindReady:
		return fmt.Errorf("the worker began with %q instead of %q", h.Kind, KindReady)
	}
	return w.conn.SetReadDeadline(time.Time{})
}

// invoke calls the handler. Any error but nil leaves the worker unusable; it is
// os.ErrDeadlineExceeded where the handler took too long.
func (w *worker) invoke(h *Header, body []byte, deadline time.Time, maxBody int) (*Header, []byte, error) {
	if err := w.conn.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	if err := WriteFrame(w.w, h, body); err != nil {
		return nil, nil, err
	}
	reply, data, err := ReadFrame(w.r, maxBody)
	if err != nil {
		return nil, nil, err
	}
	if reply.ID != h.ID {
		return nil, nil, fmt.Errorf("the worker answered %d when it was asked %d", reply.ID, h.ID)
	}
	return reply, data, nil
}

// stop ends the process and everything that it holds.
func (w *worker) stop() {
	w.kill.Do(func() {
		w.conn.Close()
		_ = w.cmd.Process.Kill()
	})
	<-w.gone
}
