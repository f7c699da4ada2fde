package lambdafunction

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
)

// says what the registry answers when it is asked for what a build has pushed.
func says(o build.Outcome, err error) answer {
	return answer{err: registry.ErrNotFound, confirmed: func() (build.Outcome, error) { return o, err }}
}

// retrying is the status after a first attempt that failed by the infrastructure's fault.
func retrying(o build.Outcome) option {
	return func(f *v1alpha1.LambdaFunction) {
		failedBuild(1, o)(f)
		f.Status.MarkBuildPending(v1alpha1.ReasonRetrying, "Attempt 1 of 3 failed: "+o.Message)
	}
}

// TestReconcileConfirm: what a pod reports is an image when the pod runs what its build
// asks for and the registry has confirmed it.
func TestReconcileConfirm(t *testing.T) {
	f := function()
	first := buildOf(f).Name
	succeeded := func(change ...func(*corev1.Pod)) *corev1.Pod {
		p := pod(job(f, 1), corev1.PodSucceeded, &corev1.ContainerStateTerminated{Message: digest})
		for _, c := range change {
			c(p)
		}
		return p
	}
	forged := func(difference string) build.Outcome {
		return build.Outcome{Step: build.StepBuild, Reason: build.ReasonBuildPodChanged, Fault: build.InfrastructureFault,
			Message: "The result of pod " + first + "-x does not count: " + difference + "."}
	}
	args := job(f, 1).Spec.Template.Spec.Containers[0].Args
	another := forged("its container kaniko runs image evil.test/shell:1, and the build asks for kaniko.test/executor:1")
	otherArgs := forged(fmt.Sprintf("its container kaniko runs %q, and the build asks for %q", []string{"-c", "echo"}, args))
	command := forged(fmt.Sprintf("its container kaniko runs %q, and the build asks for %q", append([]string{"/bin/sh"}, args...), args))
	noBuilder := forged("it has no container builder")
	unpushed := build.Outcome{Step: build.StepPush, Reason: build.ReasonImageNotConfirmed, Fault: build.InfrastructureFault, Message: "The registry does not have it."}
	denied := build.Outcome{Step: build.StepPush, Reason: build.ReasonPushDenied, Fault: build.ConfigurationFault, Message: build.AdvicePushDenied}
	unreachable := build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault, Message: build.AdviceRegistryUnreachable}
	ofOthers := func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Repository = "other/python" }

	table := ltesting.Table{{
		Name: "waits for the registry", Key: theKey, Ctx: in(says(build.Outcome{}, registry.ErrPending)),
		Objects: ltesting.Objects(function(building), job(f, 1), input(f, 1), succeeded()),
		WantStatusUpdates: status(function(building, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonConfirmingImage, "Asking the registry whether "+buildOf(f).Reference+" is what the build has pushed, and signing it.")
		})),
	}, {
		Name: "keeps the Job while it cannot be confirmed and signed", Key: theKey, Ctx: in(says(unreachable, nil)), WantErr: true,
		Objects: ltesting.Objects(function(building), job(f, 1), input(f, 1), succeeded()),
		WantStatusUpdates: status(function(building, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonRetrying, "The image is built, but it cannot be confirmed and signed yet: "+unreachable.Message)
		})),
	}, {
		Name: "builds again what the registry does not have", Key: theKey, Ctx: in(says(unpushed, nil)), WantErr: true,
		Objects:           ltesting.Objects(function(building), job(f, 1), input(f, 1), succeeded()),
		WantStatusUpdates: status(function(retrying(unpushed))),
		WantEvents:        []string{ltesting.Warning(unpushed.Reason, `Build step "push" failed: `+unpushed.Message)},
	}, {
		Name: "fails where the signature is refused", Key: theKey, Ctx: in(says(denied, nil)),
		Objects:           ltesting.Objects(function(building), job(f, 1), input(f, 1), succeeded()),
		WantStatusUpdates: status(function(failedBuild(1, denied))),
		WantEvents:        []string{ltesting.Warning(denied.Reason, `Build step "push" failed: `+denied.Message)},
	}, {
		Name: "ignores a pod that another Job controls", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(building), job(f, 1, uid("own")), input(f, 1), succeeded(func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job(f, 1, uid("other")), batchv1.SchemeGroupVersion.WithKind("Job"))}
		})),
	}, {
		Name: "does not build into another namespace's repository", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(ofOthers)),
		WantStatusUpdates: status(function(ofOthers, func(f *v1alpha1.LambdaFunction) {
			resolved(f)
			f.Status.MarkBuildFailed(v1alpha1.ReasonRepositoryNotAllowed,
				`spec.build: repository "other/python" of registry registry.test is not this namespace's: expected one that begins with "team/", or build.pushSecretRef with credentials of your own`)
			noImage(f)
		})),
	}}
	for name, forgery := range map[string]struct {
		change func(*corev1.Pod)
		says   build.Outcome
	}{
		"image":     {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "evil.test/shell:1" }, another},
		"arguments": {func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"-c", "echo"} }, otherArgs},
		"command":   {func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"/bin/sh"} }, command},
		"builder":   {func(p *corev1.Pod) { p.Spec.InitContainers = nil }, noBuilder},
	} {
		table = append(table, rtesting.TableRow{
			Name: "does not believe a pod with another " + name, Key: theKey, Ctx: in(absent), WantErr: true,
			Objects:           ltesting.Objects(function(building), job(f, 1), input(f, 1), succeeded(forgery.change)),
			WantStatusUpdates: status(function(retrying(forgery.says))),
			WantEvents:        []string{ltesting.Warning(forgery.says.Reason, `Build step "build" failed: `+forgery.says.Message)},
		})
	}
	table.Test(t, newReconciler)
}

func uid(name types.UID) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.UID = name }
}
