// Package prometheus runs a Prometheus for tests, which scrapes what the monitors of
// config/monitoring select. Debian's does not know Kubernetes, and no operator writes
// its configuration: this package does both, as prometheus-operator would.
package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
)

// Monitor is what of a ServiceMonitor or a PodMonitor is used here.
type Monitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NamespaceSelector struct {
			Any        bool     `json:"any"`
			MatchNames []string `json:"matchNames"`
		} `json:"namespaceSelector"`
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []Endpoint           `json:"endpoints"`           // of Services
		Pods      []Endpoint           `json:"podMetricsEndpoints"` // of pods
	} `json:"spec"`
}

// Endpoint that is scraped.
type Endpoint struct {
	Port        string    `json:"port"`
	Interval    string    `json:"interval"`
	Relabelings []Relabel `json:"relabelings"`
}

// Relabel changes the labels of a target.
type Relabel struct {
	SourceLabels []string `json:"sourceLabels"`
	Regex        string   `json:"regex"`
	TargetLabel  string   `json:"targetLabel"`
	Replacement  string   `json:"replacement"`
}

// Monitors of the manifests in a folder.
func Monitors(dir string) (monitors []*Monitor, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*monitor*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 1024)
		for {
			m := &Monitor{}
			if err := documents.Decode(m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			monitors = append(monitors, m)
		}
	}
	if len(monitors) == 0 {
		return nil, fmt.Errorf("there are no monitors in %s", dir)
	}
	return monitors, nil
}

// job of the monitor in Prometheus' configuration.
func (m *Monitor) job() string { return m.Namespace + "/" + m.Name }

// endpoint that all of them have.
func (m *Monitor) endpoint() Endpoint {
	if m.Kind == "PodMonitor" {
		return m.Spec.Pods[0]
	}
	return m.Spec.Endpoints[0]
}

// Target is an address with its labels, as a file for Prometheus has it.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Targets that the monitor selects now.
func (m *Monitor) Targets(ctx context.Context, kube kubernetes.Interface) (targets []Target, err error) {
	namespaces := m.Spec.NamespaceSelector.MatchNames
	if m.Spec.NamespaceSelector.Any {
		namespaces = []string{metav1.NamespaceAll}
	} else if len(namespaces) == 0 {
		namespaces = []string{m.Namespace}
	}
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		return nil, err
	}
	for _, namespace := range namespaces {
		var some []Target
		if m.Kind == "PodMonitor" {
			some, err = m.pods(ctx, kube, namespace, selector, m.Spec.Pods[0].Port, map[string]string{"job": m.job()})
		} else {
			some, err = m.services(ctx, kube, namespace, selector)
		}
		if err != nil {
			return nil, err
		}
		targets = append(targets, some...)
	}
	return targets, nil
}

func (m *Monitor) services(ctx context.Context, kube kubernetes.Interface, namespace string, selector labels.Selector) (targets []Target, err error) {
	services, err := kube.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	for i := range services.Items {
		s := &services.Items[i]
		for _, port := range s.Spec.Ports {
			if port.Name != m.Spec.Endpoints[0].Port || len(s.Spec.Selector) == 0 {
				continue
			}
			some, err := m.pods(ctx, kube, s.Namespace, labels.SelectorFromSet(s.Spec.Selector), port.TargetPort.String(), map[string]string{"job": s.Name, "service": s.Name})
			if err != nil {
				return nil, err
			}
			targets = append(targets, some...)
		}
	}
	return targets, nil
}

// pods that run and declare the port, by its name or number.
func (m *Monitor) pods(ctx context.Context, kube kubernetes.Interface, namespace string, selector labels.Selector, port string, common map[string]string) (targets []Target, err error) {
	pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Status.Phase != corev1.PodRunning || p.Status.PodIP == "" || p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range p.Spec.Containers {
			for _, declared := range c.Ports {
				number := strconv.Itoa(int(declared.ContainerPort))
				if declared.Name != port && number != port {
					continue
				}
				t := Target{Targets: []string{net.JoinHostPort(p.Status.PodIP, number)}, Labels: map[string]string{
					"namespace": p.Namespace, "pod": p.Name, "container": c.Name, "endpoint": m.endpoint().Port, "__meta_kubernetes_pod_ip": p.Status.PodIP,
				}}
				maps.Copy(t.Labels, common)
				for name, value := range p.Labels {
					t.Labels["__meta_kubernetes_pod_label_"+notInLabels.ReplaceAllString(name, "_")] = value
				}
				targets = append(targets, t)
			}
		}
	}
	return targets, nil
}

var notInLabels = regexp.MustCompile(`[^a-zA-Z0-9_]`)
