package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process of the cluster that outlives this program.
type Process struct {
	Name string
	Args []string // program and arguments
	Env  []string
	Dir  string
}

// Record of a running process: the start time tells it from a later one with
// the same id.
type Record struct {
	Name  string
	PID   int
	Start string // in the kernel's ticks
	Since time.Time
	Args  []string
	Env   []string
	Dir   string
}

// Start runs the process unless it runs already with the same arguments; with
// others it is replaced.
func (e *Env) Start(p Process) error {
	if r, err := e.record(p.Name); err == nil && r.Alive() {
		if slices.Equal(r.Args, p.Args) && slices.Equal(r.Env, p.Env) {
			return nil
		}
		r.End()
	}
	for _, dir := range []string{"logs", "pids"} {
		if err := os.MkdirAll(e.Path(dir), 0o755); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(e.Log(p.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	r := Record{Name: p.Name, PID: cmd.Process.Pid, Start: startTime(cmd.Process.Pid), Since: time.Now(), Args: p.Args, Env: p.Env, Dir: p.Dir}
	go func() { _ = cmd.Wait() }() // so that it is no zombie while this program runs
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(e.Path("pids", p.Name+".json"), data, 0o600)
}

// restartPatience is how long a process may take to end by itself when it is
// restarted: a store puts down what it has.
const restartPatience = 20 * time.Second

// Restart ends a process and starts it again as it was.
func (e *Env) Restart(name string) error {
	r, err := e.known(name)
	if err != nil {
		return err
	}
	r.end(restartPatience)
	return e.Start(Process{Name: name, Args: r.Args, Env: r.Env, Dir: r.Dir})
}

// Stop ends a process until StartAgain.
func (e *Env) Stop(name string) error {
	r, err := e.known(name)
	if err != nil {
		return err
	}
	r.end(restartPatience)
	return nil
}

// StartAgain starts a process that was stopped, as it was.
func (e *Env) StartAgain(name string) error {
	r, err := e.known(name)
	if err != nil {
		return err
	}
	return e.Start(Process{Name: name, Args: r.Args, Env: r.Env, Dir: r.Dir})
}

// Pause has a process do nothing until Resume; its connections stay open.
func (e *Env) Pause(name string) error { return e.signal(name, syscall.SIGSTOP) }

// Resume has a paused process go on.
func (e *Env) Resume(name string) error { return e.signal(name, syscall.SIGCONT) }

func (e *Env) signal(name string, signal syscall.Signal) error {
	r, err := e.known(name)
	if err != nil {
		return err
	}
	return r.signal(signal)
}

func (r Record) signal(signal syscall.Signal) error {
	if !r.Alive() {
		return fmt.Errorf("%s does not run", r.Name)
	}
	return syscall.Kill(r.PID, signal)
}

// known is the record of a process that was started once.
func (e *Env) known(name string) (Record, error) {
	r, err := e.record(name)
	if errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("there is no process %q", name)
	}
	return r, err
}

// EndedError says that a process has ended by itself: waiting for it is in vain.
type EndedError struct{ Name, Log, Tail string }

func (e *EndedError) Error() string {
	return fmt.Sprintf("%s has ended; the end of %s:\n%s", e.Name, e.Log, e.Tail)
}

// Died tells, by an *EndedError, that a process does not run.
func (e *Env) Died(name string) error {
	if r, err := e.record(name); err == nil && r.Alive() {
		return nil
	}
	return &EndedError{Name: name, Log: e.Log(name), Tail: e.Tail(name, 15)}
}

// Tail is the last lines of a process's log.
func (e *Env) Tail(name string, lines int) string {
	text, err := os.ReadFile(e.Log(name))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Records of all processes, oldest first.
func (e *Env) Records() []Record {
	files, _ := filepath.Glob(e.Path("pids", "*.json"))
	var records []Record
	for _, f := range files {
		if r, err := e.record(strings.TrimSuffix(filepath.Base(f), ".json")); err == nil {
			records = append(records, r)
		}
	}
	sort.Slice(records, func(i, j int) bool { return records[i].Since.Before(records[j].Since) })
	return records
}

func (e *Env) record(name string) (Record, error) {
	var r Record
	data, err := os.ReadFile(e.Path("pids", name+".json"))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// Alive tells whether this very process still runs.
func (r Record) Alive() bool {
	return r.PID > 1 && r.Start != "" && startTime(r.PID) == r.Start
}

// End asks the process to end, and makes it after three seconds.
func (r Record) End() { r.end(3 * time.Second) }

func (r Record) end(patience time.Duration) {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, patience}, {syscall.SIGKILL, 2 * time.Second}} {
		if !r.Alive() {
			return
		}
		if err := syscall.Kill(r.PID, step.signal); errors.Is(err, syscall.ESRCH) {
			return
		}
		for deadline := time.Now().Add(step.wait); r.Alive() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// startTime of a process that is no zombie, empty where there is none.
func startTime(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	i := strings.LastIndex(string(data), ") ") // the name may hold anything
	if i < 0 {
		return ""
	}
	fields := strings.Fields(string(data)[i+2:])
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}
