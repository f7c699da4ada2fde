package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// memory of the controller, in bytes: what its process holds, and its heap.
type memory struct{ rss, heap int64 }

func (m memory) String() string {
	return fmt.Sprintf("%.1f MiB resident, %.1f MiB of heap", float64(m.rss)/(1<<20), float64(m.heap)/(1<<20))
}

func (m memory) minus(other memory) memory { return memory{m.rss - other.rss, m.heap - other.heap} }

func (m memory) times(factor float64) memory {
	return memory{int64(float64(m.rss) * factor), int64(float64(m.heap) * factor)}
}

// stats are the kubelet's of a node's pods.
type stats struct {
	Pods []struct {
		PodRef     struct{ Namespace, Name string }
		Containers []struct {
			Memory struct{ RSSBytes int64 }
		}
	}
}

func (w *world) memory(ctx context.Context) (m memory, err error) {
	pod, err := w.controller(ctx)
	if err != nil {
		return m, err
	}
	rest := w.Kube.CoreV1().RESTClient()
	text, err := rest.Get().Resource("nodes").Name(pod.Spec.NodeName).SubResource("proxy").Suffix("stats/summary").DoRaw(ctx)
	if err != nil {
		return m, err
	}
	var all stats
	if err := json.Unmarshal(text, &all); err != nil {
		return m, err
	}
	for _, p := range all.Pods {
		if p.PodRef.Name == pod.Name && p.PodRef.Namespace == pod.Namespace {
			for _, c := range p.Containers {
				m.rss += c.Memory.RSSBytes
			}
		}
	}
	if m.rss == 0 {
		return m, fmt.Errorf("the kubelet of %s does not tell the memory of %s", pod.Spec.NodeName, pod.Name)
	}
	page, err := rest.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name + ":9090").SubResource("proxy").Suffix("metrics").DoRaw(ctx)
	if err != nil {
		return m, err
	}
	m.heap, err = heapOf(string(page))
	return m, err
}

// heapOf a page of metrics, as OpenTelemetry's runtime instrumentation has it: what is in
// use besides stacks.
func heapOf(page string) (int64, error) {
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "go_memory_used_bytes{") && strings.Contains(line, `go_memory_type="other"`) {
			value, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
			return int64(value), err
		}
	}
	return 0, fmt.Errorf("the controller's metrics have no go_memory_used_bytes")
}
