package lambdafunction

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// refused is the reason of the events with which Kubernetes' Job controller says why
// it cannot make a Job's pod. A Job's status has nothing of it.
const refused = "FailedCreate"

// refusalInformer watches these events, and no others.
func refusalInformer(kube kubernetes.Interface) coreinformers.EventInformer {
	return informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.Set{"involvedObject.kind": "Job", "reason": refused}.String()
	})).Core().V1().Events()
}

// refusedPod calls enqueue with the Job, one of a function, that an event is about.
func (r *Reconciler) refusedPod(enqueue func(any)) cache.ResourceEventHandler {
	hear := func(obj any) {
		if e, ok := obj.(*corev1.Event); ok {
			if job, err := r.jobs.Jobs(e.InvolvedObject.Namespace).Get(e.InvolvedObject.Name); err == nil {
				enqueue(job)
			}
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: hear, UpdateFunc: func(_, obj any) { hear(obj) }}
}

// refusal is what Kubernetes said last of why the Job has no pod; empty where it
// has not said anything.
func (r *Reconciler) refusal(job *batchv1.Job) (string, error) {
	all, err := r.refusals.Events(job.Namespace).List(labels.Everything())
	if err != nil {
		return "", err
	}
	var last *corev1.Event
	for _, e := range all {
		if e.Reason == refused && e.InvolvedObject.UID == job.UID && (last == nil || last.LastTimestamp.Before(&e.LastTimestamp)) {
			last = e
		}
	}
	if last == nil {
		return "", nil
	}
	return last.Message, nil
}

// markRefused tells the user that a build has no pod. What is forbidden, by Pod
// Security or a quota, stays so until somebody changes that; Kubernetes goes on trying
// until the build's timeout.
func markRefused(p *pass, job, why string) {
	message := fmt.Sprintf("Job %s gets no pod: %s", job, why)
	if strings.Contains(why, "is forbidden") {
		p.Status.MarkBuildFailed(v1alpha1.ReasonBuildRejected, message)
	} else {
		p.Status.MarkBuildPending(v1alpha1.ReasonBuilding, message)
	}
}
