package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// Down ends and removes everything that up made, whatever state it is in. The
// cache stays.
func Down(ctx context.Context, e *env.Env) error {
	if _, err := os.Stat(e.Run); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	records := e.Records()
	slices.Reverse(records)
	// First what would start things again.
	for _, name := range []string{"kubelet", "proxy", "containerd"} {
		for _, r := range records {
			if r.Name == name {
				r.End()
			}
		}
	}
	if err := endPods(ctx, e); err != nil {
		return err
	}
	for _, r := range records {
		r.End()
	}
	if err := env.UnmountBelow(e.Run); err != nil {
		return err
	}
	if err := errors.Join(downRules(ctx, e), downLinks(ctx, e)); err != nil {
		return err
	}
	if before, err := os.ReadFile(e.Path("ip_forward.before")); err == nil {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", before, 0); err != nil {
			return err
		}
	}
	if err := errors.Join(env.UnmountBelow(e.Run), removeAbsent(e)); err != nil {
		return err
	}
	return os.RemoveAll(e.Run)
}

// endPods kills every process in the cluster's cgroup and the shims that held
// them, and removes the cgroups.
func endPods(ctx context.Context, e *env.Env) error {
	for attempt := 0; ; attempt++ {
		pids := podProcesses(e)
		if len(pids) == 0 {
			break
		}
		if attempt == 50 {
			return fmt.Errorf("processes of pods do not end: %v", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	for _, root := range cgroupRoots() {
		var dirs []string
		_ = filepath.WalkDir(filepath.Join(root, env.Cgroup), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, dir := range dirs {
			_ = syscall.Rmdir(dir) // the kernel refuses while a process is in it
		}
	}
	return nil
}

// podProcesses are the processes of the cluster's pods and the shims above them.
func podProcesses(e *env.Env) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		cgroups, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		command, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if strings.Contains(string(cgroups), ":/"+env.Cgroup+"/") ||
			(strings.Contains(string(command), "containerd-shim") && strings.Contains(string(command), socket(e))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// downLinks removes the pods' network namespaces, their links and the bridge.
func downLinks(ctx context.Context, e *env.Env) error {
	prefix := strings.TrimSuffix(env.BridgeIP, "0.1") // 10.241.
	spaces, _ := filepath.Glob("/run/netns/cni-*")
	for _, space := range spaces {
		name := filepath.Base(space)
		addresses, err := e.Command(ctx, "", nil, nil, "ip", "-n", name, "-4", "-o", "addr")
		if err == nil && !strings.Contains(addresses, "inet "+prefix) && strings.Contains(addresses, "eth0") {
			continue // somebody else's pod
		}
		_ = syscall.Unmount(space, syscall.MNT_DETACH)
		_ = os.Remove(space)
	}
	links, _ := filepath.Glob("/sys/class/net/*/master")
	for _, link := range links {
		if master, err := os.Readlink(link); err == nil && filepath.Base(master) == env.Bridge {
			_, _ = e.Command(ctx, "", nil, nil, "ip", "link", "delete", filepath.Base(filepath.Dir(link)))
		}
	}
	if _, err := os.Stat("/sys/class/net/" + env.Bridge); err == nil {
		_, err := e.Command(ctx, "", nil, nil, "ip", "link", "delete", env.Bridge)
		return err
	}
	return nil
}
