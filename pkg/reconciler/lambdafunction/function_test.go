package lambdafunction

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/ptr"
	rtesting "knative.dev/pkg/reconciler/testing"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

func status(f *v1alpha1.LambdaFunction) []clientgotesting.UpdateActionImpl {
	return []clientgotesting.UpdateActionImpl{{Object: f}}
}

func deletion(resource, name string) clientgotesting.DeleteActionImpl {
	group := ""
	if resource == "jobs" {
		group = "batch"
	}
	return clientgotesting.DeleteActionImpl{
		ActionImpl: clientgotesting.ActionImpl{Namespace: namespace, Verb: "delete", Resource: schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}},
		Name:       name,
	}
}

// removed are the writes and events that take away an attempt's Job and input.
func removed(b string) []clientgotesting.DeleteActionImpl {
	return []clientgotesting.DeleteActionImpl{deletion("jobs", b), deletion("configmaps", b)}
}

func removedEvents(b string) []string {
	return []string{ltesting.Normal("Deleted", `Deleted Job "`+b+`"`), ltesting.Normal("Deleted", `Deleted ConfigMap "`+b+`"`)}
}

func createdEvents(b string) []string {
	return []string{ltesting.Normal("Created", `Created ConfigMap "`+b+`"`), ltesting.Normal("Created", `Created Job "`+b+`"`)}
}

var createdService = ltesting.Normal("Created", `Created Service "`+name+`"`)

