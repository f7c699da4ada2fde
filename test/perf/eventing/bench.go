package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/test"
	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/audit"
)

// Classes of Brokers.
const (
	plane = "LambdaBroker"
	other = "RabbitMQBroker"
)

// operatorNamespace has the event plane.
const operatorNamespace = "knative-lambda"

// planeSelector of its pods.
const planeSelector = "app=knative-lambda-broker"

// bench is what all parts share.
type bench struct {
	*test.Clients
	o     *options
	table table
	log   *audit.Log
	// idle is an image whose container does nothing.
	idle string
	*subscriber

	http     *http.Client
	services sync.Map // the address of a Service by its name in URLs
}

func newBench(ctx context.Context, clients *test.Clients, o *options) (*bench, error) {
	log, err := audit.Open()
	if err != nil {
		return nil, err
	}
	registry, _, ok := strings.Cut(os.Getenv("KO_DOCKER_REPO"), "/")
	if !ok {
		return nil, fmt.Errorf("KO_DOCKER_REPO: expected the local cluster's registry and a repository, got %q", os.Getenv("KO_DOCKER_REPO"))
	}
	b := &bench{Clients: clients, o: o, log: log, idle: registry + "/pause:latest"}
	node, err := b.node(ctx)
	if err != nil {
		return nil, err
	}
	if b.subscriber, err = newSubscriber(ctx, node); err != nil {
		return nil, fmt.Errorf("the node's address is not this machine's: %w", err)
	}
	b.http = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: b.dial, MaxIdleConnsPerHost: 512, MaxIdleConns: 1024, IdleConnTimeout: time.Minute,
	}}
	return b, nil
}

// node is the address of the cluster's only node.
func (b *bench) node(ctx context.Context) (string, error) {
	nodes, err := b.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	if len(nodes.Items) != 1 {
		return "", fmt.Errorf("there are %d nodes, expected one: this machine", len(nodes.Items))
	}
	for _, a := range nodes.Items[0].Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address, nil
		}
	}
	return "", fmt.Errorf("node %s has no internal address", nodes.Items[0].Name)
}

// dial a Service by its name in the cluster, which this machine does not resolve.
func (b *bench) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip, ok := b.services.Load(host)
	if !ok {
		labels := strings.SplitN(host, ".", 3)
		if len(labels) < 3 {
			return nil, fmt.Errorf("%s is no Service's name", host)
		}
		s, err := b.Kube.CoreV1().Services(labels[1]).Get(ctx, labels[0], metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		ip = s.Spec.ClusterIP
		b.services.Store(host, ip)
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(fmt.Sprint(ip), port))
}

// sleep for a while, or until the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
