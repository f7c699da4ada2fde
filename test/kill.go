package test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"
)

// KillPod kills a pod and has another take its place at once. On the local cluster its
// processes get SIGKILL; elsewhere, where kubelets send SIGTERM first, they have two
// seconds to end.
func (c *Clients) KillPod(ctx context.Context, pod *corev1.Pod) error {
	for _, pid := range processes(pod) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return c.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.Int64(0)})
}

// processes of this machine that are in the pod's control group, without the one that
// holds its namespaces.
func processes(pod *corev1.Pod) (pids []int) {
	groups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, path := range groups {
		group, err := os.ReadFile(path)
		if err != nil || !ofPod(group, pod) {
			continue
		}
		name, err := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
		pid, notNumber := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && notNumber == nil && strings.TrimSpace(string(name)) != "pause" {
			pids = append(pids, pid)
		}
	}
	return pids
}

func ofPod(group []byte, pod *corev1.Pod) bool {
	uid := string(pod.UID)
	return uid != "" && (bytes.Contains(group, []byte("pod"+uid)) || bytes.Contains(group, []byte("pod"+strings.ReplaceAll(uid, "-", "_"))))
}
