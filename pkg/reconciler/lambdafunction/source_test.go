package lambdafunction

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// fromGit is a function whose source is a branch.
func fromGit(f *v1alpha1.LambdaFunction) {
	f.Spec.Source = v1alpha1.FunctionSource{Type: v1alpha1.SourceGit, Git: &v1alpha1.GitSource{
		URL: "https://git.test/a.git", Ref: "main", Path: "f", SecretRef: &corev1.LocalObjectReference{Name: "git"}}}
}

// commit of that branch.
func commit(digit string) *source.Resolved {
	return &source.Resolved{Request: source.Request{Git: &source.Git{URL: "https://git.test/a.git", Ref: "main", Path: "f"}},
		Commit: strings.Repeat(digit, 40), Digest: "sha256:" + strings.Repeat(digit, 64)}
}

// saying are sources that say so.
func saying(resolved *source.Resolved, err error) func(*rowSettings) {
	return func(s *rowSettings) { s.sources = said{resolved, err} }
}

// referenceOf the image of a commit.
func referenceOf(resolved *source.Resolved) string {
	f := function(fromGit)
	p := &pass{LambdaFunction: f, cfg: testConfig(), resolved: resolved, language: testConfig().Runtimes.Languages["python"], version: "3.11"}
	f.Status.Source = resources.SourceStatus(v1alpha1.SourceGit, resolved)
	b, err := desiredBuild(p)
	if err != nil {
		panic(err)
	}
	return b.Reference
}

// sourceSays is the status when a branch is so, and the registry is being asked
// for its image.
func sourceSays(resolved *source.Resolved, mark func(*v1alpha1.LambdaFunctionStatus)) option {
	return func(f *v1alpha1.LambdaFunction) {
		fromGit(f)
		f.Status.InitializeConditions()
		f.Status.ObservedGeneration = f.Generation
		mark(&f.Status)
		if resolved == nil {
			f.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSource, "The source is not resolved.")
		} else {
			f.Status.Source = resources.SourceStatus(v1alpha1.SourceGit, resolved)
			f.Status.Build = &v1alpha1.BuildStatus{Reference: referenceOf(resolved)}
			f.Status.MarkBuildPending(v1alpha1.ReasonCheckingRegistry, "Asking the registry whether it has "+referenceOf(resolved)+".")
		}
		noImage(f)
	}
}

