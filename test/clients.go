// Package test helps tests that run against a real cluster: clients, waiting by
// watch with a deadline, calls through the ingress, and what to print when a
// test fails.
package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	eventingclientset "knative.dev/eventing/pkg/client/clientset/versioned"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"

	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
)

// FieldManager is what these tests apply as.
const FieldManager = "lambda-test"

// callTimeout bounds one request, a cold start included.
const callTimeout = time.Minute

// Clients of the cluster under test.
type Clients struct {
	Config    *rest.Config
	Kube      kubernetes.Interface
	Lambda    lambdaclientset.Interface
	Serving   servingclientset.Interface
	Eventing  eventingclientset.Interface
	Dynamic   dynamic.Interface
	Discovery discovery.DiscoveryInterface
	// HTTP reaches the URLs of functions, whatever their host names resolve to.
	HTTP *http.Client
}

// NewClients reads KUBECONFIG, and LAMBDA_INGRESS: host:port of the ingress that
// serves the cluster's functions; without it their host names must resolve.
func NewClients() (*Clients, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("KUBECONFIG: missing; point it to a cluster with the operator, or eval \"$(go run ./hack/cluster env)\"")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("KUBECONFIG: %w", err)
	}
	return newClients(cfg)
}

// newClients makes the clients of the user that the configuration authenticates.
func newClients(cfg *rest.Config) (*Clients, error) {
	cfg.QPS, cfg.Burst = 100, 200
	cfg.WarningHandler = rest.NoWarnings{} // of kinds that Inventory lists
	c := &Clients{Config: cfg, HTTP: newHTTPClient(os.Getenv("LAMBDA_INGRESS"))}
	var errs [5]error
	var kube *kubernetes.Clientset
	kube, errs[0] = kubernetes.NewForConfig(cfg)
	c.Lambda, errs[1] = lambdaclientset.NewForConfig(cfg)
	c.Serving, errs[2] = servingclientset.NewForConfig(cfg)
	c.Dynamic, errs[3] = dynamic.NewForConfig(cfg)
	c.Eventing, errs[4] = eventingclientset.NewForConfig(cfg)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	c.Kube, c.Discovery = kube, kube.Discovery()
	return c, nil
}

// newHTTPClient dials the ingress whatever the URL's host is: the Host header
// alone routes to the function.
func newHTTPClient(ingress string) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	if ingress != "" {
		var dialer net.Dialer
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, ingress)
		}
	}
	return &http.Client{Transport: transport, Timeout: callTimeout}
}
