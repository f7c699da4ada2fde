package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// Parts of the control plane and the node, in no order: each names what it
// needs.
func Parts() []env.Part {
	return []env.Part{
		{Name: "network", Up: upNetwork},
		{Name: "registry", Needs: []string{"network"}, Up: upRegistry},
		{Name: "kubernetes", Prepare: prepareKubernetes, Needs: []string{"network"}, Up: upAPIServer},
		{Name: "containerd", Needs: []string{"network"}, Up: upContainerd},
		{Name: "dns", Prepare: prepareDNS, Needs: []string{"kubernetes"}, Up: upDNS},
		{Name: "node", Needs: []string{"kubernetes", "containerd", "registry", "images"}, Up: upNode},
	}
}

// Config of the image registry: plain HTTP on the bridge, its images in the
// cache.
const registryConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
http:
  addr: %q
  relativeurls: true
`

func upRegistry(ctx context.Context, e *env.Env) error {
	if err := e.Apt(ctx, map[string]string{"/usr/bin/docker-registry": "docker-registry"}); err != nil {
		return err
	}
	if err := e.Write("registry.yaml", fmt.Sprintf(registryConfig, filepath.Join(e.Cache, "registry"), env.Registry)); err != nil {
		return err
	}
	if err := e.Start(env.Process{Name: "registry", Args: []string{"/usr/bin/docker-registry", "serve", e.Path("registry.yaml")}}); err != nil {
		return err
	}
	return e.Wait(ctx, "registry", "the image registry", 30*time.Second, func(ctx context.Context) error {
		return e.Healthy(ctx, "registry", "http://"+env.Registry+"/v2/")
	})
}

const containerdConfig = `version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s/pause:latest"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %q
`

func upContainerd(ctx context.Context, e *env.Env) error {
	if err := e.Apt(ctx, map[string]string{"/usr/bin/containerd": "containerd", "/usr/sbin/runc": "runc", "/usr/sbin/ip": "iproute2"}); err != nil {
		return err
	}
	config := fmt.Sprintf(containerdConfig, e.Path("containerd", "root"), e.Path("containerd", "state"), socket(e), env.Registry, e.Path("cni"), e.Path("certs.d"))
	if err := e.Write("containerd/config.toml", config); err != nil {
		return err
	}
	server := fmt.Sprintf("server = \"http://%s\"\n", env.Registry)
	hosts := server + fmt.Sprintf("[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", env.Registry)
	if err := e.Write("certs.d/"+env.Registry+"/hosts.toml", hosts); err != nil {
		return err
	}
	// Images of other registries are looked for here first: tests of others name them.
	if err := e.Write("certs.d/_default/hosts.toml", strings.TrimPrefix(hosts, server)); err != nil {
		return err
	}
	if err := e.Start(env.Process{Name: "containerd", Args: []string{"/usr/bin/containerd", "--config", e.Path("containerd", "config.toml")}}); err != nil {
		return err
	}
	return e.Wait(ctx, "containerd", "containerd", 30*time.Second, func(context.Context) error {
		if err := e.Died("containerd"); err != nil {
			return err
		}
		_, err := os.Stat(socket(e))
		return err
	})
}

func socket(e *env.Env) string { return e.Path("containerd", "containerd.sock") }

func prepareKubernetes(ctx context.Context, e *env.Env) error {
	if _, err := e.Build(ctx, "etcd", "", "go.etcd.io/etcd/server/v3"); err != nil {
		return err
	}
	_, err := e.Kubernetes(ctx)
	return err
}

// auditPolicy notes what the operator asks for, without what is in it.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users:
  - system:serviceaccount:knative-lambda:knative-lambda-controller
  - system:serviceaccount:knative-lambda:knative-lambda-webhook
  - system:serviceaccount:knative-lambda:knative-lambda-receiver
  - system:serviceaccount:knative-lambda:knative-lambda-broker
- level: None
`

