package test

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/ptr"
)

// dumpedLogLines are the last lines of each container that a dump shows.
const dumpedLogLines = 15

// Dump tells of a namespace what a person would ask for first: conditions,
// pods, events.
func (c *Clients) Dump(ctx context.Context, namespace string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "---- namespace %s\n", namespace)
	all := metav1.ListOptions{}
	functions, err := c.Lambda.LambdaV1alpha1().LambdaFunctions(namespace).List(ctx, all)
	note(&out, err)
	for i := range functions.Items {
		f := &functions.Items[i]
		fmt.Fprintf(&out, "LambdaFunction %s: %s\n", f.Name, describe(f))
		if b := f.Status.Build; b != nil && b.Failure != nil {
			fmt.Fprintf(&out, "  build failed in step %s: %s\n", b.Failure.Step, b.Failure.Log)
		}
	}
	agents, err := c.Lambda.LambdaV1alpha1().LambdaAgents(namespace).List(ctx, all)
	note(&out, err)
	for i := range agents.Items {
		fmt.Fprintf(&out, "LambdaAgent %s: %s\n", agents.Items[i].Name, describe(&agents.Items[i]))
	}
	services, err := c.Serving.ServingV1().Services(namespace).List(ctx, all)
	note(&out, err)
	for i := range services.Items {
		fmt.Fprintf(&out, "Service %s: %s\n", services.Items[i].Name, describe(&services.Items[i]))
	}
	pods, err := c.Kube.CoreV1().Pods(namespace).List(ctx, all)
	note(&out, err)
	for i := range pods.Items {
		c.dumpPod(ctx, &out, &pods.Items[i])
	}
	events, err := c.Kube.CoreV1().Events(namespace).List(ctx, all)
	note(&out, err)
	sort.Slice(events.Items, func(i, j int) bool {
		return events.Items[i].CreationTimestamp.Before(&events.Items[j].CreationTimestamp)
	})
	for i := range events.Items {
		e := &events.Items[i]
		fmt.Fprintf(&out, "event %s %s/%s %s: %s\n", e.Type, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return out.String()
}

func note(out io.Writer, err error) {
	if err != nil {
		fmt.Fprintln(out, err)
	}
}

func (c *Clients) dumpPod(ctx context.Context, out io.Writer, pod *corev1.Pod) {
	fmt.Fprintf(out, "Pod %s: %s %s %s\n", pod.Name, pod.Status.Phase, pod.Status.Reason, pod.Status.Message)
	for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		if w := s.State.Waiting; w != nil {
			fmt.Fprintf(out, "  %s waits: %s %s\n", s.Name, w.Reason, w.Message)
			continue
		}
		log, err := c.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: s.Name, TailLines: ptr.Int64(dumpedLogLines)}).DoRaw(ctx)
		if err != nil {
			log = []byte(err.Error())
		}
		fmt.Fprintf(out, "  %s (%d restarts): %s\n", s.Name, s.RestartCount, log)
	}
}

// IgnoreAlreadyExists is err, nil where it says that the object is there.
func IgnoreAlreadyExists(err error) error {
	if apierrs.IsAlreadyExists(err) {
		return nil
	}
	return err
}
