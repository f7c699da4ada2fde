package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// cgroupRoots are the hierarchies in which the cluster's pods have a cgroup of
// their own, so that they can be told from everything else.
func cgroupRoots() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	for i, r := range roots {
		roots[i] = filepath.Dir(r)
	}
	return roots
}

// upNetwork makes the bridge, forwards packets and gives pods a cgroup.
func upNetwork(ctx context.Context, e *env.Env) error {
	if err := e.Apt(ctx, map[string]string{"/usr/sbin/ip": "iproute2", "/usr/sbin/iptables": "iptables", "/usr/sbin/conntrack": "conntrack", "/usr/lib/cni/bridge": "containernetworking-plugins"}); err != nil {
		return err
	}
	if err := rememberForeignChains(ctx, e); err != nil {
		return err
	}
	if err := rememberAbsent(e); err != nil {
		return err
	}
	if _, err := net.InterfaceByName(env.Bridge); err != nil {
		for _, args := range [][]string{{"link", "add", env.Bridge, "type", "bridge"}, {"addr", "add", env.BridgeCIDR, "dev", env.Bridge}, {"link", "set", env.Bridge, "up"}} {
			if _, err := e.Command(ctx, "", nil, nil, "ip", args...); err != nil {
				return err
			}
		}
	}
	const forward = "/proc/sys/net/ipv4/ip_forward"
	if before, err := os.ReadFile(forward); err == nil && strings.TrimSpace(string(before)) == "0" {
		if err := e.Write("ip_forward.before", "0"); err != nil {
			return err
		}
		if err := os.WriteFile(forward, []byte("1"), 0); err != nil {
			return fmt.Errorf("packets cannot be forwarded: %w", err)
		}
	}
	for _, root := range cgroupRoots() {
		dir := filepath.Join(root, env.Cgroup)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if filepath.Base(root) == "cpuset" { // cgroup v1: a child begins with no CPU
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				if v, err := os.ReadFile(filepath.Join(root, f)); err == nil {
					_ = os.WriteFile(filepath.Join(dir, f), v, 0)
				}
			}
		}
	}
	return e.Write("cni/10-knative-lambda.conflist", cniConfig(e))
}

func cniConfig(e *env.Env) string {
	config, err := json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0", "name": "knative-lambda",
		"plugins": []any{
			map[string]any{"type": "bridge", "bridge": env.Bridge, "isGateway": true, "ipMasq": true, "hairpinMode": true,
				"ipam": map[string]any{"type": "host-local", "dataDir": e.Path("cni-state"),
					"ranges": []any{[]any{map[string]any{"subnet": env.PodCIDR, "gateway": env.BridgeIP}}},
					"routes": []any{map[string]any{"dst": "0.0.0.0/0"}}}},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		panic(err) // constants only
	}
	return string(config)
}

var chainPattern = regexp.MustCompile(`^:(KUBE-[A-Z0-9-]+|CNI-[A-Za-z0-9-]+) `)

// foreignChains is the list of chains that were there before.
const foreignChains = "iptables.before"

func rememberForeignChains(ctx context.Context, e *env.Env) error {
	if _, err := os.Stat(e.Path(foreignChains)); err == nil {
		return nil
	}
	saved, err := e.Command(ctx, "", nil, nil, "iptables-save")
	if err != nil {
		return err
	}
	var names []string
	for _, line := range strings.Split(saved, "\n") {
		if m := chainPattern.FindStringSubmatch(line); m != nil {
			names = append(names, m[1])
		}
	}
	return e.Write(foreignChains, strings.Join(names, "\n"))
}

// downRules removes the chains of Kubernetes and CNI that were not there before
// up, and the rules that lead to them; everything else stays as it is.
func downRules(ctx context.Context, e *env.Env) error {
	if _, err := exec.LookPath("iptables-save"); err != nil {
		return nil //nolint:nilerr // without iptables there are no rules
	}
	before, err := os.ReadFile(e.Path(foreignChains))
	if err != nil {
		return nil //nolint:nilerr // up never came so far
	}
	saved, err := e.Command(ctx, "", nil, nil, "iptables-save")
	if err != nil {
		return err
	}
	if script := removal(saved, strings.Fields(string(before))); script != "" {
		_, err = e.Command(ctx, "", nil, strings.NewReader(script), "iptables-restore", "--noflush")
	}
	return err
}

// removal is the input of iptables-restore that removes chains of Kubernetes and
// CNI which are not foreign.
func removal(saved string, foreign []string) string {
	keep := map[string]bool{}
	for _, f := range foreign {
		keep[f] = true
	}
	var out strings.Builder
	var chains, rules []string
	ours := map[string]bool{}
	for _, line := range strings.Split(saved, "\n") {
		switch {
		case strings.HasPrefix(line, "*"):
			chains, rules, ours = nil, nil, map[string]bool{}
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, ":"):
			if m := chainPattern.FindStringSubmatch(line); m != nil && !keep[m[1]] {
				chains, ours[m[1]] = append(chains, m[1]), true
			}
		case strings.HasPrefix(line, "-A "):
			if leads(line, ours) {
				rules = append(rules, "-D "+strings.TrimPrefix(line, "-A "))
			}
		case line == "COMMIT":
			for _, r := range rules {
				out.WriteString(r + "\n")
			}
			for _, c := range chains {
				out.WriteString("-F " + c + "\n")
			}
			for _, c := range chains {
				out.WriteString("-X " + c + "\n")
			}
			out.WriteString("COMMIT\n")
		}
	}
	return out.String()
}

// leads tells whether a rule of a chain that is not ours jumps to one that is.
func leads(rule string, ours map[string]bool) bool {
	fields := strings.Fields(rule)
	if ours[fields[1]] {
		return false // goes with its chain
	}
	for i, f := range fields[:len(fields)-1] {
		if (f == "-j" || f == "-g") && ours[fields[i+1]] {
			return true
		}
	}
	return false
}
