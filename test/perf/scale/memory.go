package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/test/perf/internal/kubelet"
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

func (w *world) memory(ctx context.Context) (m memory, err error) {
	pod, err := w.controller(ctx)
	if err != nil {
		return m, err
	}
	if m.rss, err = kubelet.RSS(ctx, w.Kube, *pod); err != nil {
		return m, err
	}
	page, err := w.Kube.CoreV1().RESTClient().Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name + ":9090").SubResource("proxy").Suffix("metrics").DoRaw(ctx)
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
