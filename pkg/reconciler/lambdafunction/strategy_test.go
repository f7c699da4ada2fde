package lambdafunction

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// auto leaves it to the operator how the image is made.
func auto(f *v1alpha1.LambdaFunction) { f.Spec.Build.Strategy = v1alpha1.BuildAuto }

// layering is the status while an attempt makes the image without a pod.
func layering(attempt int32) option {
	return func(f *v1alpha1.LambdaFunction) {
		auto(f)
		looking(f)
		b := attemptOf(f, attempt)
		f.Status.Build = &v1alpha1.BuildStatus{Reference: b.Reference, Strategy: v1alpha1.BuildLayer, Attempts: attempt, StartTime: &metav1.Time{Time: now}}
		f.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "The image is made and pushed to "+b.Reference+".")
	}
}

// layeredAs is the status when an attempt has ended, half a minute ago.
func layeredAs(attempt int32, o build.Outcome) option {
	return func(f *v1alpha1.LambdaFunction) {
		layering(attempt)(f)
		s := f.Status.Build
		s.StartTime, s.CompletionTime = &metav1.Time{Time: now.Add(-time.Minute)}, &metav1.Time{Time: now.Add(-30 * time.Second)}
		if o.Succeeded() {
			s.Image = imageOf(f)
			f.Status.MarkBuildSucceeded()
			return
		}
		s.Failure = &v1alpha1.BuildFailure{Step: o.Step, Reason: o.Reason, Message: o.Message, Retryable: o.Fault == build.InfrastructureFault}
		f.Status.MarkBuildFailed(o.Reason, o.Message)
	}
}

func result(o build.Outcome) made {
	return made{Result: layer.Result{Outcome: o, Started: now.Add(-time.Minute), Ended: now.Add(-30 * time.Second)}}
}

