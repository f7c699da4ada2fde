// Package lambdaagent reconciles LambdaAgents: image and model configuration to
// a warm Knative Service.
package lambdaagent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"
	servinglisters "knative.dev/serving/pkg/client/listers/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	agentreconciler "github.com/brunovlucena/knative-lambda-operator/pkg/client/injection/reconciler/lambda/v1alpha1/lambdaagent"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/kservice"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/phase"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
)

// Reconciler implements the generated interface for LambdaAgents.
type Reconciler struct {
	kube       kubernetes.Interface
	serving    servingclientset.Interface
	services   servinglisters.ServiceLister
	configMaps corelisters.ConfigMapLister
	pods       corelisters.PodLister
}

var _ agentreconciler.Interface = (*Reconciler)(nil)

// ReconcileKind implements agentreconciler.Interface.
func (r *Reconciler) ReconcileKind(ctx context.Context, agent *v1alpha1.LambdaAgent) pkgreconciler.Event {
	agent.Status.InitializeConditions()
	defer agent.Status.Summarize()
	return phase.Run(ctx, agent,
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "eventing", Run: r.reconcileEventing},
		phase.Phase[*v1alpha1.LambdaAgent]{Name: "service", Run: r.reconcileService},
	)
}

// reconcileEventing says that there is no broker and no route yet.
func (r *Reconciler) reconcileEventing(_ context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	if a.Spec.Eventing != nil && a.Spec.Eventing.Enabled {
		a.Status.MarkEventingNotSupported()
	} else {
		a.Status.MarkEventingNotRequested()
	}
	return nil
}

// reconcileService runs the image as a warm Knative Service.
func (r *Reconciler) reconcileService(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	a.Status.Model = nil
	if ai := a.Spec.AI; ai.Provider != v1alpha1.ProviderNone && ai.Provider != "" {
		a.Status.Model = &v1alpha1.ModelStatus{Provider: string(ai.Provider), Endpoint: ai.Endpoint, Model: ai.Model}
	}
	config, err := resources.MakeConfig(a)
	if err != nil {
		return controller.NewPermanentError(err)
	}
	configs := child.Set[*corev1.ConfigMap]{Kind: "ConfigMap", Lister: r.configMaps.ConfigMaps(a.Namespace), Client: r.kube.CoreV1().ConfigMaps(a.Namespace)}
	if _, err := configs.Ensure(ctx, a, config, nil); err != nil {
		return r.failed(a, err)
	}
	services := child.Set[*servingv1.Service]{Kind: "Service", Lister: r.services.Services(a.Namespace), Client: r.serving.ServingV1().Services(a.Namespace)}
	service, err := services.Ensure(ctx, a, resources.MakeService(a, config.Name), kservice.Mutate)
	if err != nil {
		return r.failed(a, err)
	}
	a.Status.PropagateService(service)
	reason, message, err := kservice.Trouble(r.pods, service)
	if reason != "" {
		a.Status.MarkServiceFailed(reason, message)
	}
	return err
}

// failed says why there is no Knative Service: where only a person can help, it
// is not tried again.
func (r *Reconciler) failed(a *v1alpha1.LambdaAgent, err error) pkgreconciler.Event {
	switch {
	case child.IsNotOwned(err):
		a.Status.MarkServiceFailed(v1alpha1.ReasonServiceNotOwned, err.Error())
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
