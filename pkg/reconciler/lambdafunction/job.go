package lambdafunction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/tracker"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
)

func (r *Reconciler) jobSet(namespace string) child.Set[*batchv1.Job] {
	return child.Set[*batchv1.Job]{Kind: "Job", Lister: r.jobs.Jobs(namespace), Client: r.kube.BatchV1().Jobs(namespace)}
}

func (r *Reconciler) inputSet(namespace string) child.Set[*corev1.ConfigMap] {
	return child.Set[*corev1.ConfigMap]{Kind: "ConfigMap", Lister: r.configMaps.ConfigMaps(namespace), Client: r.kube.CoreV1().ConfigMaps(namespace)}
}

// kaniko makes the image in a Job, whose pod may run what the Dockerfile says.
type kaniko struct{ *Reconciler }

// reconcile runs the build as a Job and takes over how it ends.
func (r *kaniko) reconcile(ctx context.Context, p *pass, b *resources.Build) pkgreconciler.Event {
	job, err := r.jobs.Jobs(p.Namespace).Get(b.Name)
	switch {
	case apierrs.IsNotFound(err):
		return r.findOrStart(ctx, p, b)
	case err != nil:
		return err
	case !metav1.IsControlledBy(job, p.LambdaFunction):
		return r.buildRejected(p, &child.NotOwnedError{Kind: "Job", Namespace: p.Namespace, Name: b.Name})
	}
	p.Status.Build.JobName = b.Name
	if p.Status.Build.StartTime == nil {
		p.Status.Build.StartTime = job.Status.StartTime
	}
	p.Status.Build.Attempts, p.Status.Build.Strategy = b.Attempt, v1alpha1.BuildKaniko
	pod, err := r.buildPod(job)
	if err != nil {
		return err
	}
	outcome, ended := r.outcome(p, b, job, pod)
	if suspended(job) {
		// Kueue has not let it begin, or has taken it back: its pod says nothing.
		p.Status.MarkBuildPending(v1alpha1.ReasonQueued, fmt.Sprintf("Kueue's queue %q has not admitted Job %s.", job.Labels[lambda.KueueQueueLabelKey], b.Name))
		return r.cancelBuilds(ctx, p, b.Name)
	}
	if !ended {
		if err := r.markBuilding(p, job, pod); err != nil {
			return err
		}
		return r.cancelBuilds(ctx, p, b.Name)
	}
	if outcome.Succeeded() {
		confirmed, err := r.registry.Confirm(key(p), registryImage(p, b), outcome.Digest)
		switch {
		case errors.Is(err, registry.ErrPending):
			p.Status.MarkBuildPending(v1alpha1.ReasonConfirmingImage, "Asking the registry whether "+b.Reference+" is what the build has pushed, and signing it.")
			return r.cancelBuilds(ctx, p, b.Name) // the answer enqueues
		case err != nil:
			return err
		case confirmed.Fault == build.InfrastructureFault && confirmed.Reason != build.ReasonImageNotConfirmed:
			// The image is there: only the question or the signature has to be repeated.
			p.Status.MarkBuildPending(v1alpha1.ReasonRetrying, "The image is built, but it cannot be confirmed and signed yet: "+confirmed.Message)
			return controller.NewRequeueAfter(p.cfg.Build.RetryDelay)
		}
		outcome = confirmed
	}
	p.Status.Build.CompletionTime = r.now()
	r.builds.ended(p, resultOf(outcome), r.sinceStart(p.Status.Build))
	if outcome.Succeeded() {
		return r.built(ctx, p, b, outcome.Digest)
	}
	r.registry.Forget(b.Reference)
	return r.buildFailed(ctx, p, b, outcome)
}

// markBuilding says what a Job that has not ended waits for, if it does.
func (r *kaniko) markBuilding(p *pass, job *batchv1.Job, pod *corev1.Pod) error {
	message := "Job " + job.Name + " builds the image."
	if pod != nil {
		if why := build.Waiting(pod); why != "" {
			message = why
		}
	} else if why, err := r.refusal(job); err != nil {
		return err
	} else if why != "" {
		markRefused(p, job.Name, why)
		return nil
	}
	p.Status.MarkBuildPending(v1alpha1.ReasonBuilding, message)
	return nil
}