func TestReconcileBuild(t *testing.T) {
	f := function()
	first, second := buildOf(f).Name, attemptOf(f, 2).Name
	other := function(func(f *v1alpha1.LambdaFunction) { f.Name, f.UID = "twin", "uid-twin" })
	edited := function(building, func(f *v1alpha1.LambdaFunction) {
		f.Generation = 2
		f.Spec.Source.Inline.Code = "def handler(event, context): return 2\n"
	})
	editedName := buildOf(edited).Name
	succeeded := &corev1.ContainerStateTerminated{Message: digest}
	syntax := build.Outcome{Step: build.StepBuild, Reason: build.ReasonBuildStepFailed, Fault: build.UserFault,
		Message: "SyntaxError: invalid syntax", Log: "SyntaxError: invalid syntax\nerror building image: error building stage: failed to execute command: waiting for process to exit: exit status 1"}
	unreachable := build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault,
		Message: "A registry cannot be reached. dial tcp: connect: connection refused", Log: "dial tcp: connect: connection refused"}
	retrying := "Attempt 1 of 3 failed: " + unreachable.Message
	cancelled := build.Outcome{Reason: v1alpha1.ReasonBuildCancelled, Fault: build.UserFault,
		Message: "The build was cancelled. A new value of the annotation lambda.knative.io/rebuild starts another."}
	cancelling := func(f *v1alpha1.LambdaFunction) {
		f.Annotations = map[string]string{lambda.CancelBuildAnnotationKey: tag(buildOf(f).Reference)}
	}

	ltesting.Table{{
		Name: "bad key", Key: "too/many/parts",
	}, {
		Name: "not found", Key: theKey,
	}, {
		Name: "deleting", Key: theKey,
		Objects: ltesting.Objects(function(func(f *v1alpha1.LambdaFunction) { f.DeletionTimestamp = &metav1.Time{Time: now} }), job(f, 1), input(f, 1)),
	}, {
		Name: "asks the registry first", Key: theKey, Ctx: in(pending),
		Objects:           ltesting.Objects(function()),
		WantStatusUpdates: status(function(looking)),
	}, {
		Name: "builds what the registry does not have", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(looking)),
		WantCreates:       ltesting.Objects(input(f, 1), job(f, 1)),
		WantStatusUpdates: status(function(building)),
		WantEvents:        createdEvents(first),
	}, {
		Name: "does not build what the registry has", Key: theKey, Ctx: in(present),
		Objects:           ltesting.Objects(function(looking)),
		WantCreates:       ltesting.Objects(service(f)),
		WantStatusUpdates: status(function(servedBy(service(f), built(true)))),
		WantEvents:        []string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(f)), createdService},
	}, {
		Name: "waits for the build", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(building), job(f, 1), input(f, 1), pod(job(f, 1), corev1.PodRunning, nil)),
	}, {
		Name: "tells why a build's pod does not run", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(building), job(f, 1), input(f, 1), func() *corev1.Pod {
			p := pod(job(f, 1), corev1.PodPending, nil)
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}
			return p
		}()),
		WantStatusUpdates: status(function(building, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "The build pod cannot be scheduled: 0/1 nodes are available")
		})),
	}, {
		Name: "tells that a build's pod is forbidden", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(building), job(f, 1, told), input(f, 1), refusalOf(job(f, 1, told), time.Minute, "quota"), refusalOf(job(f, 1, told), 0, `pods "x" is forbidden: violates PodSecurity`), refusalOf(job(f, 2, told), 0, "another's")),
		WantStatusUpdates: status(function(building, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildFailed(v1alpha1.ReasonBuildRejected, "Job "+first+` gets no pod: pods "x" is forbidden: violates PodSecurity`)
		})),
	}, {
		Name: "tells that a build's pod cannot be made for now", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(building), job(f, 1, told), input(f, 1), refusalOf(job(f, 1, told), 0, "webhook timed out")),
		WantStatusUpdates: status(function(building, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "Job "+first+" gets no pod: webhook timed out")
		})),
	}, {
		Name: "forgets why there was no pod when there is one", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(building, rejected), job(f, 1, told), input(f, 1), refusalOf(job(f, 1, told), 0, "is forbidden"), pod(job(f, 1, told), corev1.PodRunning, nil)),
		WantStatusUpdates: status(function(building)),
	}, {
		Name: "takes over the image and removes what made it", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(building), job(f, 1), input(f, 1), pod(job(f, 1), corev1.PodSucceeded, succeeded)),
		WantCreates:       ltesting.Objects(service(f)),
		WantDeletes:       removed(first),
		WantStatusUpdates: status(function(servedBy(service(f), built(false)))),
		WantEvents:        append(append([]string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(f))}, removedEvents(first)...), createdService),
	}, {
		Name: "tells the user's fault, keeps the Job and does not try again", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(building), job(f, 1), input(f, 1), pod(job(f, 1), corev1.PodFailed, &corev1.ContainerStateTerminated{ExitCode: 1, Message: syntax.Log})),
		WantStatusUpdates: status(function(failedBuild(1, syntax))),
		WantEvents:        []string{ltesting.Warning(syntax.Reason, `Build step "build" failed: `+syntax.Message)},
	}, {
		Name: "stays with what failed", Key: theKey, Ctx: in(absent, later(time.Hour)),
		Objects: ltesting.Objects(function(failedBuild(1, syntax)), job(f, 1), input(f, 1)),
	}, {
		Name: "tries the infrastructure's fault again, later", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: ltesting.Objects(function(building), job(f, 1), input(f, 1), pod(job(f, 1), corev1.PodFailed, &corev1.ContainerStateTerminated{ExitCode: 1, Message: unreachable.Log})),
		WantStatusUpdates: status(function(failedBuild(1, unreachable), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonRetrying, retrying)
		})),
		WantEvents: []string{ltesting.Warning(unreachable.Reason, `Build step "push" failed: `+unreachable.Message+"\n"+unreachable.Log)},
	}, {
		Name: "waits between attempts", Key: theKey, Ctx: in(absent, later(9*time.Second)), WantErr: true,
		Objects: ltesting.Objects(function(failedBuild(1, unreachable), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonRetrying, retrying)
		}), job(f, 1), input(f, 1)),
	}, {
		Name: "builds a second time", Key: theKey, Ctx: in(absent, later(10*time.Second)),
		Objects:     ltesting.Objects(function(failedBuild(1, unreachable)), job(f, 1, ended(batchv1.JobFailed, "")), input(f, 1)),
		WantCreates: ltesting.Objects(input(f, 2), job(f, 2)),
		WantDeletes: removed(first),
		WantStatusUpdates: status(function(buildingAttempt(2), func(f *v1alpha1.LambdaFunction) {
			f.Status.Build.StartTime = &metav1.Time{Time: now.Add(10 * time.Second)}
		})),
		WantEvents: append(createdEvents(second), removedEvents(first)...),
	}, {
		Name: "counts as failed after the last attempt, and waits for another", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:           ltesting.Objects(function(buildingAttempt(3)), job(f, 3), input(f, 3), pod(job(f, 3), corev1.PodFailed, &corev1.ContainerStateTerminated{ExitCode: 1, Message: unreachable.Log})),
		WantStatusUpdates: status(function(failedBuild(3, unreachable))),
		WantEvents:        []string{ltesting.Warning(unreachable.Reason, `Build step "push" failed: `+unreachable.Message+"\n"+unreachable.Log)},
	}, {
		Name: "waits longer after the last attempt", Key: theKey, Ctx: in(absent, later(39*time.Second)), WantErr: true,
		Objects: ltesting.Objects(function(failedBuild(3, unreachable)), job(f, 3), input(f, 3)),
	}, {
		Name: "builds once more when the infrastructure may be back", Key: theKey, Ctx: in(absent, later(40*time.Second)),
		Objects:     ltesting.Objects(function(failedBuild(3, unreachable))),
		WantCreates: ltesting.Objects(input(f, 4), job(f, 4)),
		WantStatusUpdates: status(function(buildingAttempt(4), func(f *v1alpha1.LambdaFunction) {
			f.Status.Build.StartTime = &metav1.Time{Time: now.Add(40 * time.Second)}
		})),
		WantEvents: createdEvents(attemptOf(f, 4).Name),
	}, {
		Name: "waits five minutes at most", Key: theKey, Ctx: in(absent, later(5*time.Minute)),
		Objects:     ltesting.Objects(function(failedBuild(40, unreachable))),
		WantCreates: ltesting.Objects(input(f, 41), job(f, 41)),
		WantStatusUpdates: status(function(buildingAttempt(41), func(f *v1alpha1.LambdaFunction) {
			f.Status.Build.StartTime = &metav1.Time{Time: now.Add(5 * time.Minute)}
		})),
		WantEvents: createdEvents(attemptOf(f, 41).Name),
	}, {
		Name: "tells a timeout of the Job whose pod is gone", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(building), job(f, 1, ended(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)), input(f, 1)),
		WantStatusUpdates: status(function(failedBuild(1, build.Timeout()))),
		WantEvents:        []string{ltesting.Warning(build.ReasonTimeout, `Build step "build" failed: `+build.Timeout().Message)},
	}, {
		Name: "cancels the build that somebody asked to cancel", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(building, cancelling), job(f, 1), input(f, 1)),
		WantDeletes:       removed(first),
		WantStatusUpdates: status(function(failedBuild(1, cancelled), cancelling)),
		WantEvents:        removedEvents(first),
	}, {
		Name: "starts no build that was cancelled", Key: theKey, Ctx: in(absent, later(time.Hour)),
		Objects: ltesting.Objects(function(failedBuild(1, cancelled), cancelling)),
	}, {
		Name: "cancels the build of a spec that has moved on", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(edited, job(f, 1), input(f, 1)),
		WantCreates:       ltesting.Objects(input(edited, 1), job(edited, 1)),
		WantDeletes:       removed(first),
		WantStatusUpdates: status(function(func(f *v1alpha1.LambdaFunction) { f.Generation, f.Spec = 2, edited.Spec }, building)),
		WantEvents:        append(createdEvents(editedName), removedEvents(first)...),
	}, {
		Name: "waits for another function's build of the same image", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(looking), job(other, 1)),
		WantStatusUpdates: status(function(looking, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonSharedBuild, "Job "+buildOf(other).Name+" builds the same image.")
		})),
	}, {
		Name: "waits for a slot", Key: theKey, Ctx: in(absent, func(s *rowSettings) { s.config.Build.MaxParallel = 1 }),
		Objects: ltesting.Objects(function(looking), job(other, 1, func(j *batchv1.Job) { j.Annotations[lambda.ImageAnnotationKey] = "another:image" })),
		WantStatusUpdates: status(function(looking, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonQueued, "This build is the next; 1 build at once, 4 of them in one namespace.")
		})),
	}, {
		Name: "says that the language is gone", Key: theKey, Ctx: in(absent, func(s *rowSettings) { delete(s.config.Runtimes.Languages, "python") }),
		Objects: ltesting.Objects(function()),
		WantStatusUpdates: status(function(func(f *v1alpha1.LambdaFunction) {
			f.Status.InitializeConditions()
			f.Status.ObservedGeneration = 1
			f.Status.MarkSourceFailed(v1alpha1.ReasonUnknownLanguage, `config-runtimes: language "python" is not one of `)
			f.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSource, "The source is not resolved.")
			noImage(f)
			f.Status.Concurrency = f.Spec.ConcurrencyStatus(&config.Config{Defaults: testConfig().Defaults})
		})),
	}, {
		Name: "says which versions of the language there are", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(version("3.8"))),
		WantStatusUpdates: status(function(version("3.8"), func(f *v1alpha1.LambdaFunction) {
			f.Status.InitializeConditions()
			f.Status.ObservedGeneration = 1
			f.Status.MarkSourceFailed(v1alpha1.ReasonVersionNotOffered, `config-runtimes does not offer version "3.8" of python. Set spec.runtime.version to 3.11, or add the version to config-runtimes.`)
			f.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSource, "The source is not resolved.")
			noImage(f)
		})),
	}, {
		Name: "does not take somebody else's Job", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: ltesting.Objects(function(looking), job(f, 1, func(j *batchv1.Job) { j.OwnerReferences = nil })),
		WantStatusUpdates: status(function(looking, func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildFailed(v1alpha1.ReasonBuildNotOwned, ltesting.NotOwned("Job", namespace+"/"+first))
		})),
		WantEvents: []string{ltesting.Warning("InternalError", ltesting.NotOwned("Job", namespace+"/"+first))},
	}}.Test(t, newReconciler)
}