func upAPIServer(ctx context.Context, e *env.Env) error {
	if err := makePKI(e); err != nil {
		return err
	}
	etcd, err := e.Build(ctx, "etcd", "", "go.etcd.io/etcd/server/v3")
	if err != nil {
		return err
	}
	bin, err := e.Kubernetes(ctx)
	if err != nil {
		return err
	}
	const etcdURL = "http://127.0.0.1:12379"
	if err := e.Start(env.Process{Name: "etcd", Args: []string{etcdProgram(etcd), "--data-dir", e.Path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL, "--listen-peer-urls", "http://127.0.0.1:12380", "--log-level", "warn"}}); err != nil {
		return err
	}
	if err := e.Write("audit.yaml", auditPolicy); err != nil {
		return err
	}
	if err := e.Export("audit", "LAMBDA_AUDIT_LOG="+e.Path("audit.log")); err != nil {
		return err
	}
	pki := func(name string) string { return e.Path("pki", name) }
	if err := e.Start(env.Process{Name: "apiserver", Args: []string{filepath.Join(bin, "kube-apiserver"),
		"--etcd-servers=" + etcdURL, "--bind-address=" + env.BridgeIP, "--advertise-address=" + env.BridgeIP, "--secure-port=16443",
		"--service-cluster-ip-range=" + env.ServiceCIDR, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--client-ca-file=" + pki("ca.crt"), "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet.key"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--service-account-key-file=" + pki("service-accounts.pub"), "--service-account-signing-key-file=" + pki("service-accounts.key"),
		"--audit-policy-file=" + e.Path("audit.yaml"), "--audit-log-path=" + e.Path("audit.log"), "--audit-log-mode=batch", "--audit-log-maxsize=300", "--audit-log-maxbackup=1",
		"--profiling=false"}}); err != nil {
		return err
	}
	err = e.Wait(ctx, "kubernetes", "the API server", 90*time.Second, func(ctx context.Context) error {
		for _, p := range []string{"etcd", "apiserver"} {
			if err := e.Died(p); err != nil {
				return err
			}
		}
		_, err := e.Kubectl(ctx, "", "get", "--raw", "/readyz")
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range []env.Process{
		{Name: "controller-manager", Args: []string{filepath.Join(bin, "kube-controller-manager"), "--kubeconfig=" + e.Path("controller-manager.kubeconfig"), "--leader-elect=false", "--use-service-account-credentials",
			"--service-account-private-key-file=" + pki("service-accounts.key"), "--root-ca-file=" + pki("ca.crt"), "--secure-port=0", "--kube-api-qps=100", "--kube-api-burst=200",
			"--concurrent-deployment-syncs=10", "--concurrent-replicaset-syncs=10", "--concurrent-job-syncs=10"}},
		{Name: "scheduler", Args: []string{filepath.Join(bin, "kube-scheduler"), "--kubeconfig=" + e.Path("scheduler.kubeconfig"), "--leader-elect=false", "--secure-port=0", "--kube-api-qps=100", "--kube-api-burst=200"}},
	} {
		if err := e.Start(p); err != nil {
			return err
		}
	}
	return nil
}

// etcdProgram: the module's root is its package main, so the program is named
// after the module's last element.
func etcdProgram(dir string) string {
	for _, name := range []string{"server", "etcd", "v3"} {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return filepath.Join(dir, "server")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func prepareDNS(ctx context.Context, e *env.Env) error {
	_, err := e.Build(ctx, "coredns", "", ".")
	return err
}

const corefile = `.:53 {
	bind %s
	errors
	kubernetes cluster.local in-addr.arpa {
		kubeconfig %s
		pods insecure
		ttl 5
	}
	cache 5
	loadbalance
}
`

func upDNS(ctx context.Context, e *env.Env) error {
	bin, err := e.Build(ctx, "coredns", "", ".")
	if err != nil {
		return err
	}
	if err := e.Write("Corefile", fmt.Sprintf(corefile, env.BridgeIP, e.Kubeconfig())); err != nil {
		return err
	}
	if err := e.Write("resolv.conf", ""); err != nil { // nothing outside of the cluster has a name in it
		return err
	}
	if err := e.Start(env.Process{Name: "coredns", Args: []string{filepath.Join(bin, "coredns"), "-conf", e.Path("Corefile")}}); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	return e.Died("coredns")
}

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %q}
authorization: {mode: Webhook}
address: %s
cgroupDriver: cgroupfs
cgroupRoot: /%s
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDNS: [%s]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://%s
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%, nodefs.inodesFree: 1%%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 200
podLogsDir: %q
volumePluginDir: %q
registryPullQPS: 0
serializeImagePulls: false
resolvConf: %q
`

func upNode(ctx context.Context, e *env.Env) error {
	bin, err := e.Kubernetes(ctx)
	if err != nil {
		return err
	}
	if err := e.Write("kubelet.yaml", fmt.Sprintf(kubeletConfig, e.Path("pki", "ca.crt"), env.BridgeIP, env.Cgroup, env.BridgeIP, socket(e), e.Path("pod-logs"), e.Path("kubelet", "volume-plugins"), e.Path("resolv.conf"))); err != nil {
		return err
	}
	if err := e.Write("resolv.conf", ""); err != nil {
		return err
	}
	for _, p := range []env.Process{
		{Name: "kubelet", Args: []string{filepath.Join(bin, "kubelet"), "--config=" + e.Path("kubelet.yaml"), "--kubeconfig=" + e.Path("kubelet.kubeconfig"), "--root-dir=" + e.Path("kubelet"),
			"--hostname-override=" + env.NodeName, "--node-ip=" + env.BridgeIP, "--cert-dir=" + e.Path("kubelet-pki")}},
		{Name: "proxy", Args: []string{filepath.Join(bin, "kube-proxy"), "--kubeconfig=" + e.Path("proxy.kubeconfig"), "--proxy-mode=iptables", "--hostname-override=" + env.NodeName, "--masquerade-all",
			"--conntrack-max-per-core=0", "--conntrack-min=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
			"--iptables-min-sync-period=100ms", "--healthz-bind-address=127.0.0.1:21056", "--metrics-bind-address=127.0.0.1:21049"}},
	} {
		if err := e.Start(p); err != nil {
			return err
		}
	}
	return e.Wait(ctx, "node", "the node", 90*time.Second, func(ctx context.Context) error {
		for _, p := range []string{"kubelet", "proxy", "containerd", "controller-manager", "scheduler"} {
			if err := e.Died(p); err != nil {
				return err
			}
		}
		out, err := e.Kubectl(ctx, "", "get", "node", env.NodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && strings.TrimSpace(out) != "True" {
			err = fmt.Errorf("the node is not ready: %s", out)
		}
		return err
	})
}