// outcome of a Job: its pod's, or its own where the pod was deleted. A user who may write
// Jobs and pods in the namespace can make some that look like a build's.
func (r *kaniko) outcome(p *pass, b *resources.Build, job *batchv1.Job, pod *corev1.Pod) (build.Outcome, bool) {
	if pod != nil {
		if o, ended := build.Read(pod); ended {
			wanted := resources.MakeBuildJob(p.LambdaFunction, b, p.cfg.Build).Spec.Template.Spec
			if difference := build.Differs(wanted, pod.Spec); difference != "" {
				return build.Outcome{Step: build.StepBuild, Reason: build.ReasonBuildPodChanged, Fault: build.InfrastructureFault,
					Message: fmt.Sprintf("The result of pod %s does not count: %s.", pod.Name, difference)}, true
			}
			return o, true
		}
	}
	end := finished(job)
	switch {
	case end == nil:
		return build.Outcome{}, false
	case end.Reason == batchv1.JobReasonDeadlineExceeded:
		return build.Timeout(), true
	}
	return build.Outcome{Step: build.StepBuild, Reason: build.ReasonBuildFailed, Fault: build.InfrastructureFault,
		Message: "The build pod was deleted before its result was read: " + end.Message}, true
}

// startBuild makes the Job when there is a slot for it and nobody builds the
// same image.
func (r *kaniko) startBuild(ctx context.Context, p *pass, b *resources.Build) pkgreconciler.Event {
	job := types.NamespacedName{Namespace: p.Namespace, Name: b.Name}
	queue := resources.Queue(p.LambdaFunction, p.cfg.Build)
	granted, err := r.slots.take(claim{function: key(p), job: job, reference: b.Reference, kueue: queue != ""}, p.cfg.Build)
	switch {
	case err != nil:
		return err
	case granted.shared != "":
		p.Status.MarkBuildPending(v1alpha1.ReasonSharedBuild, fmt.Sprintf("Job %s builds the same image.", granted.shared))
		return r.track(p, granted.shared)
	case !granted.ok:
		p.Status.MarkBuildPending(v1alpha1.ReasonQueued, queued(granted.before, p.cfg.Build))
		return r.cancelBuilds(ctx, p, b.Name)
	}
	if err := r.createBuild(ctx, p, b); err != nil {
		r.slots.cancel(job)
		return r.buildRejected(p, err)
	}
	s := p.Status.Build
	s.JobName, s.Strategy, s.StartTime, s.CompletionTime, s.Failure = b.Name, v1alpha1.BuildKaniko, r.now(), nil, nil
	s.Attempts = b.Attempt
	p.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "Job "+b.Name+" builds the image.")
	if queue != "" {
		s.StartTime = nil // Kueue's to say
		p.Status.MarkBuildPending(v1alpha1.ReasonQueued, fmt.Sprintf("Kueue's queue %q has not admitted Job %s.", queue, b.Name))
	}
	return r.cancelBuilds(ctx, p, b.Name)
}

// queued says where in the line a build is.
func queued(before int, cfg *config.Build) string {
	place := fmt.Sprintf("%d builds are before this one", before)
	switch {
	case before == 0:
		place = "This build is the next"
	case before == 1:
		place = "1 build is before this one"
	case before >= fewBuilds:
		place = "At least " + place
	}
	return fmt.Sprintf("%s; %d build at once, %d of them in one namespace.", place, cfg.MaxParallel, cfg.MaxParallelPerNamespace)
}

// suspended reports whether a Job is kept from running.
func suspended(job *batchv1.Job) bool {
	return job.Spec.Suspend != nil && *job.Spec.Suspend && finished(job) == nil
}

func (r *kaniko) createBuild(ctx context.Context, p *pass, b *resources.Build) error {
	input, err := resources.MakeBuildInput(p.LambdaFunction, b)
	if err != nil {
		return err
	}
	if _, err := r.inputSet(p.Namespace).Ensure(ctx, p.LambdaFunction, input, nil); err != nil {
		return err
	}
	_, err = r.jobSet(p.Namespace).Ensure(ctx, p.LambdaFunction, resources.MakeBuildJob(p.LambdaFunction, b, p.cfg.Build), nil)
	return err
}

