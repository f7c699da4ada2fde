package addons

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

const (
	rabbitServer  = "/usr/lib/rabbitmq/bin/rabbitmq-server"
	rabbitControl = "/usr/lib/rabbitmq/bin/rabbitmqctl"
	rabbitUser    = "lambda"
	amqpAddress   = env.BridgeIP + ":5672"
	managementURL = "http://" + env.BridgeIP + ":15672"
	// epmdPort is where Erlang's nodes find each other: not the machine's own.
	epmdPort         = 14369
	distributionPort = 14370
	// program of the local cluster, for the go command.
	program = "github.com/brunovlucena/knative-lambda-operator/hack/cluster"
)

// rabbitConfig binds RabbitMQ to the bridge. Its log goes where that of every
// process goes.
const rabbitConfig = `listeners.tcp.default = %s
management.tcp.ip = %s
management.tcp.port = 15672
default_user = %s
default_pass = %s
loopback_users = none
disk_free_limit.absolute = 100MB
raft.wal_max_size_bytes = 64000000
log.console = true
log.console.level = warning
log.file = false
`

// upRabbitMQ runs Debian's RabbitMQ as a node of the cluster's own: its
// directories, ports, cookie and epmd are not those of a service of this machine.
func upRabbitMQ(ctx context.Context, e *env.Env) error {
	if err := e.Apt(ctx, map[string]string{rabbitServer: "rabbitmq-server"}); err != nil {
		return err
	}
	password, err := e.Secret("rabbitmq")
	if err != nil {
		return err
	}
	cookie, err := e.Secret("erlang-cookie")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"rabbitmq.conf":   fmt.Sprintf(rabbitConfig, amqpAddress, env.BridgeIP, rabbitUser, password),
		"enabled_plugins": "[rabbitmq_management].\n",
		".erlang.cookie":  cookie,
	} {
		if err := e.Write("rabbitmq/"+name, content); err != nil {
			return err
		}
	}
	if err := startRabbitMQ(ctx, e); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(amqpAddress)
	return e.Export("rabbitmq", "LAMBDA_RABBITMQ_HOST="+host, "LAMBDA_RABBITMQ_PORT="+port, "LAMBDA_RABBITMQ_USERNAME="+rabbitUser, "LAMBDA_RABBITMQ_PASSWORD="+password,
		"LAMBDA_RABBITMQ_URL=amqp://"+rabbitUser+":"+password+"@"+amqpAddress+"/", "LAMBDA_RABBITMQ_MANAGEMENT_URL="+managementURL,
		"LAMBDA_RABBITMQ_RESTART='go run "+program+" restart rabbitmq'")
}

func startRabbitMQ(ctx context.Context, e *env.Env) error {
	epmd := strconv.Itoa(epmdPort)
	if err := e.Start(env.Process{Name: "epmd", Args: []string{"/usr/bin/epmd", "-address", "127.0.0.1", "-port", epmd}}); err != nil {
		return err
	}
	if err := e.Wait(ctx, "rabbitmq", "epmd", 10*time.Second, func(ctx context.Context) error {
		return e.Listens(ctx, "epmd", "127.0.0.1:"+epmd) // else Erlang would start one that nobody ends
	}); err != nil {
		return err
	}
	err := e.Start(env.Process{Name: "rabbitmq", Dir: e.Path("rabbitmq"), Args: []string{rabbitServer, "-noinput"}, Env: rabbitEnv(e)})
	if err != nil {
		return err
	}
	return e.Wait(ctx, "rabbitmq", "RabbitMQ", time.Minute, func(ctx context.Context) error {
		if err := e.Healthy(ctx, "rabbitmq", managementURL); err != nil {
			return err
		}
		return e.Listens(ctx, "rabbitmq", amqpAddress)
	})
}

// rabbitEnv is the environment of RabbitMQ's programs.
func rabbitEnv(e *env.Env) []string {
	home := e.Path("rabbitmq")
	return []string{
		"HOME=" + home, "ERL_EPMD_PORT=" + strconv.Itoa(epmdPort), "RABBITMQ_NODENAME=knative-lambda@localhost", "RABBITMQ_DIST_PORT=" + strconv.Itoa(distributionPort),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_CONFIG_FILE=" + filepath.Join(home, "rabbitmq.conf"), "RABBITMQ_ADVANCED_CONFIG_FILE=" + filepath.Join(home, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(home, "enabled_plugins"), "RABBITMQ_MNESIA_BASE=" + filepath.Join(home, "data"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + filepath.Join(home, "config"), "RABBITMQ_LOG_BASE=" + filepath.Join(home, "log"), "RABBITMQ_LOGS=-",
		"RABBITMQ_ALLOW_INPUT=true", // its script then becomes the server, which ends with the process that is recorded
	}
}

// ControlRabbitMQ runs rabbitmqctl, and returns what it prints.
func ControlRabbitMQ(ctx context.Context, e *env.Env, args []string) (string, error) {
	return e.Command(ctx, "", rabbitEnv(e), nil, rabbitControl, args...)
}

