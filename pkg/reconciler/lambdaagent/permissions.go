package lambdaagent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	pkgreconciler "knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/grant"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
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

// reconcilePermissions gives the agent's ServiceAccount the rights that the spec gives,
// that no event has withdrawn, and of which admission has verified who gives them. The
// ServiceAccount exists before the pods that run as it; rights are removed first.
func (r *Reconciler) reconcilePermissions(ctx context.Context, a *v1alpha1.LambdaAgent) pkgreconciler.Event {
	if err := r.expire(ctx, a); err != nil {
		return err
	}
	if a.Spec.Permissions == nil {
		a.Status.Permissions = nil
		if err := a.Status.ClearPermissions(); err != nil {
			return err
		}
		name := names.Permissions(a)
		if err := r.bindingSet(a.Namespace).Delete(ctx, a, name); err != nil {
			return err
		}
		return r.roleSet(a.Namespace).Delete(ctx, a, name)
	}
	now := r.clock.Now()
	given, withdrawn := a.PermissionsAt(now)
	verified, proof := r.verify(a, given)
	if err := r.renew(ctx, a, proof); err != nil {
		return err
	}
	if _, err := r.roleSet(a.Namespace).Ensure(ctx, a, resources.MakeRole(a, verified), resources.MutateRole); err != nil {
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
	status := &v1alpha1.PermissionsStatus{Withdrawn: withdrawn}
	if proof != nil {
		status.VerifiedTime = &metav1.Time{Time: proof.Time}
	} else if before := a.Status.Permissions; before != nil {
		status.VerifiedTime = before.VerifiedTime
	}
	for _, p := range verified {
		status.Allowed = append(status.Allowed, string(p))
	}
	if c := a.Controls(config.FromContextOrDefaults(ctx).Events); c != nil {
		status.EventControls = &v1alpha1.EventControlsStatus{Types: c.Types, Sources: c.Sources}
	}
	markVerified(a, given, verified, proof != nil)
	reportPermissions(ctx, a, status)
	if next := v1alpha1.NextExpiry(withdrawn); !next.IsZero() {
		r.enqueueAfter(a, next.Sub(now))
	}
	return nil
}

// verify returns which of the permissions the agent may have, and the proof of them. An
// agent without a valid proof keeps what its Role gives to the same ServiceAccount and
// gains nothing: an earlier version of the operator made it, or admission did not see a
// change.
func (r *Reconciler) verify(a *v1alpha1.LambdaAgent, given []v1alpha1.Permission) (verified []v1alpha1.Permission, proof *grant.Proof) {
	if len(a.Spec.Permissions.Granted()) == 0 {
		return nil, nil
	}
	if p, ok := grant.Verify(r.Keys.Newest(), a); ok {
		return given, &p
	}
	role, err := r.roles.Roles(a.Namespace).Get(names.Permissions(a))
	if err != nil || !metav1.IsControlledBy(role, a) {
		return nil, nil
	}
	binding, err := r.bindings.RoleBindings(a.Namespace).Get(names.Permissions(a))
	if err != nil || !metav1.IsControlledBy(binding, a) || !equality.Semantic.DeepEqual(binding.Subjects, resources.MakeRoleBinding(a).Subjects) {
		return nil, nil
	}
	for _, p := range given {
		if resources.Gives(role, p) {
			verified = append(verified, p)
		}
	}
	return verified, nil
}

// renew signs the proof with the current key, so that it holds when the previous key is
// dropped.
func (r *Reconciler) renew(ctx context.Context, a *v1alpha1.LambdaAgent, proof *grant.Proof) error {
	if proof == nil {
		return nil
	}
	text, differs := grant.Renew(r.Keys.Newest(), a, *proof)
	if !differs {
		return nil
	}
	return r.annotate(ctx, a, lambda.VerifiedAnnotationKey, text)
}

// markVerified says which permissions are missing, and what to do.
func markVerified(a *v1alpha1.LambdaAgent, given, verified []v1alpha1.Permission, proven bool) {
	const remedy = "As a user who holds them, write the agent: kubectl annotate --overwrite lambdaagent %s example.com/verified=%d. " +
		"Admission must see it: the namespace must not have the label webhooks.knative.dev/exclude."
	var missing []string
	for _, p := range given {
		if !slices.Contains(verified, p) {
			missing = append(missing, string(p))
		}
	}
	todo := fmt.Sprintf(remedy, a.Name, a.Generation)
	switch {
	case proven || len(a.Spec.Permissions.Granted()) == 0:
		a.Status.MarkPermissionsVerified()
	case len(missing) == 0:
		a.Status.MarkPermissionsKept("Admission has not verified who gave the permissions of spec.permissions. The agent keeps what its Role gives, and gains nothing. " + todo)
	default:
		a.Status.MarkPermissionsNotVerified("Admission has not verified who gave the permissions " + strings.Join(missing, ", ") + " of spec.permissions: the agent does not get them. " + todo)
	}
}

// reportPermissions records in the status what the agent may do, and in Kubernetes events
// what events have changed of it.
func reportPermissions(ctx context.Context, a *v1alpha1.LambdaAgent, now *v1alpha1.PermissionsStatus) {
	before := a.Status.Permissions
	a.Status.Permissions = now
	recorder := controller.GetEventRecorder(ctx)
	var was []v1alpha1.WithdrawnPermission
	if before != nil {
		was = before.Withdrawn
	}
	for _, w := range now.Withdrawn {
		if !has(was, w.Permission) {
			until := "until it is restored"
			if w.Until != nil {
				until = "until " + w.Until.UTC().Format(time.RFC3339)
			}
			recorder.Eventf(a, corev1.EventTypeWarning, "PermissionWithdrawn", "Permission %s is withdrawn %s, by source %q: %s", w.Permission, until, w.Source, w.Reason)
		}
	}
	for _, w := range was {
		if !has(now.Withdrawn, w.Permission) && slices.Contains(now.Allowed, w.Permission) {
			recorder.Eventf(a, corev1.EventTypeNormal, "PermissionRestored", "Permission %s is given back", w.Permission)
		}
	}
}

func has(list []v1alpha1.WithdrawnPermission, permission string) bool {
	return slices.ContainsFunc(list, func(w v1alpha1.WithdrawnPermission) bool { return w.Permission == permission })
}

// expire removes expired entries from the agent's record. A record that cannot be read
// withdraws everything, until a user restores it.
func (r *Reconciler) expire(ctx context.Context, a *v1alpha1.LambdaAgent) error {
	w, err := a.Withdrawals()
	if err != nil || !w.Expire(r.clock.Now()) {
		return nil //nolint:nilerr // the status says so
	}
	return r.annotate(ctx, a, lambda.WithdrawnAnnotationKey, w.Text())
}

// annotate writes an annotation of the agent; an empty value removes it. If the agent has
// changed meanwhile, its newer version is enqueued when it arrives.
func (r *Reconciler) annotate(ctx context.Context, a *v1alpha1.LambdaAgent, key, value string) error {
	annotation := any(nil) // removes it
	if value != "" {
		annotation = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": a.ResourceVersion, "annotations": map[string]any{key: annotation},
	}})
	if err != nil {
		return err
	}
	_, err = r.lambda.LambdaV1alpha1().LambdaAgents(a.Namespace).Patch(ctx, a.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrs.IsNotFound(err) || apierrs.IsConflict(err) {
		return nil
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
