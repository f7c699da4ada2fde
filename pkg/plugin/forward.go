package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// forwarder opens a way to a port of a pod, as kubectl port-forward does, until it
// is stopped. It returns the address on this machine.
type forwarder func(ctx context.Context, namespace, pod string, port int) (address string, stop func(), err error)

func portForwarder(cfg *rest.Config) forwarder {
	return func(ctx context.Context, namespace, pod string, port int) (string, func(), error) {
		dialer, err := dialerTo(cfg, namespace, pod)
		if err != nil {
			return "", nil, err
		}
		stopped, ready, failed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		stop := func() { close(stopped) }
		forward, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stopped, ready, io.Discard, io.Discard)
		if err != nil {
			return "", nil, err
		}
		go func() { failed <- forward.ForwardPorts() }()
		select {
		case <-ready:
		case err := <-failed:
			return "", nil, fmt.Errorf("forwarding a port of pod %s/%s: %w", namespace, pod, err)
		case <-ctx.Done():
			stop()
			return "", nil, ctx.Err()
		}
		ports, err := forward.GetPorts()
		if err != nil {
			stop()
			return "", nil, err
		}
		return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), stop, nil
	}
}

// dialerTo speaks WebSocket, and SPDY to API servers that are older.
func dialerTo(cfg *rest.Config, namespace, pod string) (httpstream.Dialer, error) {
	core := rest.CopyConfig(cfg)
	core.GroupVersion, core.APIPath = &corev1.SchemeGroupVersion, "/api"
	core.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(core)
	if err != nil {
		return nil, err
	}
	url := client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(cfg)
	if err != nil {
		return nil, err
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(url, cfg)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialer(tunnel, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// readyPod of a selector.
func (o *options) readyPod(ctx context.Context, namespace, selector string) (string, error) {
	pods, err := o.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return "", err
	}
	for i := range pods.Items {
		if isReady(&pods.Items[i]) {
			return pods.Items[i].Name, nil
		}
	}
	return "", fmt.Errorf("%w in namespace %s with labels %s", errNoPod, namespace, selector)
}

var errNoPod = errors.New("there is no ready pod")

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