// told gives a Job the UID by which events name it.
func told(j *batchv1.Job) { j.UID = types.UID("uid-" + j.Name) }

// refusalOf is an event with which the Job controller says why it makes no pod.
func refusalOf(j *batchv1.Job, ago time.Duration, why string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: j.Namespace, Name: fmt.Sprintf("%s.%d", j.Name, ago)},
		InvolvedObject: corev1.ObjectReference{Kind: "Job", Namespace: j.Namespace, Name: j.Name, UID: j.UID},
		Reason:         "FailedCreate", Message: why, LastTimestamp: metav1.NewTime(now.Add(-ago)),
	}
}

func rejected(f *v1alpha1.LambdaFunction) {
	f.Status.MarkBuildFailed(v1alpha1.ReasonBuildRejected, "no pod")
}

func ended(condition batchv1.JobConditionType, reason string) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue, Reason: reason}}
	}
}

func TestReconcileService(t *testing.T) {
	f := function()
	image := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec = v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Type: v1alpha1.SourceImage, Image: &v1alpha1.ImageSource{
			ImageReference: v1alpha1.ImageReference{Repository: "images.test/ready", Digest: digest, Port: 8080}}}}
		f.Spec = f.EffectiveSpec(testConfig())
	})
	upToDate := service(f, revision("greeter-00001", "greeter-00001"))
	starting := service(f, revision("greeter-00002", "greeter-00001"))
	stale := service(f, revision("greeter-00001", "greeter-00001"), func(s *servingv1.Service) { s.Generation = 2 })
	drifted := service(f, revision("greeter-00001", "greeter-00001"), func(s *servingv1.Service) {
		s.Spec.Template.Spec.Containers[0].Image = "somebody.test/else"
		s.Spec.Template.Spec.Containers[0].Name = "user-container" // as Knative defaults it
		s.Annotations = map[string]string{"foreign": "stays"}
		s.Labels["foreign"] = "stays"
	})
	repaired := drifted.DeepCopy()
	repaired.Spec.Template.Spec.Containers[0].Image = imageOf(f)
	targets := []servingv1.TrafficTarget{{RevisionName: "greeter-00001", LatestRevision: ptr.Bool(false), Percent: ptr.Int64(50)}, {LatestRevision: ptr.Bool(true), Percent: ptr.Int64(50), Tag: "next"}}
	split := func(f *v1alpha1.LambdaFunction) { f.Spec.Traffic = targets }
	halves := service(f, revision("greeter-00001", "greeter-00001"), func(s *servingv1.Service) { s.Spec.Traffic = targets })
	crashing := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "greeter-00002-x", Labels: map[string]string{serving.RevisionLabelKey: "greeter-00002"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "user-container",
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "handler \"main.nobody\" not found\n"}}}}},
	}
	unfound := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "greeter-00001-x", Labels: map[string]string{serving.RevisionLabelKey: "greeter-00001"}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "user-container",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "failed to resolve reference: not found"}}}}},
	}
	lost := "The registry does not have image " + imageOf(f) + " any more. It is built again."
	ltesting.Table{{
		Name: "steady", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(servedBy(upToDate, built(false))), upToDate),
	}, {
		Name: "takes over that the Service is ready", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(servedBy(service(f), built(false))), upToDate),
		WantStatusUpdates: status(function(servedBy(upToDate, built(false)))),
	}, {
		Name: "does not count what the Service says of an older generation", Key: theKey, Ctx: in(absent),
		Objects:           ltesting.Objects(function(servedBy(upToDate, built(false))), stale),
		WantStatusUpdates: status(function(servedBy(stale, built(false)))),
	}, {
		Name: "repairs drift and keeps what others set", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(function(servedBy(upToDate, built(false))), drifted),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:  []string{ltesting.Normal("Updated", `Updated Service "`+name+`"`)},
	}, {
		Name: "splits traffic", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(function(servedBy(upToDate, built(false)), split), upToDate),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: halves}},
		WantEvents:  []string{ltesting.Normal("Updated", `Updated Service "`+name+`"`)},
	}, {
		Name: "takes a split away that is dropped", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(function(servedBy(halves, built(false))), halves),
		WantUpdates: []clientgotesting.UpdateActionImpl{{Object: upToDate}},
		WantEvents:  []string{ltesting.Normal("Updated", `Updated Service "`+name+`"`)},
	}, {
		Name: "tells at once why the container ends", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(servedBy(upToDate, built(false))), starting, crashing),
		WantStatusUpdates: status(function(servedBy(starting, built(false)), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkServiceFailed(kservice.ReasonContainerFailed, `Container failed with: handler "main.nobody" not found`)
		})),
	}, {
		Name: "builds an image again that the registry has lost", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(servedBy(upToDate, built(false))), upToDate, unfound),
		WantStatusUpdates: status(function(servedBy(upToDate, built(false)), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonImageLost, lost)
			f.Status.Build = nil
		})),
		WantEvents: []string{ltesting.Warning(v1alpha1.ReasonImageLost, lost)},
		// The second pass builds it: one is enough here.
		WithReactors: []clientgotesting.ReactionFunc{func(clientgotesting.Action) (bool, runtime.Object, error) { return false, nil, nil }},
	}, {
		Name: "does not build what the registry has", Key: theKey, Ctx: in(present),
		Objects: ltesting.Objects(function(servedBy(upToDate, built(false))), upToDate, unfound),
	}, {
		Name: "says what serves while the new source is built", Key: theKey, Ctx: in(absent),
		Objects: ltesting.Objects(function(building), job(f, 1), input(f, 1), upToDate),
		WantStatusUpdates: status(function(servedBy(upToDate, building), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkServiceWaiting(v1alpha1.ReasonWaitingForBuild, "There is no image of the newest source yet. Revision greeter-00001 serves on.")
		})),
	}, {
		Name: "runs a ready-made image without a build", Key: theKey, Ctx: in(absent),
		Objects:     ltesting.Objects(image),
		WantCreates: ltesting.Objects(readyMade(image)),
		WantStatusUpdates: status(function(func(f *v1alpha1.LambdaFunction) {
			f.Spec = image.Spec
			resolved(f)
			f.Status.MarkBuildNotRequested()
			f.Status.MarkEventingNotRequested()
			f.Status.PropagateService(readyMade(image))
		})),
		WantEvents: []string{createdService},
	}, {
		Name: "does not take somebody else's Service", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects: ltesting.Objects(function(servedBy(service(f), built(false))), service(f, func(s *servingv1.Service) { s.OwnerReferences = nil })),
		WantStatusUpdates: status(function(built(false), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, ltesting.NotOwned("Service", theKey))
		})),
		WantEvents: []string{ltesting.Warning("InternalError", ltesting.NotOwned("Service", theKey))},
	}}.Test(t, newReconciler)
}

