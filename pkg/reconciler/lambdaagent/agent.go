// Package lambdaagent reconciles LambdaAgents: image and model configuration to
// a warm Knative Service.
package lambdaagent

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/utils/clock"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	pkgreconciler "knative.dev/pkg/reconciler"
	"knative.dev/pkg/tracker"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"
	servinglisters "knative.dev/serving/pkg/client/listers/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	lambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned"
	agentreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/domains"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/modelprobe"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/phase"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/sinks"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
)

// Reconciler implements the generated interface for LambdaAgents.
type Reconciler struct {
	kube            kubernetes.Interface
	serving         servingclientset.Interface
	lambda          lambdaclientset.Interface
	services        servinglisters.ServiceLister
	configMaps      corelisters.ConfigMapLister
	pods            corelisters.PodLister
	serviceAccounts corelisters.ServiceAccountLister
	roles           rbaclisters.RoleLister
	bindings        rbaclisters.RoleBindingLister
	clock           clock.PassiveClock

	// kinds are what a cluster may not have.
	kinds *shared.Kinds
	// queues of dead letters.
	queues shared.Queues
	// mappings of domains.
	mappings domains.Mappings
	// inspect the queue of a Trigger, and drains of those that are to be deleted.
	inspect inspector
	drains  drains
	// index of all agents, and whether it has them all.
	index   *routing.Index
	indexed func() bool
	// enqueueAfter has an agent reconciled again after a time.
	enqueueAfter func(obj any, after time.Duration)

	// referred is what agents may refer to, by kind.
	referred references.Objects
	tracker  tracker.Interface
	resolver sinks.Resolver
	models   modelprobe.Checker

	// Keys sign the URLs that the operator makes.
	Keys *keyring.Store[keyring.Keyring]
}

var (
	_ agentreconciler.Interface         = (*Reconciler)(nil)
	_ pkgreconciler.OnDeletionInterface = (*Reconciler)(nil)
)

// ReconcileKind implements agentreconciler.Interface.
func (r *Reconciler) ReconcileKind(ctx context.Context, agent *v1alpha1.LambdaAgent) pkgreconciler.Event {
	before := agent.Status.DeepCopy()
	agent.Status.InitializeConditions()
	// The object is this reconcile's own copy, of which only the status is written.
	agent.Spec = agent.EffectiveSpec(config.FromContextOrDefaults(ctx))
	agent.Status.PropagateSpec(&agent.Spec)
	err := phase.Run(ctx, agent,
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "model", Run: r.reconcileModel},
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "permissions", Run: r.reconcilePermissions},
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "service", Run: r.reconcileService},
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "domains", Run: r.reconcileDomains},
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "serviceaccount", Run: r.retireServiceAccount},
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "eventing", Run: r.reconcileEventing},
	)
	if errors.Is(err, child.ErrNamespaceTerminating) {
		agent.Status = *before // the agent is deleted next
		return nil
	}
	agent.Status.Summarize()
	return err
}

// reconcileService runs the image as a warm Knative Service.
func (r *Reconciler) reconcileService(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	file, err := resources.MakeConfig(a)
	if err != nil {
		return controller.NewPermanentError(err)
	}
	configs := child.Set[*corev1.ConfigMap]{Kind: "ConfigMap", Lister: r.configMaps.ConfigMaps(a.Namespace), Client: r.kube.CoreV1().ConfigMaps(a.Namespace)}
	if _, err := configs.Ensure(ctx, a, file, nil); err != nil {
		return r.failed(a, err)
	}
	defaults := config.FromContextOrDefaults(ctx).Defaults
	desired := resources.MakeService(a, file.Name, defaults)
	resources.AddApprovals(desired, a, r.Keys.Newest(), config.FromContextOrDefaults(ctx).Eventing)
	if a.Spec.ActiveEventing() != nil {
		class, err := brokerClass(r.kinds.Knative(), a, config.FromContextOrDefaults(ctx).Eventing)
		if err != nil {
			return err
		}
		resources.SetBroker(desired, a, class)
	}
	if err := resources.AddModelProxy(desired, a, defaults); err != nil {
		a.Status.MarkServiceFailed(v1alpha1.ReasonNoModelProxy, err.Error())
		return nil // a change of the configuration comes here again
	}
	missing, err := r.reconcileReferences(a, desired)
	if err != nil {
		return err
	}
	if missing != nil {
		return r.waitFor(a, desired.Name, missing)
	}
	services := child.Set[*servingv1.Service]{Kind: "Service", Lister: r.services.Services(a.Namespace), Client: r.serving.ServingV1().Services(a.Namespace)}
	service, err := services.Ensure(ctx, a, desired, kservice.Mutate)
	if err != nil {
		return r.failed(a, err)
	}
	a.Status.PropagateService(service)
	reason, message, err := kservice.Trouble(r.pods, service)
	if why, text := keyTrouble(a, desired, message); why != "" {
		reason, message = why, text
	}
	if reason != "" {
		a.Status.MarkServiceFailed(reason, message)
	}
	return err
}

// reconcileDomains gives the agent names of its own.
func (r *Reconciler) reconcileDomains(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	target := domains.Target{Service: names.Service(a), Labels: resources.Labels(a), Addressed: a.Status.Address != nil}
	return r.mappings.Reconcile(ctx, a, target, &a.Spec.Exposure, &a.Status)
}

// failed says why there is no Knative Service: where only a person can help, it
// is not tried again.
func (r *Reconciler) failed(a *v1alpha1.LambdaAgent, err error) pkgreconciler.Event {
	switch {
	case child.IsNotOwned(err):
		a.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, err.Error())
	case kservice.DisabledFeatures(err) != "":
		a.Status.MarkServiceFailed(v1alpha1.ReasonFeatureDisabled, kservice.DisabledFeatures(err))
		return controller.NewRequeueAfter(kservice.FeatureInterval)
	case child.IsRejected(err):
		a.Status.MarkServiceFailed(v1alpha1.ReasonServiceRejected, err.Error())
	case apierrs.IsForbidden(err): // a quota, for example: it may be free later
		a.Status.MarkServiceFailed(v1alpha1.ReasonServiceRejected, err.Error())
		return err
	default:
		return err
	}
	return controller.NewPermanentError(err)
}

// ObserveDeletion implements pkgreconciler.OnDeletionInterface. If RabbitMQ is away, the
// queue is deleted when that returns.
func (r *Reconciler) ObserveDeletion(ctx context.Context, agent types.NamespacedName) error {
	if err := r.queues.Delete(ctx, events.AgentDeadLetterQueue(agent.Namespace, agent.Name)); err != nil {
		logging.FromContext(ctx).Infow("The dead letter queue of a deleted agent cannot be deleted yet", "error", err)
	}
	return nil
}
