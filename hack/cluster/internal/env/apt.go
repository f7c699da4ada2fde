package env

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// policy keeps Debian's packages from starting the services that they bring.
const policy = "/usr/sbin/policy-rc.d"

// Apt installs the packages whose programs or files are missing. No service of
// theirs starts, now or with the machine.
func (e *Env) Apt(ctx context.Context, missing map[string]string) error {
	e.apt.Lock()
	defer e.apt.Unlock()
	var packages []string
	for file, pkg := range missing {
		if _, err := os.Stat(file); err != nil {
			packages = append(packages, pkg)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	e.Say("packages", "installing %s", strings.Join(packages, " "))
	if _, err := os.Stat(policy); os.IsNotExist(err) {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return err
		}
		defer os.Remove(policy)
	}
	defer removeSince(boots())
	noninteractive := []string{"DEBIAN_FRONTEND=noninteractive"}
	if _, err := e.Command(ctx, "", noninteractive, nil, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	_, err := e.Command(ctx, "", noninteractive, nil, "apt-get", append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)...)
	return err
}

// boots are the links by which services start with the machine.
func boots() map[string]bool {
	links := map[string]bool{}
	for _, pattern := range []string{"/etc/rc[2-5].d/S*", "/etc/systemd/system/multi-user.target.wants/*", "/etc/systemd/system/sockets.target.wants/*"} {
		found, _ := filepath.Glob(pattern)
		for _, link := range found {
			links[link] = true
		}
	}
	return links
}

func removeSince(before map[string]bool) {
	for link := range boots() {
		if !before[link] {
			_ = os.Remove(link)
		}
	}
}
