// Package kubelet reads the memory of pods.
package kubelet

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
)

// stats are those of a node's pods.
type stats struct {
	Pods []struct {
		PodRef     struct{ Namespace, Name string }
		Containers []struct {
			Memory struct{ RSSBytes int64 }
		}
	}
}

// RSS is the resident memory of pods of one node, in bytes, as its kubelet saw it within
// the last 15 seconds.
func RSS(ctx context.Context, kube kubernetes.Interface, pods ...corev1.Pod) (total int64, err error) {
	if len(pods) == 0 {
		return 0, nil
	}
	text, err := kube.CoreV1().RESTClient().Get().Resource("nodes").Name(pods[0].Spec.NodeName).SubResource("proxy").Suffix("stats/summary").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	var all stats
	if err := json.Unmarshal(text, &all); err != nil {
		return 0, err
	}
	held := map[string]int64{}
	for _, p := range all.Pods {
		for _, c := range p.Containers {
			held[p.PodRef.Namespace+"/"+p.PodRef.Name] += c.Memory.RSSBytes
		}
	}
	for i := range pods {
		rss := held[pods[i].Namespace+"/"+pods[i].Name]
		if rss == 0 {
			return 0, fmt.Errorf("the kubelet of %s does not report the memory of %s", pods[i].Spec.NodeName, pods[i].Name)
		}
		total += rss
	}
	return total, nil
}
