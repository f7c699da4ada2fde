package front

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// reapPause is the least time between two looks for orphans.
const reapPause = 100 * time.Millisecond

// reaper waits for the processes that this program, as PID 1, inherits from those that
// handlers have started. It leaves workers to their owner, who needs their status.
type reaper struct {
	mu  sync.Mutex
	own map[int]bool // processes that have an owner
}

// start starts a process that has an owner.
func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock() // it may end before it is known
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if r.own == nil {
		r.own = map[int]bool{}
	}
	r.own[cmd.Process.Pid] = true
	return nil
}

// wait is the owner's.
func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.own, cmd.Process.Pid)
	return err
}

// run reaps orphans until ctx ends.
func (r *reaper) run(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reapPause):
		}
		r.reap()
	}
}

func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pid := range processes() {
		if !r.own[pid] && isZombieChild(pid) {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // there is nothing else to be done
		}
	}
}

// processes that there are; none on systems without /proc.
func processes() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // those that could be read
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isZombieChild(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may have spaces
	return len(fields) > 1 && string(fields[0]) == "Z" && string(fields[1]) == strconv.Itoa(os.Getpid())
}

// killMarked ends the processes that have the variable in their environment, those
// included that have left the process group.
func killMarked(variable string) {
	mark := []byte(variable + "\x00")
	for range 3 { // what is about to fork may have to be found again
		found := false
		for _, pid := range processes() {
			environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
			if err == nil && bytes.Contains(environment, mark) {
				found = true
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
		if !found {
			return
		}
	}
}