// TestReconcileLayer: code with nothing to install becomes an image without a
// registry's leave asked first, without a slot and without a Job.
func TestReconcileLayer(t *testing.T) {
	f := function(auto)
	pushed := build.Outcome{Digest: digest}
	lost := build.Outcome{Step: build.StepSource, Reason: build.ReasonSourceInvalid, Fault: build.UserFault, Message: `handler "app.handler": no file app.py`}
	denied := build.Outcome{Step: build.StepPush, Reason: build.ReasonPushDenied, Fault: build.ConfigurationFault, Message: build.AdvicePushDenied}
	unreachable := build.Outcome{Step: build.StepPush, Reason: build.ReasonRegistryUnreachable, Fault: build.InfrastructureFault, Message: build.AdviceRegistryUnreachable}
	retrying := func(f *v1alpha1.LambdaFunction) {
		f.Status.MarkBuildPending(v1alpha1.ReasonRetrying, "Attempt 1 of 3 failed: "+unreachable.Message)
	}
	found := result(pushed)
	found.Found = true
	edit := func(f *v1alpha1.LambdaFunction) {
		f.Generation = 2
		f.Spec.Source.Inline.Code = "def handler(event, context): return 2\n"
	}
	byKaniko := function(building)
	busy := func(s *rowSettings) { s.config.Build.MaxParallel = 0 }
	working := layers(made{err: layer.ErrPending})

	ltesting.Table{{
		Name: "starts", Key: theKey, Ctx: in(absent, working, busy),
		Objects:           ltesting.Objects(function(auto)),
		WantStatusUpdates: status(function(layering(1))),
	}, {
		Name: "waits", Key: theKey, Ctx: in(absent, working, later(time.Minute)),
		Objects: ltesting.Objects(function(layering(1))),
	}, {
		Name: "takes over the image", Key: theKey, Ctx: in(absent, layers(result(pushed))),
		Objects:           ltesting.Objects(function(layering(1))),
		WantCreates:       ltesting.Objects(service(f)),
		WantStatusUpdates: status(function(servedBy(service(f), layeredAs(1, pushed)))),
		WantEvents:        []string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(f)), createdService},
	}, {
		Name: "takes over the image, though the cache lags behind", Key: theKey, Ctx: in(absent, layers(result(pushed))),
		Objects:           ltesting.Objects(function(auto)),
		WantCreates:       ltesting.Objects(service(f)),
		WantStatusUpdates: status(function(servedBy(service(f), layeredAs(1, pushed)))),
		WantEvents:        []string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(f)), createdService},
	}, {
		Name: "says of an image that was there that nobody has made it", Key: theKey, Ctx: in(absent, layers(found)),
		Objects:     ltesting.Objects(function(layering(1))),
		WantCreates: ltesting.Objects(service(f)),
		WantStatusUpdates: status(function(servedBy(service(f), func(f *v1alpha1.LambdaFunction) {
			layeredAs(1, pushed)(f)
			f.Status.Build = &v1alpha1.BuildStatus{Reference: f.Status.Build.Reference, Image: f.Status.Build.Image}
		}))),
		WantEvents: []string{ltesting.Normal("BuildSucceeded", "Image "+imageOf(f)), createdService},
	}, {
		Name: "goes on where another process has begun", Key: theKey, Ctx: in(absent, working, later(time.Hour)),
		Objects: ltesting.Objects(function(layering(1))),
	}, {
		Name: "tells the user's fault and does not try again", Key: theKey, Ctx: in(absent, layers(result(lost))),
		Objects:           ltesting.Objects(function(layering(1))),
		WantStatusUpdates: status(function(layeredAs(1, lost))),
		WantEvents:        []string{ltesting.Warning(lost.Reason, `Build step "source" failed: `+lost.Message)},
	}, {
		Name: "tells a fault of the configuration and does not try again", Key: theKey, Ctx: in(absent, layers(result(denied))),
		Objects:           ltesting.Objects(function(layering(1))),
		WantStatusUpdates: status(function(layeredAs(1, denied))),
		WantEvents:        []string{ltesting.Warning(denied.Reason, `Build step "push" failed: `+denied.Message)},
	}, {
		Name: "tries the infrastructure's fault again, later", Key: theKey, Ctx: in(absent, layers(result(unreachable))), WantErr: true,
		Objects: ltesting.Objects(function(layering(1))),
		WantStatusUpdates: status(function(layeredAs(1, unreachable), func(f *v1alpha1.LambdaFunction) {
			retrying(f)
		})),
		WantEvents: []string{ltesting.Warning(unreachable.Reason, `Build step "push" failed: `+unreachable.Message)},
	}, {
		Name: "tries it a second time", Key: theKey, Ctx: in(absent, working),
		Objects:           ltesting.Objects(function(layeredAs(1, unreachable), retrying)),
		WantStatusUpdates: status(function(layering(2))),
	}, {
		Name: "counts as failed after the last attempt, and waits for another", Key: theKey, Ctx: in(absent, layers(result(unreachable))), WantErr: true,
		Objects:           ltesting.Objects(function(layering(3))),
		WantStatusUpdates: status(function(layeredAs(3, unreachable))),
		WantEvents:        []string{ltesting.Warning(unreachable.Reason, `Build step "push" failed: `+unreachable.Message)},
	}, {
		Name: "waits for a Secret", Key: theKey, Ctx: in(absent, layers(result(build.Outcome{Reason: build.ReasonSecretNotFound, Fault: build.InfrastructureFault, Message: "There is no Secret s."}))), WantErr: true,
		Objects: ltesting.Objects(function(layering(1))),
		WantStatusUpdates: status(function(layering(1), func(f *v1alpha1.LambdaFunction) {
			f.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSecret, "There is no Secret s.")
		})),
	}, {
		Name: "starts anew when the spec moves on", Key: theKey, Ctx: in(absent, working),
		Objects:           ltesting.Objects(function(layeredAs(1, lost), edit)),
		WantStatusUpdates: status(function(edit, layering(1))),
	}, {
		Name: "starts anew with other settings of the build", Key: theKey, Ctx: in(absent, working),
		Objects: ltesting.Objects(function(layeredAs(1, denied), func(f *v1alpha1.LambdaFunction) {
			f.Spec.Build.PushSecretRef = &corev1.LocalObjectReference{Name: "pusher"}
		})),
		WantStatusUpdates: status(function(func(f *v1alpha1.LambdaFunction) {
			f.Spec.Build.PushSecretRef = &corev1.LocalObjectReference{Name: "pusher"}
		}, layering(1), func(f *v1alpha1.LambdaFunction) { f.Status.Build.Settings = settings(&pass{LambdaFunction: f}) })),
	}, {
		Name: "removes the Job of before", Key: theKey, Ctx: in(absent, working),
		Objects:           ltesting.Objects(function(building, auto), job(byKaniko, 1), input(byKaniko, 1)),
		WantDeletes:       removed(buildOf(byKaniko).Name),
		WantStatusUpdates: status(function(layering(1))),
		WantEvents:        removedEvents(buildOf(byKaniko).Name),
	}}.Test(t, newReconciler)
}

