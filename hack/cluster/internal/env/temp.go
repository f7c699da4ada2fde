package env

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// making is where things are that are not whole yet.
func (e *Env) making() string { return filepath.Join(e.Dir, "making") }

// Temp makes a folder for what is not whole yet, on the file system of the
// cache. Who asked for it removes it; Sweep does for a run that was killed.
func (e *Env) Temp(name string) (string, error) {
	if err := os.MkdirAll(e.making(), 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(e.making(), name+"-")
}

// Sweep removes what a run that was killed left half made, the mounts in it
// first. Only one that holds the lock may: another's work is in the same place.
func (e *Env) Sweep() error {
	if err := UnmountBelow(e.making()); err != nil {
		return err
	}
	return os.RemoveAll(e.making())
}

// UnmountBelow unmounts everything below dir, innermost first.
func UnmountBelow(dir string) error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	var points []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points)
	for _, p := range points {
		if err := syscall.Unmount(p, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	return nil
}
