package resources

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources/names"
)

// OwnServiceAccount tells whether the agent has a ServiceAccount made for it: it has
// permissions, and names none.
func OwnServiceAccount(a *v1alpha1.LambdaAgent) bool {
	return a.Spec.Permissions != nil && a.Spec.ServiceAccountName == ""
}

// ServiceAccountName that the agent runs as; empty is the namespace's default, without
// a token.
func ServiceAccountName(a *v1alpha1.LambdaAgent) string {
	if OwnServiceAccount(a) {
		return names.Permissions(a)
	}
	return a.Spec.ServiceAccountName
}

// MakeServiceAccount makes the agent's own ServiceAccount.
func MakeServiceAccount(a *v1alpha1.LambdaAgent) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: objectMeta(a, names.Permissions(a))}
}

// MakeRole makes the Role that allows what is allowed now.
func MakeRole(a *v1alpha1.LambdaAgent, allowed []v1alpha1.Permission) *rbacv1.Role {
	role := &rbacv1.Role{ObjectMeta: objectMeta(a, names.Permissions(a))}
	for _, p := range allowed {
		role.Rules = append(role.Rules, p.Rules()...)
	}
	return role
}

// Gives reports whether the Role has all rules of the permission.
func Gives(role *rbacv1.Role, p v1alpha1.Permission) bool {
	for _, rule := range p.Rules() {
		if !slices.ContainsFunc(role.Rules, func(has rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(has, rule) }) {
			return false
		}
	}
	return true
}

// MutateRole sets on existing what this project owns of a Role.
func MutateRole(existing, desired *rbacv1.Role) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	existing.Rules = desired.Rules
}

// MakeRoleBinding gives the Role to the ServiceAccount that the agent runs as.
func MakeRoleBinding(a *v1alpha1.LambdaAgent) *rbacv1.RoleBinding {
	name := names.Permissions(a)
	return &rbacv1.RoleBinding{
		ObjectMeta: objectMeta(a, name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: a.Namespace, Name: ServiceAccountName(a)}},
	}
}

// MutateRoleBinding sets on existing who has the Role; which one it is cannot be
// changed.
func MutateRoleBinding(existing, desired *rbacv1.RoleBinding) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	existing.Subjects = desired.Subjects
}