// TestStrategyOf: what runs something takes a pod.
func TestStrategyOf(t *testing.T) {
	for name, tt := range map[string]struct {
		change   func(*v1alpha1.LambdaFunction)
		language func(*config.Language)
		layered  bool
	}{
		"code alone":           {layered: true},
		"kaniko asked for":     {change: func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Strategy = v1alpha1.BuildKaniko }},
		"dependencies":         {change: func(f *v1alpha1.LambdaFunction) { f.Spec.Source.Inline.Dependencies = "cowsay" }},
		"a Dockerfile":         {change: func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Dockerfile = "Dockerfile" }},
		"arguments of no step": {change: func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Args = []v1alpha1.BuildArg{{Name: "A", Value: "1"}} }, layered: true},
		"a template that runs": {language: func(l *config.Language) { l.Template, l.Dockerfile = "", "FROM {{.BaseImage}}\nRUN make\n" }},
		"a template that copies": {language: func(l *config.Language) {
			l.Template, l.Dockerfile = "", "FROM {{.BaseImage}}\nCOPY --from={{.RuntimeImage}} /a /b\nCOPY function /lambda/function\nENTRYPOINT [\"/b\"]\n"
		}, layered: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := function(auto)
			if tt.change != nil {
				tt.change(f)
			}
			cfg := testConfig()
			if tt.language != nil {
				tt.language(cfg.Runtimes.Languages["python"])
			}
			p := &pass{LambdaFunction: f, cfg: cfg}
			if err := (&Reconciler{sources: said{err: sourcewatch.ErrPending}}).reconcileSource(context.Background(), p); err != nil {
				t.Fatal(err)
			}
			b, err := desiredBuild(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, is := (&Reconciler{}).strategyOf(b).(*layered); is != tt.layered || b.Input.Layer != tt.layered {
				t.Errorf("made as a layer: %t, so named %t, want %t", is, b.Input.Layer, tt.layered)
			}
		})
	}
}

func TestRecipes(t *testing.T) {
	cfg := testConfig()
	cfg.Runtimes.Languages["c"] = &config.Language{Versions: map[string]config.Version{"1": {BaseImage: "gcc"}}, Dockerfile: "FROM {{.BaseImage}}\nRUN make\n"}
	cfg.Runtimes.Languages["gone"] = &config.Language{Versions: map[string]config.Version{"1": {BaseImage: "x"}}, Template: "gone"}
	got := recipes(cfg)
	if len(got) != 1 || got[0].Base != "python.test/python:3.11" {
		t.Errorf("recipes() = %v, want Python's alone", got)
	}
	// It is that of functions: what is prepared is what they need.
	if diff := cmp.Diff(buildOf(function(auto)).Recipe, got[0]); diff != "" {
		t.Error("(-function's, +prepared):", diff)
	}
}

