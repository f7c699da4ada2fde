package plugin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"knative.dev/serving/pkg/apis/serving"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// functionContainer is the name that Knative Serving gives the function's
// container.
const functionContainer = "user-container"

func (o *options) logs() *cobra.Command {
	l := &logReader{options: o, follow: new(bool), tail: -1}
	cmd := &cobra.Command{
		Use: "logs FUNCTION", Short: "Print what a function's pods say", Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := o.function(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			revision := f.Status.LatestCreatedRevisionName
			if revision == "" {
				return fmt.Errorf("function %s has no revision yet: kubectl describe lambdafunction %s says why", f.Name, f.Name)
			}
			return l.pods(cmd.Context(), serving.RevisionLabelKey+"="+revision, func(*corev1.Pod) []string { return []string{functionContainer} },
				fmt.Sprintf("Revision %s has no pod just now; -f waits for the next.", revision))
		},
	}
	l.flags(cmd)
	return cmd
}

func (o *options) build() *cobra.Command {
	build := &cobra.Command{Use: "build", Short: "Builds of a function's image"}
	l := &logReader{options: o, follow: new(bool), tail: -1}
	logs := &cobra.Command{
		Use: "logs FUNCTION", Short: "Print what the newest build of a function says, or has said when it failed", Args: one,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := o.function(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return l.build(cmd.Context(), f)
		},
	}
	l.flags(logs)
	build.AddCommand(logs)
	return build
}

// build prints the log of the build's pod as long as there is one, else what the
// function's status has kept of it.
func (l *logReader) build(ctx context.Context, f *v1alpha1.LambdaFunction) error {
	b := f.Status.Build
	switch {
	case b == nil:
		return fmt.Errorf("function %s has no build: its source is an image, or is not resolved yet", f.Name)
	case b.JobName == "" && b.Image != "":
		fmt.Fprintf(l.ErrOut, "No pod has built %s: it was in the registry, or made without one.\n", b.Image)
		return nil
	}
	selector := batchv1.JobNameLabel + "=" + b.JobName
	pods, err := l.kube.CoreV1().Pods(l.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return err
	}
	if b.JobName != "" && (len(pods.Items) > 0 || b.CompletionTime == nil) {
		return l.pods(ctx, selector, func(pod *corev1.Pod) (names []string) {
			for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				names = append(names, c.Name)
			}
			return names
		}, fmt.Sprintf("Job %s has no pod just now; -f waits for the next.", b.JobName))
	}
	if b.Failure != nil {
		fmt.Fprintf(l.ErrOut, "%s in step %s: %s\n", line(b.Failure.Reason), line(b.Failure.Step), line(b.Failure.Message))
		fmt.Fprintln(onTerminal(l.Out), b.Failure.Log)
		return nil
	}
	fmt.Fprintf(l.ErrOut, "The build of %s is done, and its pod is gone.\n", b.Image)
	return nil
}

// logReader prints logs of pods.
type logReader struct {
	*options
	follow *bool
	tail   int64

	mu sync.Mutex // a line at a time
}

func (l *logReader) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(l.follow, "follow", "f", false, "Go on printing, of pods that are to come, too")
	cmd.Flags().Int64Var(&l.tail, "tail", l.tail, "Last lines of each container to begin with; -1 is all")
}

// pods prints the logs of containers of all pods of a selector.
func (l *logReader) pods(ctx context.Context, selector string, containers func(*corev1.Pod) []string, none string) error {
	client := l.kube.CoreV1().Pods(l.namespace)
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return err
	}
	if len(list.Items) == 0 {
		fmt.Fprintln(l.ErrOut, none)
	}
	if !*l.follow {
		var errs []error
		for i := range list.Items {
			errs = append(errs, l.pod(ctx, &list.Items[i], containers(&list.Items[i]), len(list.Items) > 1))
		}
		return errors.Join(errs...)
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	seen := map[string]bool{}
	begin := func(pod *corev1.Pod) {
		if seen[pod.Name] || pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "" {
			return
		}
		seen[pod.Name] = true
		reading.Add(1)
		go func() {
			defer reading.Done()
			if err := l.pod(ctx, pod, containers(pod), true); err != nil && ctx.Err() == nil {
				fmt.Fprintf(l.ErrOut, "%s: %s\n", pod.Name, Safe(err))
			}
		}()
	}
	for i := range list.Items {
		begin(&list.Items[i])
	}
	watcher, err := client.Watch(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: list.ResourceVersion})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for e := range watcher.ResultChan() {
		if pod, ok := e.Object.(*corev1.Pod); ok && e.Type != watch.Deleted {
			begin(pod)
		}
	}
	return nil
}

// pod prints the logs of a pod's containers, one after the other.
func (l *logReader) pod(ctx context.Context, pod *corev1.Pod, containers []string, named bool) error {
	for _, container := range containers {
		options := &corev1.PodLogOptions{Container: container, Follow: *l.follow}
		if l.tail >= 0 {
			options.TailLines = &l.tail
		}
		stream, err := l.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
		if err != nil {
			return err
		}
		prefix := ""
		if named || len(containers) > 1 {
			prefix = "[" + pod.Name + "/" + container + "] "
		}
		err = l.copy(stream, prefix)
		stream.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *logReader) copy(from io.Reader, prefix string) error {
	reader, out := bufio.NewReader(from), onTerminal(l.Out)
	for {
		text, err := reader.ReadString('\n')
		if text != "" {
			if text[len(text)-1] != '\n' {
				text += "\n"
			}
			l.mu.Lock()
			fmt.Fprint(out, prefix+text)
			l.mu.Unlock()
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
