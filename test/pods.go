package test

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// PodReady reports whether a pod is ready and stays.
func PodReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}

// Scale has a Deployment run so many pods, and returns how many it had to run before.
func (c *Clients) Scale(ctx context.Context, deployment types.NamespacedName, replicas int32) (before int32, err error) {
	client := c.Kube.AppsV1().Deployments(deployment.Namespace)
	scale, err := client.GetScale(ctx, deployment.Name, metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	before, scale.Spec.Replicas = scale.Spec.Replicas, replicas
	_, err = client.UpdateScale(ctx, deployment.Name, scale, metav1.UpdateOptions{})
	return before, err
}

// RestartPods deletes the pods of a selector, with the seconds they have to end (nil:
// their own, 0: they are killed), and waits until as many others are ready.
func (c *Clients) RestartPods(ctx context.Context, namespace, selector string, seconds *int64) error {
	client, chosen := c.Kube.CoreV1().Pods(namespace), metav1.ListOptions{LabelSelector: selector}
	before, err := client.List(ctx, chosen)
	if err != nil {
		return err
	}
	if len(before.Items) == 0 {
		return fmt.Errorf("there is no pod of %s in %s to restart", selector, namespace)
	}
	deleted := map[types.UID]bool{}
	for i := range before.Items {
		deleted[before.Items[i].UID] = true
	}
	if err := client.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: seconds}, chosen); err != nil {
		return err
	}
	ready := 0
	err = wait.PollUntilContextTimeout(ctx, pollInterval, Patience, false, func(ctx context.Context) (bool, error) {
		now, err := client.List(ctx, chosen)
		if err != nil {
			return false, err
		}
		ready = 0
		for i := range now.Items {
			if pod := &now.Items[i]; !deleted[pod.UID] && PodReady(pod) {
				ready++
			}
		}
		return ready >= len(deleted), nil
	})
	if err != nil {
		return fmt.Errorf("pods of %s in %s: %d of %d are back: %w", selector, namespace, ready, len(deleted), err)
	}
	return nil
}

// AwaitDeployments waits until all replicas of all Deployments of a namespace are of the
// newest template and ready.
func (c *Clients) AwaitDeployments(ctx context.Context, namespace string) error {
	var behind string
	err := wait.PollUntilContextTimeout(ctx, pollInterval, Patience, true, func(ctx context.Context) (bool, error) {
		all, err := c.Kube.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		behind = ""
		for i := range all.Items {
			d := &all.Items[i]
			wanted, s := *d.Spec.Replicas, d.Status
			if s.ObservedGeneration != d.Generation || s.Replicas != wanted || s.UpdatedReplicas != wanted || s.ReadyReplicas != wanted {
				behind = fmt.Sprintf("%s has %d replicas, %d of them updated and %d ready, expected %d", d.Name, s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, wanted)
			}
		}
		return behind == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, behind)
	}
	return nil
}
