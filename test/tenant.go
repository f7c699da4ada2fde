package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"knative.dev/pkg/ptr"
)

// tokenSeconds is how long the token of a tenant is valid.
const tokenSeconds = 3600

// Tenant is a user of the cluster who has rights in one namespace and nowhere else.
// Its clients authenticate with its own token.
type Tenant struct {
	*Clients
	// Namespace in which the tenant has rights, and User, its name for the API server.
	Namespace, User string
	// Token authenticates the tenant, and Kubeconfig is the path of a file with it.
	Token, Kubeconfig string
}

// Tenant makes a namespace and a ServiceAccount that has the aggregated ClusterRole
// edit there. Both are deleted after the test. The name is part of the namespace's.
func (c *Clients) Tenant(ctx context.Context, t *testing.T, name string) *Tenant {
	t.Helper()
	namespace := c.namespace(ctx, t, "tenant-"+name+"-")
	return c.tenant(ctx, t, namespace, "tenant", rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		authorizationv1.ResourceAttributes{Group: "lambda.knative.io", Resource: "lambdafunctions", Verb: "create"})
}

// TenantWith makes a ServiceAccount of that name in a namespace that exists, with these
// rights and no others.
func (c *Clients) TenantWith(ctx context.Context, t *testing.T, namespace, name string, rules ...rbacv1.PolicyRule) *Tenant {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	if _, err := c.Kube.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	first := rules[0]
	return c.tenant(ctx, t, namespace, name, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		authorizationv1.ResourceAttributes{Group: first.APIGroups[0], Resource: first.Resources[0], Verb: first.Verbs[0]})
}

// tenant makes a ServiceAccount with a role, and waits until it has the right.
func (c *Clients) tenant(ctx context.Context, t *testing.T, namespace, name string, role rbacv1.RoleRef, right authorizationv1.ResourceAttributes) *Tenant {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	accounts := c.Kube.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kube.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: role, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	issued, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.Int64(tokenSeconds)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(c.Config)
	cfg.BearerToken = issued.Status.Token
	own, err := newClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tenant := &Tenant{Clients: own, Namespace: namespace, User: "system:serviceaccount:" + namespace + ":" + name, Token: issued.Status.Token,
		Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := clientcmd.WriteToFile(*tenant.kubeconfig(), tenant.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	tenant.awaitRight(ctx, t, right)
	return tenant
}

// kubeconfig of the tenant, with its namespace as the default.
func (a *Tenant) kubeconfig() *clientcmdapi.Config {
	const name = "tenant"
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{
		Server: a.Config.Host, CertificateAuthority: a.Config.CAFile, CertificateAuthorityData: a.Config.CAData, TLSServerName: a.Config.ServerName,
	}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: a.Token}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: a.Namespace}
	file.CurrentContext = name
	return file
}

// awaitRight waits until the API server's authorizer has seen the tenant's binding.
func (a *Tenant) awaitRight(ctx context.Context, t *testing.T, right authorizationv1.ResourceAttributes) {
	t.Helper()
	right.Namespace = a.Namespace
	err := wait.PollUntilContextTimeout(ctx, retryInterval, time.Minute, true, func(ctx context.Context) (bool, error) {
		review, err := a.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right},
		}, metav1.CreateOptions{})
		return err == nil && review.Status.Allowed, err
	})
	if err != nil {
		t.Fatalf("%s may not %s %s in its own namespace: %v", a.User, right.Verb, right.Resource, err)
	}
}

// Kubectl runs kubectl as the tenant, with that text as its standard input, and returns
// what it printed.
func (a *Tenant) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+a.Kubeconfig)
	cmd.Stdin = bytes.NewBufferString(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