const topology = "github.com/rabbitmq/messaging-topology-operator"

// rabbitObjects give RabbitMQ a name in the cluster, and stand for what the
// operator of whole RabbitMQ clusters would make: a RabbitmqCluster that brokers of
// every namespace may refer to.
const rabbitObjects = `apiVersion: v1
kind: Namespace
metadata: {name: rabbitmq}
---
apiVersion: v1
kind: Service
metadata: {name: rabbitmq, namespace: rabbitmq}
spec:
  ports:
  - {name: amqp, port: 5672}
  - {name: management, port: 15672}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: rabbitmq, namespace: rabbitmq, labels: {kubernetes.io/service-name: rabbitmq}}
addressType: IPv4
ports: [{name: amqp, port: 5672, protocol: TCP}, {name: management, port: 15672, protocol: TCP}]
endpoints: [{addresses: [%[1]q], conditions: {ready: true}}]
---
apiVersion: v1
kind: Secret
metadata: {name: rabbitmq, namespace: rabbitmq}
stringData: {uri: %[2]q, port: "5672", username: %[3]q, password: %[4]q}
---
apiVersion: rabbitmq.com/v1beta1
kind: RabbitmqCluster
metadata:
  name: rabbitmq
  namespace: rabbitmq
  annotations: {rabbitmq.com/topology-allowed-namespaces: "*", rabbitmq.com/operator-connection-uri: %[2]q}
`

const rabbitStatus = `{"status":{"conditions":[],"binding":{"name":"rabbitmq"},"defaultUser":{
  "secretReference":{"name":"rabbitmq","namespace":"rabbitmq","keys":{"username":"username","password":"password"}},
  "serviceReference":{"name":"rabbitmq","namespace":"rabbitmq"}}}}`

// upTopology runs the operator that makes exchanges, queues and bindings.
func upTopology(ctx context.Context, e *env.Env) error {
	bin, err := e.Build(ctx, "topology-operator", "", topology)
	if err != nil {
		return err
	}
	kinds, err := read(ctx, e, "topology-operator", files{topology, []string{"config/crd/bases"}}, files{"github.com/rabbitmq/cluster-operator", []string{"config/crd/bases"}})
	if err != nil {
		return err
	}
	password, err := e.Secret("rabbitmq")
	if err != nil {
		return err
	}
	if err := apply(ctx, e, "topology", env.Join([]string{kinds, fmt.Sprintf(rabbitObjects, env.BridgeIP, managementURL, rabbitUser, password)})); err != nil {
		return err
	}
	if _, err := e.Kubectl(ctx, "", "patch", "rabbitmqcluster", "rabbitmq", "-n", "rabbitmq", "--subresource=status", "--type=merge", "-p", rabbitStatus); err != nil {
		return err
	}
	const metrics = "127.0.0.1:18083"
	if e.Died("topology") != nil { // one that was killed holds its lease on
		if _, err := e.Kubectl(ctx, "", "delete", "lease", "messaging-topology-operator-leader-election", "-n", "rabbitmq", "--ignore-not-found"); err != nil {
			return err
		}
	}
	if err := e.Start(env.Process{Name: "topology", Args: []string{filepath.Join(bin, "messaging-topology-operator"), "--metrics-bind-address=" + metrics, "--zap-log-level=error"},
		Env: []string{"KUBECONFIG=" + e.Kubeconfig(), "OPERATOR_NAMESPACE=rabbitmq", "ENABLE_WEBHOOKS=false",
			// In seconds. It ends when it cannot renew, and nobody is there to start it again: an API
			// server may be away for longer than the ten seconds that it has by itself.
			"LEASE_DURATION=120", "RENEW_DEADLINE=90"}}); err != nil {
		return err
	}
	return e.Wait(ctx, "topology", "the topology operator", 30*time.Second, func(ctx context.Context) error {
		return e.Listens(ctx, "topology", metrics)
	})
}

// administratorSecret is the connection with which the setup Job of config/rabbitmq makes
// the users of the operator's programs.
const administratorSecret = `apiVersion: v1
kind: Secret
metadata: {name: knative-lambda-rabbitmq-administrator, namespace: knative-lambda}
stringData: {host: rabbitmq.rabbitmq.svc.cluster.local, port: "5672", username: %[1]q, password: %[2]q}
`

// connectAdministrator makes that Secret, where the cluster has RabbitMQ.
func connectAdministrator(ctx context.Context, e *env.Env) error {
	if _, err := os.Stat(e.Path("env", "rabbitmq")); err != nil {
		return nil //nolint:nilerr // RabbitMQ is not switched on
	}
	password, err := e.Secret("rabbitmq")
	if err != nil {
		return err
	}
	return e.Apply(ctx, fmt.Sprintf(administratorSecret, rabbitUser, password))
}
