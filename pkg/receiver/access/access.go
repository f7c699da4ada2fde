// Package access tells who calls, and asks the API server what they may do. It
// takes what the API server itself takes: client certificates of the cluster's CA
// and bearer tokens, as a kubelet does for its own endpoints.
package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// The cluster's CA of client certificates, where the API server publishes it.
const (
	caNamespace = "kube-system"
	caConfigMap = "extension-apiserver-authentication"
	caKey       = "client-ca-file"
	caTTL       = time.Minute
)

// groupAuthenticated is the group of everybody who is known.
const groupAuthenticated = "system:authenticated"

// Resource by which RBAC says who may do what.
type Resource struct{ Of, Subresource string }

func (r Resource) String() string { return r.Of + "/" + r.Subresource }

var (
	// DeadLetters of functions: who may read (get), replay (update) and purge (delete)
	// them.
	DeadLetters = Resource{lambda.LambdaFunctionResource.Resource, "deadletters"}
	// AgentDeadLetters are those of agents, likewise.
	AgentDeadLetters = Resource{lambda.LambdaAgentResource.Resource, "deadletters"}
	// Approvals of agents: who may read (get) and decide (update) them.
	Approvals = Resource{lambda.LambdaAgentResource.Resource, "approvals"}
)

// unauthenticated is the error of a caller that is not known.
func unauthenticated(why string) error {
	return httpapi.Errorf(http.StatusUnauthorized, "Unauthenticated", "not authenticated: %s", why)
}

// checkNames returns an error unless both are DNS labels. RBAC must not be asked about
// other names: a function "agents.x" would have the dead letters of the agent x.
func checkNames(namespace, name string) error {
	for _, part := range [][2]string{{"namespace", namespace}, {"name", name}} {
		if len(validation.IsDNS1123Label(part[1])) > 0 {
			return httpapi.Errorf(http.StatusBadRequest, "InvalidData", "%s: expected a DNS label, got %q", part[0], part[1])
		}
	}
	return nil
}

// Reviewer asks the API server.
type Reviewer struct {
	kube kubernetes.Interface

	mu      sync.Mutex
	roots   *x509.CertPool
	fetched time.Time
}

// NewReviewer returns a Reviewer.
func NewReviewer(kube kubernetes.Interface) *Reviewer { return &Reviewer{kube: kube} }

// User tells who made a request.
func (r *Reviewer) User(req *http.Request) (*authenticationv1.UserInfo, error) {
	if token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok {
		return r.Token(req.Context(), strings.TrimSpace(token))
	}
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return nil, unauthenticated("send a bearer token or a client certificate that the cluster's API server takes")
	}
	roots, err := r.clientCA(req.Context())
	if err != nil {
		return nil, err
	}
	leaf, intermediates := req.TLS.PeerCertificates[0], x509.NewCertPool()
	for _, c := range req.TLS.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return nil, unauthenticated(err.Error())
	}
	if leaf.Subject.CommonName == "" {
		return nil, unauthenticated("the client certificate has no common name")
	}
	return &authenticationv1.UserInfo{Username: leaf.Subject.CommonName, Groups: append([]string{groupAuthenticated}, leaf.Subject.Organization...)}, nil
}

// Authorize returns who makes a request, if they may do this with what an owner has. The
// owner is that of the path's {namespace} and {name}.
func (r *Reviewer) Authorize(req *http.Request, resource Resource, verb string) (*authenticationv1.UserInfo, error) {
	user, err := r.User(req)
	if err != nil {
		return nil, err
	}
	return user, r.Allowed(req.Context(), user, resource, verb, req.PathValue("namespace"), req.PathValue("name"))
}

// Token tells whose a bearer token is, that was issued for one of the audiences;
// without one, for the API server.
func (r *Reviewer) Token(ctx context.Context, token string, audiences ...string) (*authenticationv1.UserInfo, error) {
	review, err := r.kube.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking whose the token is: %w", err)
	case !review.Status.Authenticated:
		return nil, unauthenticated("the API server does not take the token " + review.Status.Error)
	}
	return &review.Status.User, nil
}

// Allowed asks whether a user may do something with what a function or an agent of
// that name has. nil says yes. It is a bad request where no object can have the names.
func (r *Reviewer) Allowed(ctx context.Context, user *authenticationv1.UserInfo, resource Resource, verb, namespace, name string) error {
	if err := checkNames(namespace, name); err != nil {
		return err
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	review, err := r.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: lambda.GroupName, Version: "*", Resource: resource.Of, Subresource: resource.Subresource, Verb: verb, Namespace: namespace, Name: name,
			},
		},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return fmt.Errorf("asking what %q may do: %w", user.Username, err)
	case !review.Status.Allowed:
		text := fmt.Sprintf("user %q may not %s %s of %s/%s: %s", user.Username, verb, resource, namespace, name, review.Status.Reason)
		return httpapi.Errorf(http.StatusForbidden, "Forbidden", "%s", strings.TrimSuffix(text, ": "))
	}
	return nil
}

// clientCA is read again now and then, as clusters renew it.
func (r *Reviewer) clientCA(ctx context.Context) (*x509.CertPool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.roots != nil && time.Since(r.fetched) < caTTL {
		return r.roots, nil
	}
	cm, err := r.kube.CoreV1().ConfigMaps(caNamespace).Get(ctx, caConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the CA of client certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(cm.Data[caKey])) {
		return nil, errors.New("the cluster publishes no CA of client certificates: use a bearer token")
	}
	r.roots, r.fetched = roots, time.Now()
	return roots, nil
}
