package front

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

// controlFD is the descriptor of a worker's control connection; those of its slots
// follow.
const controlFD = 3

// sendBuffer of connections, in bytes. The system's default lets the slots of one
// worker hold tens of MiB of the pod's memory.
const sendBuffer = 64 << 10

// markVariable marks the processes that belong to one worker.
const markVariable = "LAMBDA_WORKER_ID"

// process of a worker, and all that it starts.
type process struct {
	signal func()        // ends it and all that it started, at once
	grace  time.Duration // from the end of a connection to that of the process
	ended  chan struct{} // closed when it has ended
	exit   error         // how; read after ended

	mu    sync.Mutex
	cause string // why it was ended; empty: it ended by itself
	kind  error  // of cause
}

// startProcess starts the worker's command, which inherits the connections.
func startProcess(p *Pool, connections []*os.File) (*process, error) {
	return startCommand(p, connections, protocol.EnvControl+"="+strconv.Itoa(controlFD), protocol.EnvSlots+"="+strconv.Itoa(len(connections)-1))
}

// startCommand starts the worker's command with more variables.
func startCommand(p *Pool, connections []*os.File, environment ...string) (*process, error) {
	cmd := exec.Command(p.cfg.Command[0], p.cfg.Command[1:]...)
	cmd.Dir = p.cfg.TaskRoot
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	cmd.ExtraFiles = connections
	cmd.Env = append(os.Environ(), "LAMBDA_HANDLER="+p.cfg.Handler, "LAMBDA_TASK_ROOT="+p.cfg.TaskRoot)
	cmd.Env = append(cmd.Env, environment...)
	cmd.SysProcAttr = runtime.ProcessAttributes()
	cmd.WaitDelay = time.Second // do not wait for heirs of stdout when it is a pipe
	mark := markVariable + "=" + rand.Text()
	cmd.Env = append(cmd.Env, mark)
	if err := p.reaper.start(cmd); err != nil {
		return nil, fmt.Errorf("cannot start the worker: %w", err)
	}
	group := -cmd.Process.Pid
	w := &process{signal: func() { _ = syscall.Kill(group, syscall.SIGKILL) }, grace: p.timing.death, ended: make(chan struct{})}
	p.running.Go(func() {
		w.exit = p.reaper.wait(cmd)
		w.signal() // whatever it leaves behind
		close(w.ended)
		killMarked(mark)
	})
	return w, nil
}

// kill ends the process and all that it started.
func (w *process) kill() {
	select {
	case <-w.ended: // its number may be another's by now
	default:
		w.signal()
	}
}

// fail ends the process for a cause, which its open calls are answered with. The kind
// is runtime.ErrWorkerDied where it is nil.
func (w *process) fail(cause string, kind error) {
	w.mu.Lock()
	if w.cause == "" {
		w.cause, w.kind = cause, kind
	}
	w.mu.Unlock()
	w.kill()
}

// death waits for the end of a process that broke a connection, and returns its cause.
func (w *process) death() string {
	select {
	case <-w.ended:
	case <-time.After(w.grace):
		w.fail("it closed a connection", nil)
		<-w.ended
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case w.cause != "":
		return w.cause
	case !errors.As(w.exit, &exit):
		return "it exited with status 0"
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return "it was killed, most likely because the container ran out of memory (spec.resources.limits.memory)"
	}
	return exit.Error()
}

// died is the error of calls that were open.
func (w *process) died() error {
	cause := w.death()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kind != nil {
		return fmt.Errorf("%w: %s", w.kind, cause)
	}
	return fmt.Errorf("%w: %s", runtime.ErrWorkerDied, cause)
}

// connections returns both ends of n connections, the second ones to be inherited.
func connections(n int) (ours []net.Conn, theirs []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(ours)
			for _, f := range theirs {
				f.Close()
			}
		}
	}()
	for range n {
		conn, file, err := runtime.SocketPair(sendBuffer)
		if err != nil {
			return ours, theirs, err
		}
		ours, theirs = append(ours, conn), append(theirs, file)
	}
	return ours, theirs, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}
