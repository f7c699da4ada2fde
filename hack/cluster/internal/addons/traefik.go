package addons

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

const traefik = "github.com/traefik/traefik/v3/cmd/traefik"

const (
	// publicPort and privatePort on the bridge, for pods.
	publicPort, privatePort = 18080, 18081
	// fallbackPort on loopback where 80 is taken.
	fallbackPort = 18082
)

// traefikServices give the ingress names in the cluster: Services without a
// selector, whose endpoints are on the bridge.
const traefikServices = `apiVersion: v1
kind: Namespace
metadata: {name: traefik}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: traefik}
spec:
  ports: [{name: http, port: 80, targetPort: %[2]d}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: traefik, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[2]d, protocol: TCP}]
endpoints: [{addresses: [%[3]q], conditions: {ready: true}}]
---
`

func upTraefik(ctx context.Context, e *env.Env) error {
	bin, err := e.Build(ctx, "traefik", "", traefik)
	if err != nil {
		return err
	}
	manifests := fmt.Sprintf(traefikServices, "public", publicPort, env.BridgeIP) + fmt.Sprintf(traefikServices, "private", privatePort, env.BridgeIP)
	if err := e.Apply(ctx, manifests); err != nil {
		return err
	}
	port, err := ingressPort(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.Path("traefik"), 0o755); err != nil { // no traefik.yaml may be found where it runs
		return err
	}
	err = e.Start(env.Process{Name: "traefik", Dir: e.Path("traefik"), Env: []string{"KUBECONFIG=" + e.Kubeconfig()}, Args: []string{filepath.Join(bin, "traefik"),
		"--entrypoints.local.address=127.0.0.1:" + port,
		"--entrypoints.public.address=" + net.JoinHostPort(env.BridgeIP, strconv.Itoa(publicPort)),
		"--entrypoints.private.address=" + net.JoinHostPort(env.BridgeIP, strconv.Itoa(privatePort)),
		"--experimental.knative=true",
		"--providers.knative.publicEntrypoints=local,public", "--providers.knative.publicService.namespace=traefik", "--providers.knative.publicService.name=public",
		"--providers.knative.privateEntrypoints=private", "--providers.knative.privateService.namespace=traefik", "--providers.knative.privateService.name=private",
		"--providers.knative.throttleDuration=100ms",
		"--global.checknewversion=false", "--global.sendanonymoususage=false",
		"--serversTransport.maxIdleConnsPerHost=200", "--log.level=WARN"}})
	if err != nil {
		return err
	}
	return e.Wait(ctx, "traefik", "the ingress", 30*time.Second, func(ctx context.Context) error {
		return e.Listens(ctx, "traefik", "127.0.0.1:"+port)
	})
}

// ingressPort is 80 where it is free, decided once.
func ingressPort(e *env.Env) (string, error) {
	if port, err := os.ReadFile(e.Path("ingress-port")); err == nil {
		return string(port), nil
	}
	port := "80"
	if l, err := net.Listen("tcp", "127.0.0.1:80"); err == nil {
		l.Close()
	} else {
		port = strconv.Itoa(fallbackPort)
	}
	return port, e.Write("ingress-port", port)
}

// Ingress is the host:port at which the ingress answers on this machine.
func Ingress(e *env.Env) (string, error) {
	port, err := os.ReadFile(e.Path("ingress-port"))
	return "127.0.0.1:" + string(port), err
}

// Configure sets this project's ConfigMaps for the local cluster: where images
// go and what they are made from.
func Configure(ctx context.Context, e *env.Env) error {
	image := func(name string) string {
		text, err := os.ReadFile(e.Path("images", name))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	if err := connectAdministrator(ctx, e); err != nil {
		return err
	}
	modules, err := goEnv(ctx, e, "GOPROXY", "GOSUMDB")
	if err != nil {
		return err
	}
	languages := runtimesConfig(image, modules[0], modules[1])
	versions, err := offered(languages)
	if err != nil {
		return err
	}
	e.Say("runtimes", "config-runtimes offers what Debian has: %s; a function that asks for another version says so in a condition", versions)
	return e.PatchConfig(ctx, "config", "knative-lambda", map[string]map[string]string{
		"config-build": {
			"registry": env.Registry, "insecure-registries": env.Registry, "executor-image": image("kaniko"),
			"repository-template": "functions/{{.Namespace}}/{{.Language}}",
			// This machine as pods reach it: MinIO, and the git servers of tests.
			"source-allowed-networks": env.BridgeIP + "/32", "registry-allowed-networks": env.ServiceCIDR, "source-poll-interval": "5s",
		},
		// The node is this machine, on which what else runs takes CPU, too: nothing waits for
		// a share of it.
		"config-defaults": {"function-resources": "requests: {memory: 64Mi}", "agent-resources": "requests: {memory: 128Mi}"},
		"config-eventing": { // there with --with=eventing
			"broker-class": "LambdaBroker", "rabbitmq-cluster": "rabbitmq/rabbitmq", "delivery-gateways": "traefik/private, traefik/public",
		},
		"config-runtimes": languages,
	})
}