// version that the function asks for.
func version(name v1alpha1.RuntimeVersion) option {
	return func(f *v1alpha1.LambdaFunction) { f.Spec.Runtime.Version = name }
}

// TestSpecAsWritten: a spec that leaves all to defaults has the same children as one
// that leaves nothing, and its status says what is in force. The newest version of the
// day stays when the cluster offers a newer one.
func TestSpecAsWritten(t *testing.T) {
	written := func(options ...option) *v1alpha1.LambdaFunction {
		f := function(options...)
		f.Spec = v1alpha1.LambdaFunctionSpec{Source: v1alpha1.FunctionSource{Inline: f.Spec.Source.Inline}, Runtime: v1alpha1.FunctionRuntime{Language: "python"}}
		if f.Status.Runtime != nil {
			f.Status.Runtime.VersionDefaulted = true
			f.Status.Concurrency = f.Spec.ConcurrencyStatus(testConfig())
		}
		return f
	}
	with313 := func(s *rowSettings) {
		s.config.Runtimes.Languages["python"].Versions["3.13"] = config.Version{BaseImage: "python.test/python:3.13"}
	}
	made := layers(made{Result: layer.Result{Outcome: build.Outcome{Digest: digest}, Found: true}})
	layered := func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Strategy = v1alpha1.BuildAuto }
	upToDate := service(function(layered), revision("greeter-00001", "greeter-00001"))
	ltesting.Table{{
		Name: "create", Key: theKey, Ctx: in(absent, made),
		Objects:           ltesting.Objects(written()),
		WantCreates:       ltesting.Objects(service(function(layered))),
		WantStatusUpdates: status(written(layered, servedBy(service(function(layered)), built(true)))),
		WantEvents:        []string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(function(layered))), createdService},
	}, {
		Name: "steady, and the cluster offers a newer version", Key: theKey, Ctx: in(present, made, with313),
		Objects: ltesting.Objects(written(layered, servedBy(upToDate, built(true))), upToDate),
	}}.Test(t, newReconciler)
}