// TestShippedLanguages: what of the shipped configuration takes no pod.
func TestShippedLanguages(t *testing.T) {
	text, err := os.ReadFile("../../../config/core/configmaps/runtimes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{}
	if err := yaml.Unmarshal(text, cm); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	if cfg.Runtimes, err = config.NewRuntimesFromConfigMap(cm); err != nil {
		t.Fatal(err)
	}
	bases := map[string]bool{}
	for _, r := range recipes(cfg) {
		bases[r.Base] = true
	}
	for language, layered := range map[string]bool{"python": true, "nodejs": true, "go": false} {
		l := cfg.Runtimes.Languages[language]
		if l == nil {
			t.Errorf("%s is not shipped", language)
			continue
		}
		if base := l.Versions[l.Newest()].BaseImage; bases[base] != layered {
			t.Errorf("%s takes no pod: %t, want %t", language, bases[base], layered)
		}
	}
}

func TestLayerRequest(t *testing.T) {
	f := function(auto, func(f *v1alpha1.LambdaFunction) {
		f.Spec.Build.Timeout, f.Spec.Build.ImagePullSecret = v1alpha1.NewDuration(time.Minute), "puller"
	})
	cfg := testConfig()
	cfg.Build.PushSecret = "pusher"
	b := attemptOf(f, 2)
	r := (&layered{}).request(&pass{LambdaFunction: f, cfg: cfg}, b)
	if len(r.Files) != 1 || r.Files[0].Path != "main.py" || r.Fetch != nil || r.Recipe != b.Recipe || r.Insecure("registry.test") {
		t.Errorf("the request has files %v, recipe %v", r.Files, r.Recipe)
	}
	r.Files, r.Insecure, r.Recipe = nil, nil, nil
	want := &layer.Request{Namespace: namespace, Reference: b.Reference, Handler: "main.handler", File: "main.py", Dependencies: "requirements.txt", PushSecret: "pusher", PullSecret: "puller", Timeout: time.Minute, Attempt: 2}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}

// object of so many bytes that a source has resolved to.
func object(size int64) *source.Resolved {
	return &source.Resolved{Request: source.Request{Object: &source.Object{Endpoint: "https://s3.amazonaws.com", Bucket: "b", Key: "f.zip"}}, Digest: digest, ETag: "e", Size: size}
}

func fromBucket(f *v1alpha1.LambdaFunction) {
	auto(f)
	f.Spec.Source = v1alpha1.FunctionSource{Type: v1alpha1.SourceS3, S3: &v1alpha1.ObjectSource{Bucket: "b", Key: "f.zip"}}
}

// fetched is the build of a function whose source has resolved so.
func fetched(t *testing.T, f *v1alpha1.LambdaFunction, kind v1alpha1.SourceType, from *source.Resolved) *resources.Build {
	t.Helper()
	f.Status.Source = resources.SourceStatus(kind, from)
	b, err := desiredBuild(&pass{LambdaFunction: f, cfg: testConfig(), resolved: from, language: testConfig().Runtimes.Languages["python"], version: "3.11"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStrategyOfFetchedSources: what is fetched into the controller is small, and
// what has proved to take a pod is not fetched again to see.
func TestStrategyOfFetchedSources(t *testing.T) {
	small := fetched(t, function(fromBucket), v1alpha1.SourceS3, object(100))
	inPod := fetched(t, function(fromBucket, func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Strategy = v1alpha1.BuildKaniko }), v1alpha1.SourceS3, object(100))
	known := fetched(t, function(fromBucket, func(f *v1alpha1.LambdaFunction) {
		f.Status.Build = &v1alpha1.BuildStatus{Reference: inPod.Reference}
	}), v1alpha1.SourceS3, object(100))
	large := fetched(t, function(fromBucket), v1alpha1.SourceS3, object(layer.MaxSource+1))
	git := fetched(t, function(fromGit, auto), v1alpha1.SourceGit, commit("1"))
	for name, tt := range map[string]struct {
		build   *resources.Build
		layered bool
	}{"small": {small, true}, "kaniko asked for": {inPod, false}, "known to take a pod": {known, false}, "large": {large, false}, "git": {git, false}} {
		if got := tt.build.Recipe != nil; got != tt.layered {
			t.Errorf("%s: made as a layer: %t, want %t", name, got, tt.layered)
		}
	}
	if known.Reference != inPod.Reference || small.Reference == inPod.Reference {
		t.Errorf("references %s, %s and %s: want the image of a pod named the same however that came", small.Reference, inPod.Reference, known.Reference)
	}
}

// TestFilesThatTakeAPod: Kaniko goes on where the files show what the spec does not.
func TestFilesThatTakeAPod(t *testing.T) {
	f := function(fromBucket)
	before := fetched(t, f.DeepCopy(), v1alpha1.SourceS3, object(100))
	inPod := fetched(t, function(fromBucket, func(f *v1alpha1.LambdaFunction) { f.Spec.Build.Strategy = v1alpha1.BuildKaniko }), v1alpha1.SourceS3, object(100))
	resolvedAs := func(mark func(*v1alpha1.LambdaFunction)) option {
		return func(f *v1alpha1.LambdaFunction) {
			fromBucket(f)
			f.Status.InitializeConditions()
			f.Status.ObservedGeneration = f.Generation
			f.Status.Source = resources.SourceStatus(v1alpha1.SourceS3, object(100))
			f.Status.MarkSourceResolved()
			mark(f)
			noImage(f)
		}
	}
	ltesting.Table{{
		Name: "needs a pod", Key: theKey, Ctx: in(pending, saying(object(100), nil), layers(result(build.Outcome{Reason: layer.ReasonNeedsPod}))),
		Objects: ltesting.Objects(function(resolvedAs(func(f *v1alpha1.LambdaFunction) {
			f.Status.Build = &v1alpha1.BuildStatus{Reference: before.Reference, Strategy: v1alpha1.BuildLayer, Attempts: 1, StartTime: &metav1.Time{Time: now}}
			f.Status.MarkBuildPending(v1alpha1.ReasonBuilding, "The image is made and pushed to "+before.Reference+".")
		}))),
		WantStatusUpdates: status(function(resolvedAs(func(f *v1alpha1.LambdaFunction) {
			f.Status.Build = &v1alpha1.BuildStatus{Reference: inPod.Reference}
			f.Status.MarkBuildPending(v1alpha1.ReasonCheckingRegistry, "Asking the registry whether it has "+inPod.Reference+".")
		}))),
	}}.Test(t, newReconciler)
}