func TestReconcileSource(t *testing.T) {
	pending := answer{err: registry.ErrPending}
	gone := &source.InvalidError{Reason: source.ReasonRefNotFound, Message: `git.test has no branch or tag "main"`}
	away := errors.New("git.test did not answer in time")
	resolved := (*v1alpha1.LambdaFunctionStatus).MarkSourceResolved
	asking := func(s *v1alpha1.LambdaFunctionStatus) {
		s.MarkSourcePending(v1alpha1.ReasonResolvingSource, "Asking the source what it is by now.")
	}
	failing := func(s *v1alpha1.LambdaFunctionStatus) {
		s.MarkSourceFailed(source.ReasonRefNotFound, gone.Message)
	}
	news := func(digit string) []string {
		return []string{ltesting.Normal("SourceResolved", "Commit "+strings.Repeat(digit, 40))}
	}
	other := sourceSays(commit("1"), resolved)
	ltesting.Table{{
		Name: "asks first", Key: theKey, Ctx: in(pending),
		Objects:           ltesting.Objects(function(fromGit)),
		WantStatusUpdates: status(function(sourceSays(nil, asking))),
	}, {
		Name: "builds what the source has resolved to", Key: theKey, Ctx: in(pending, saying(commit("1"), nil)),
		Objects:           ltesting.Objects(function(sourceSays(nil, asking))),
		WantStatusUpdates: status(function(sourceSays(commit("1"), resolved))),
		WantEvents:        news("1"),
	}, {
		Name: "builds a new commit by itself", Key: theKey, Ctx: in(pending, saying(commit("2"), nil)),
		Objects:           ltesting.Objects(function(sourceSays(commit("1"), resolved))),
		WantStatusUpdates: status(function(sourceSays(commit("2"), resolved))),
		WantEvents:        news("2"),
	}, {
		Name: "keeps what it knows while it is asked after a restart", Key: theKey, Ctx: in(pending),
		Objects: ltesting.Objects(function(sourceSays(commit("1"), resolved))),
	}, {
		Name: "keeps a fault that it knows, too", Key: theKey, Ctx: in(pending),
		Objects: ltesting.Objects(function(sourceSays(commit("1"), failing))),
	}, {
		Name: "tells that a branch was never there", Key: theKey, Ctx: in(pending, saying(nil, gone)),
		Objects:           ltesting.Objects(function(sourceSays(nil, asking))),
		WantStatusUpdates: status(function(sourceSays(nil, failing))),
	}, {
		Name: "lets run what runs when the branch is gone", Key: theKey, Ctx: in(pending, saying(commit("1"), gone)),
		Objects:           ltesting.Objects(function(sourceSays(commit("1"), resolved))),
		WantStatusUpdates: status(function(sourceSays(commit("1"), failing))),
	}, {
		Name: "lets run what runs when the branch is gone before a restart", Key: theKey, Ctx: in(pending, saying(nil, gone)),
		Objects:           ltesting.Objects(function(sourceSays(commit("1"), resolved))),
		WantStatusUpdates: status(function(sourceSays(commit("1"), failing))),
	}, {
		Name: "is as ready as before when the server is away", Key: theKey, Ctx: in(pending, saying(commit("1"), away)),
		Objects: ltesting.Objects(function(sourceSays(commit("1"), resolved))),
		WantStatusUpdates: status(function(sourceSays(commit("1"), func(s *v1alpha1.LambdaFunctionStatus) {
			s.MarkSourceStale(source.ReasonUnreachable, "What is known of the source may be old: "+away.Error())
		}))),
	}, {
		Name: "waits for a server that was never there", Key: theKey, Ctx: in(pending, saying(nil, away)),
		Objects: ltesting.Objects(function(sourceSays(nil, asking))),
		WantStatusUpdates: status(function(sourceSays(nil, func(s *v1alpha1.LambdaFunctionStatus) {
			s.MarkSourcePending(source.ReasonUnreachable, away.Error())
		}))),
	}, {
		Name: "takes nothing that is known of another branch", Key: theKey, Ctx: in(pending, saying(nil, gone)),
		Objects: ltesting.Objects(function(other, func(f *v1alpha1.LambdaFunction) { f.Spec.Source.Git.Ref = "next" })),
		WantStatusUpdates: status(function(other, func(f *v1alpha1.LambdaFunction) {
			f.Spec.Source.Git.Ref = "next"
			failing(&f.Status)
			f.Status.MarkBuildPending(v1alpha1.ReasonWaitingForSource, "The source is not resolved.")
		})),
	}, {
		Name: "says that the cluster has no object store", Key: theKey, Ctx: in(pending),
		Objects: ltesting.Objects(function(func(f *v1alpha1.LambdaFunction) {
			f.Spec.Source = v1alpha1.FunctionSource{Type: v1alpha1.SourceMinIO, MinIO: &v1alpha1.ObjectSource{Bucket: "b", Key: "k"}}
		})),
		WantStatusUpdates: status(function(sourceSays(nil, func(s *v1alpha1.LambdaFunctionStatus) {
			s.MarkSourceFailed(v1alpha1.ReasonInvalidConfiguration, "spec.source.minio.endpoint is missing, and config-build has no minio-endpoint")
		}), func(f *v1alpha1.LambdaFunction) {
			f.Spec.Source = v1alpha1.FunctionSource{Type: v1alpha1.SourceMinIO, MinIO: &v1alpha1.ObjectSource{Bucket: "b", Key: "k"}}
		})),
	}}.Test(t, newReconciler)
}

// asked remembers what a reconcile asks for.
type asked struct {
	said
	query     sourcewatch.Query
	forgotten bool
}

func (a *asked) Check(key types.NamespacedName, q sourcewatch.Query) (*source.Resolved, error) {
	a.query = q
	return a.said.Check(key, q)
}

func (a *asked) Forget(types.NamespacedName) { a.forgotten = true }

// TestSourceQuery: what is asked for, and that nobody asks for what is inline.
func TestSourceQuery(t *testing.T) {
	cfg := testConfig()
	cfg.Build.SourcePollInterval = 42
	cfg.Build.SourceAllowedNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	sources := &asked{said: said{err: sourcewatch.ErrPending}}
	r := &Reconciler{sources: sources}
	if err := r.reconcileSource(t.Context(), &pass{LambdaFunction: function(fromGit), cfg: cfg}); err != nil {
		t.Fatal(err)
	}
	q := sources.query
	if q.Namespace != namespace || q.Secret != "git" || q.Interval != 42 || len(q.Request.AllowedNetworks) != 1 || q.Request.Git.Path != "f" {
		t.Errorf("asked for %+v", q)
	}
	for _, f := range []*v1alpha1.LambdaFunction{function(), function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Source = v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{}}
	})} {
		sources.forgotten = false
		f.Spec = f.EffectiveSpec(cfg)
		if err := r.reconcileSource(t.Context(), &pass{LambdaFunction: f, cfg: cfg}); err != nil || !sources.forgotten {
			t.Errorf("a source of type %s is still watched (%v)", f.Spec.Source.Type, err)
		}
	}
}