// readyMade is the Service of a function whose source is an image.
func readyMade(f *v1alpha1.LambdaFunction) *servingv1.Service {
	return resources.MakeService(f, f.Spec.Source.Image.Reference(), nil, testConfig().Defaults)
}

// TestFailedWrites: each write that the API server does not take is told, and
// tried again or not.
func TestFailedWrites(t *testing.T) {
	f := function()
	first := buildOf(f).Name
	drifted := service(f, func(s *servingv1.Service) { s.Spec.Template.Spec.Containers[0].Image = "somebody.test/else" })
	repaired := service(f)
	succeeded := pod(job(f, 1), corev1.PodSucceeded, &corev1.ContainerStateTerminated{Message: digest})
	refuse := func(verb, resource string, err error) []clientgotesting.ReactionFunc {
		return []clientgotesting.ReactionFunc{func(a clientgotesting.Action) (bool, runtime.Object, error) {
			return a.Matches(verb, resource), nil, err
		}}
	}
	conflict := apierrs.NewConflict(schema.GroupResource{Group: "serving.knative.dev", Resource: "services"}, name, nil)
	invalid := apierrs.NewBadRequest("admission webhook refused: spec.template.spec.containers[0].resources")
	ltesting.Table{{
		Name: "create the build's input", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(looking)),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "configmaps")},
		WantCreates:  ltesting.Objects(input(f, 1)),
		WantEvents:   ltesting.Failing("create", "configmaps", "ConfigMap", first, ""),
	}, {
		Name: "create the Job", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(looking)),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "jobs")},
		WantCreates:  ltesting.Objects(input(f, 1), job(f, 1)),
		WantEvents:   append([]string{ltesting.Normal("Created", `Created ConfigMap "`+first+`"`)}, ltesting.Failing("create", "jobs", "Job", first, "")...),
	}, {
		Name: "delete the Job", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(building), job(f, 1), input(f, 1), succeeded),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("delete", "jobs")},
		WantDeletes:  []clientgotesting.DeleteActionImpl{deletion("jobs", first)},
		WantStatusUpdates: status(function(building, func(f *v1alpha1.LambdaFunction) {
			ended := metav1.NewTime(now)
			f.Status.Build.CompletionTime, f.Status.Build.Image = &ended, imageOf(f)
			f.Status.MarkBuildSucceeded()
		})),
		WantEvents: append([]string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(f))}, ltesting.Failing("delete", "jobs", "Job", first, "")...),
	}, {
		Name: "create the Service", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(built(false))),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("create", "services")},
		WantCreates:  ltesting.Objects(service(f)),
		WantEvents:   ltesting.Failing("create", "services", "Service", name, ""),
	}, {
		Name: "create the Service in a namespace that is being deleted", Key: theKey, Ctx: in(absent),
		Objects:      ltesting.Objects(function(servedBy(service(f), built(false)))),
		WithReactors: refuse("create", "services", ltesting.NamespaceTerminating(schema.GroupResource{Group: "serving.knative.dev", Resource: "services"}, namespace, name)),
		WantCreates:  ltesting.Objects(service(f)), // no status, no event
	}, {
		Name: "create the build's input in a namespace that is being deleted", Key: theKey, Ctx: in(absent),
		Objects:      ltesting.Objects(function(looking)),
		WithReactors: refuse("create", "configmaps", ltesting.NamespaceTerminating(corev1.Resource("configmaps"), namespace, first)),
		WantCreates:  ltesting.Objects(input(f, 1)),
	}, {
		Name: "create the Service, which Knative refuses", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(built(false))),
		WithReactors: refuse("create", "services", invalid),
		WantCreates:  ltesting.Objects(service(f)),
		WantStatusUpdates: status(function(built(false), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkServiceFailed(v1alpha1.ReasonServiceRejected, `failed to create Service "`+name+`": `+invalid.Error())
		})),
		WantEvents: ltesting.Failing("create", "", "Service", name, invalid.Error()),
	}, {
		Name: "update the Service", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(servedBy(drifted, built(false))), drifted),
		WithReactors: []clientgotesting.ReactionFunc{rtesting.InduceFailure("update", "services")},
		WantUpdates:  []clientgotesting.UpdateActionImpl{{Object: repaired}},
		WantEvents:   ltesting.Failing("update", "services", "Service", name, ""),
	}, {
		Name: "update the Service, which another has updated", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(function(servedBy(drifted, built(false))), drifted),
		WithReactors: refuse("update", "services", conflict), // no news to the user: the newer one comes
		WantUpdates:  []clientgotesting.UpdateActionImpl{{Object: repaired}},
	}, {
		Name: "update the status", Key: theKey, Ctx: in(pending), WantErr: true,
		Objects:           ltesting.Objects(function()),
		WithReactors:      []clientgotesting.ReactionFunc{rtesting.InduceFailure("update", "lambdafunctions")},
		WantStatusUpdates: status(function(looking)),
		WantEvents:        []string{ltesting.Warning("UpdateFailed", `Failed to update status for "`+name+`": inducing failure for update lambdafunctions`)},
	}}.Test(t, newReconciler)
}
