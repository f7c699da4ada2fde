package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
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
	link link
	free chan struct{} // receives when an invocation has ended
	gone chan struct{} // closed when the process has ended
	exit error         // how; to be read after gone
}

// link is how a worker is talked with.
type link interface {
	// ready waits until the worker has loaded the handler.
	ready(w *worker, cfg *PoolConfig) error
	// invoke sends a call and returns its answer, a result or an error. Errors but
	// ErrReplyTooLong and a *HandlerError leave the worker unusable;
	// os.ErrDeadlineExceeded is one of them.
	invoke(w *worker, c *call) (*header, []byte, error)
	// Close tells the worker to end.
	Close() error
}

// call is an invocation on its way to a worker.
type call struct {
	*Invocation
	id       uint64
	head     []byte // of the frame
	deadline time.Time
	maxBody  int
}

// startWorker starts the command and waits until it has loaded the handler.
func startWorker(ctx context.Context, cfg *PoolConfig, stdout, stderr io.Writer) (*worker, error) {
	cmd := exec.Command(cfg.Command[0], cfg.Command[1:]...)
	cmd.Dir = cfg.TaskRoot
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(os.Environ(), "LAMBDA_HANDLER="+cfg.Handler, "LAMBDA_TASK_ROOT="+cfg.TaskRoot)
	cmd.SysProcAttr = ProcessAttributes()
	cmd.WaitDelay = time.Second // do not wait for heirs of stdout when it is a pipe
	link, started, err := connectFrames(cmd, cfg)
	if err != nil {
		return nil, err
	}
	err = cmd.Start()
	started()
	if err != nil {
		_ = link.Close() // nobody uses it
		return nil, fmt.Errorf("cannot start the worker: %w", err)
	}
	w := &worker{cmd: cmd, link: link, free: make(chan struct{}, 1), gone: make(chan struct{})}
	go w.wait()
	cancel := context.AfterFunc(ctx, w.kill)
	defer cancel()
	if err := w.link.ready(w, cfg); err != nil {
		w.kill()
		<-w.gone
		return nil, err
	}
	return w, nil
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

// kill ends the process and all that it started.
func (w *worker) kill() {
	_ = w.link.Close() // it may be closed
	select {
	case <-w.gone: // its number may be another's by now
	default:
		_ = syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// stop tells the process to end and sees to it that it does.
func (w *worker) stop() {
	_ = w.link.Close() // it may be closed
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
