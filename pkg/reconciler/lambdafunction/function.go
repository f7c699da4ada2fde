// Package lambdafunction reconciles LambdaFunctions: source to image to Knative
// Service.
package lambdafunction

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/logging"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/tracker"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"
	servinglisters "knative.dev/serving/pkg/client/listers/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	functionreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdafunction"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/layer"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/phase"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sourcewatch"
	"github.com/brunovlucena/knative-lambda-operator/pkg/registry"
	"github.com/brunovlucena/knative-lambda-operator/pkg/source"
)

// Reconciler implements the generated interface for LambdaFunctions.
type Reconciler struct {
	kube    kubernetes.Interface
	serving servingclientset.Interface

	services   servinglisters.ServiceLister
	jobs       batchlisters.JobLister
	pods       corelisters.PodLister
	configMaps corelisters.ConfigMapLister
	refusals   corelisters.EventLister // of build pods

	// kinds are what a cluster may not have.
	kinds *shared.Kinds
	// queues of dead letters.
	queues shared.Queues
	// referred is what functions may refer to.
	referred references.Objects
	// mappings of domains.
	mappings domains.Mappings

	resolver sinks.Resolver
	sources  sourcewatch.Checker
	registry registry.Checker
	layers   layer.Builder
	tracker  tracker.Interface
	slots    *slots
	builds   *builds
	clock    clock.PassiveClock

	// Keys sign the URLs that the operator makes.
	Keys *keyring.Store[keyring.Keyring]
}

var (
	_ functionreconciler.Interface      = (*Reconciler)(nil)
	_ pkgreconciler.OnDeletionInterface = (*Reconciler)(nil)
)

// pass is one reconcile of one function: what a phase found out and a later one
// needs.
type pass struct {
	// LambdaFunction has its effective spec: the object is this reconcile's own copy,
	// of which only the status is written.
	*v1alpha1.LambdaFunction
	cfg *config.Config
	// versionDefaulted says that the user's spec names no version of the language.
	versionDefaulted bool
	// language is nil where the source is an image or not known.
	language *config.Language
	// version of the language.
	version string
	// files of an inline source.
	files map[string]string
	// resolved is what a source that lives elsewhere has resolved to.
	resolved *source.Resolved
	// image to run; empty as long as there is none.
	image string
	// sink of replies; nil where they go back to whoever asked.
	sink *apis.URL
	// sinkErr is why there is no sink although the spec asks for one.
	sinkErr error
}

// ReconcileKind implements functionreconciler.Interface.
func (r *Reconciler) ReconcileKind(ctx context.Context, function *v1alpha1.LambdaFunction) pkgreconciler.Event {
	before := function.Status.DeepCopy()
	function.Status.InitializeConditions()
	p := &pass{LambdaFunction: function, cfg: config.FromContextOrDefaults(ctx), versionDefaulted: function.Spec.Runtime.Version == ""}
	function.Status.Concurrency = function.Spec.ConcurrencyStatus(p.cfg)
	function.Spec = function.EffectiveSpec(p.cfg)
	function.Status.Scaling = function.Spec.Scaling.Status()
	function.Status.Visibility = function.Spec.Visibility
	warnMemory(ctx, function, before.Concurrency)
	err := phase.Run(ctx, p,
		phase.Phase[*pass]{Name: "source", Run: r.reconcileSource},
		phase.Phase[*pass]{Name: "build", Run: r.reconcileBuild},
		phase.Phase[*pass]{Name: "sink", Run: r.reconcileSink},
		phase.Phase[*pass]{Name: "service", Run: r.reconcileService},
		phase.Phase[*pass]{Name: "domains", Run: r.reconcileDomains},
		phase.Phase[*pass]{Name: "eventing", Run: r.reconcileEventing},
	)
	if errors.Is(err, child.ErrNamespaceTerminating) {
		function.Status = *before // the function is deleted next
		return nil
	}
	function.Status.Summarize()
	return err
}

// ObserveDeletion implements pkgreconciler.OnDeletionInterface. If RabbitMQ is away, the
// queue is deleted when that returns.
func (r *Reconciler) ObserveDeletion(ctx context.Context, function types.NamespacedName) error {
	if err := r.queues.Delete(ctx, events.DeadLetterQueue(function.Namespace, function.Name)); err != nil {
		logging.FromContext(ctx).Infow("The dead letter queue of a deleted function cannot be deleted yet", "error", err)
	}
	return nil
}