// buildRejected says why there is no Job: where only a person can help, it is
// not tried again.
func (r *Reconciler) buildRejected(p *pass, err error) pkgreconciler.Event {
	switch {
	case child.IsNotOwned(err):
		p.Status.MarkBuildFailed(v1alpha1.ReasonBuildNotOwned, err.Error())
	case child.IsRejected(err):
		p.Status.MarkBuildFailed(v1alpha1.ReasonBuildRejected, err.Error())
	case apierrs.IsForbidden(err): // a quota, for example: it may be free later
		p.Status.MarkBuildFailed(v1alpha1.ReasonBuildRejected, err.Error())
		return err
	default:
		return err
	}
	return controller.NewPermanentError(err)
}

func (r *Reconciler) buildFailed(ctx context.Context, p *pass, b *resources.Build, o build.Outcome) pkgreconciler.Event {
	s := p.Status.Build
	s.Failure = &v1alpha1.BuildFailure{Step: o.Step, Reason: o.Reason, Message: o.Message, Log: o.Log, Retryable: o.Fault == build.InfrastructureFault}
	message := o.Message
	if o.Log != "" && !strings.Contains(o.Log, o.Message) {
		message += "\n" + o.Log
	}
	controller.GetEventRecorder(ctx).Eventf(p.LambdaFunction, corev1.EventTypeWarning, o.Reason, "Build step %q failed: %s", o.Step, truncate(message))
	if s.Failure.Retryable {
		markRetrying(p)
		return controller.NewRequeueAfter(r.retryIn(s, p.cfg.Build))
	}
	p.Status.MarkBuildFailed(o.Reason, o.Message)
	return r.cancelBuilds(ctx, p, b.Name)
}

// truncate to what a Kubernetes event holds: 1 KiB.
func truncate(text string) string {
	const most = 900
	if len(text) <= most {
		return text
	}
	return "…" + strings.ToValidUTF8(text[len(text)-most:], "")
}

// buildPod of a Job, nil where there is none.
func (r *Reconciler) buildPod(job *batchv1.Job) (*corev1.Pod, error) {
	pods, err := r.pods.Pods(job.Namespace).List(labels.SelectorFromSet(labels.Set{batchv1.JobNameLabel: job.Name}))
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		if metav1.IsControlledBy(pod, job) {
			return pod, nil
		}
	}
	return nil, nil
}

// activeJobs lists the Jobs of all functions that have not ended.
func activeJobs(lister batchlisters.JobLister) ([]*batchv1.Job, error) {
	all, err := lister.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(job *batchv1.Job) bool {
		return finished(job) != nil || job.DeletionTimestamp != nil
	}), nil
}

// track enqueues the function when the Job changes.
func (r *Reconciler) track(p *pass, job string) pkgreconciler.Event {
	return r.tracker.TrackReference(tracker.Reference{APIVersion: "batch/v1", Kind: "Job", Namespace: p.Namespace, Name: job}, p.LambdaFunction)
}

// cancelBuilds removes the function's builds but one: what the spec has moved on
// from, and what has ended and is recorded.
func (r *Reconciler) cancelBuilds(ctx context.Context, p *pass, keep string) pkgreconciler.Event {
	mine := labels.SelectorFromSet(labels.Set{lambda.FunctionLabelKey: resources.Labels(p.LambdaFunction)[lambda.FunctionLabelKey]})
	jobs, err := r.jobs.Jobs(p.Namespace).List(mine)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if job.Name != keep {
			if err := r.jobSet(p.Namespace).Delete(ctx, p.LambdaFunction, job.Name); err != nil {
				return err
			}
		}
	}
	inputs, err := r.configMaps.ConfigMaps(p.Namespace).List(mine)
	if err != nil {
		return err
	}
	for _, input := range inputs {
		if input.Name != keep {
			if err := r.inputSet(p.Namespace).Delete(ctx, p.LambdaFunction, input.Name); err != nil {
				return err
			}
		}
	}
	if keep == "" {
		r.slots.forget(key(p))
	}
	return nil
}
