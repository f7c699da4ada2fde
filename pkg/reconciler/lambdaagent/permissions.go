package lambdaagent

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

func (r *Reconciler) serviceAccountSet(namespace string) child.Set[*corev1.ServiceAccount] {
	return child.Set[*corev1.ServiceAccount]{Kind: "ServiceAccount", Lister: r.serviceAccounts.ServiceAccounts(namespace), Client: r.kube.CoreV1().ServiceAccounts(namespace)}
}

func (r *Reconciler) roleSet(namespace string) child.Set[*rbacv1.Role] {
	return child.Set[*rbacv1.Role]{Kind: "Role", Lister: r.roles.Roles(namespace), Client: r.kube.RbacV1().Roles(namespace)}
}

func (r *Reconciler) bindingSet(namespace string) child.Set[*rbacv1.RoleBinding] {
	return child.Set[*rbacv1.RoleBinding]{Kind: "RoleBinding", Lister: r.bindings.RoleBindings(namespace), Client: r.kube.RbacV1().RoleBindings(namespace)}
}

// reconcilePermissions gives the agent's ServiceAccount the rights that the spec says
// and no event has withdrawn. The ServiceAccount is there before the pods that run as
// it; rights are taken away before anything else.
func (r *Reconciler) reconcilePermissions(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	if err := r.expire(ctx, a); err != nil {
		return err
	}
	if a.Spec.Permissions == nil {
		a.Status.Permissions = nil
		name := names.Permissions(a)
		if err := r.bindingSet(a.Namespace).Delete(ctx, a, name); err != nil {
			return err
		}
		return r.roleSet(a.Namespace).Delete(ctx, a, name)
	}
	now := r.clock.Now()
	allowed, withdrawn := a.PermissionsAt(now)
	if _, err := r.roleSet(a.Namespace).Ensure(ctx, a, resources.MakeRole(a, allowed), resources.MutateRole); err != nil {
		return r.failed(a, err)
	}
	if resources.OwnServiceAccount(a) {
		if _, err := r.serviceAccountSet(a.Namespace).Ensure(ctx, a, resources.MakeServiceAccount(a), nil); err != nil {
			return r.failed(a, err)
		}
	}
	if _, err := r.bindingSet(a.Namespace).Ensure(ctx, a, resources.MakeRoleBinding(a), resources.MutateRoleBinding); err != nil {
		return r.failed(a, err)
	}
	tellPermissions(ctx, a, allowed, withdrawn)
	if next := v1alpha1.NextExpiry(withdrawn); !next.IsZero() {
		r.enqueueAfter(a, next.Sub(now))
	}
	return nil
}

// tellPermissions says in the status what the agent may do, and in Kubernetes events
// what has changed of it by events.
func tellPermissions(ctx context.Context, a *v1alpha1.LambdaAgent, allowed []v1alpha1.Permission, withdrawn []v1alpha1.WithdrawnPermission) {
	before, now := a.Status.Permissions, &v1alpha1.PermissionsStatus{Withdrawn: withdrawn}
	for _, p := range allowed {
		now.Allowed = append(now.Allowed, string(p))
	}
	a.Status.Permissions = now
	recorder := controller.GetEventRecorder(ctx)
	var was []v1alpha1.WithdrawnPermission
	if before != nil {
		was = before.Withdrawn
	}
	for _, w := range withdrawn {
		if !has(was, w.Permission) {
			until := "until it is restored"
			if w.Until != nil {
				until = "until " + w.Until.UTC().Format(time.RFC3339)
			}
			recorder.Eventf(a, corev1.EventTypeWarning, "PermissionWithdrawn", "Permission %s is withdrawn %s, by source %q: %s", w.Permission, until, w.Source, w.Reason)
		}
	}
	for _, w := range was {
		if !has(withdrawn, w.Permission) && slices.Contains(now.Allowed, w.Permission) {
			recorder.Eventf(a, corev1.EventTypeNormal, "PermissionRestored", "Permission %s is given back", w.Permission)
		}
	}
}

func has(list []v1alpha1.WithdrawnPermission, permission string) bool {
	return slices.ContainsFunc(list, func(w v1alpha1.WithdrawnPermission) bool { return w.Permission == permission })
}

// expire takes off the agent's annotation what is over by now. What cannot be read
// withdraws everything, until somebody repairs it.
func (r *Reconciler) expire(ctx context.Context, a *v1alpha1.LambdaAgent) error {
	w, err := a.Withdrawals()
	if err != nil || !w.Expire(r.clock.Now()) {
		return nil //nolint:nilerr // the status says so
	}
	annotation := any(nil) // takes it off
	if text := w.Text(); text != "" {
		annotation = text
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": a.ResourceVersion, "annotations": map[string]any{lambda.WithdrawnAnnotationKey: annotation},
	}})
	if err != nil {
		return err
	}
	_, err = r.lambda.LambdaV1alpha1().LambdaAgents(a.Namespace).Patch(ctx, a.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrs.IsNotFound(err) || apierrs.IsConflict(err) {
		return nil // it has changed: its newer version is enqueued when it comes
	}
	return err
}

// retireServiceAccount removes the ServiceAccount that was made for the agent when it
// is needed no more and no pod of an older revision runs as it.
func (r *Reconciler) retireServiceAccount(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	if resources.OwnServiceAccount(a) || !a.Status.GetCondition(v1alpha1.AgentConditionServiceReady).IsTrue() {
		return nil
	}
	return r.serviceAccountSet(a.Namespace).Delete(ctx, a, names.Permissions(a))
}
