package test

import (
	"context"
	"fmt"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
)

// JobRecorder remembers every Job that was made in a namespace, those that are
// deleted by now too.
type JobRecorder struct {
	watcher watch.Interface
	done    chan struct{}
	stop    sync.Once
	names   []string
}

// RecordJobs records from now on.
func (c *Clients) RecordJobs(ctx context.Context, namespace string) (*JobRecorder, error) {
	watcher, err := c.Kube.BatchV1().Jobs(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	r := &JobRecorder{watcher: watcher, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for e := range watcher.ResultChan() {
			if job, ok := e.Object.(*batchv1.Job); ok && e.Type == watch.Added {
				r.names = append(r.names, job.Name)
			}
		}
	}()
	return r, nil
}

// Stop ends the recording and returns the names of the Jobs.
func (r *JobRecorder) Stop() []string {
	r.stop.Do(r.watcher.Stop)
	<-r.done
	return r.names
}

// AwaitDefaults waits until a new namespace has what Kubernetes puts into each of
// them.
func (c *Clients) AwaitDefaults(ctx context.Context, namespace string) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, Patience, true, func(ctx context.Context) (bool, error) {
		found, err := c.Inventory(ctx, namespace)
		has := map[string]bool{}
		for _, f := range found {
			has[f] = true
		}
		return has["serviceaccounts/default"] && has["configmaps/kube-root-ca.crt"], err
	})
	if err != nil {
		return fmt.Errorf("namespace %s has no service account and no CA certificate: %w", namespace, err)
	}
	return nil
}
