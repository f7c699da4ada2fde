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

// UnauthenticatedError says that it is not known who calls.
type UnauthenticatedError struct{ Why string }

func (e *UnauthenticatedError) Error() string { return "not authenticated: " + e.Why }

// ForbiddenError says that somebody may not do what they ask for.
type ForbiddenError struct {
	Resource                         Resource
	User, Verb, Namespace, Name, Why string
}

func (e *ForbiddenError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("user %q may not %s %s of %s/%s: %s", e.User, e.Verb, e.Resource, e.Namespace, e.Name, e.Why), ": ")
}

// InvalidNameError says that a path names no namespace, function or agent. RBAC must not
// be asked about such a name: a function "agents.x" would have the dead letters of the
// agent x.
type InvalidNameError struct{ Field, Value string }

func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("%s: expected a DNS label, got %q", e.Field, e.Value)
}

// checkNames returns an *InvalidNameError unless both are DNS labels.
func checkNames(namespace, name string) error {
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return &InvalidNameError{"namespace", namespace}
	}
	if len(validation.IsDNS1123Label(name)) > 0 {
		return &InvalidNameError{"name", name}
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
		return nil, &UnauthenticatedError{"send a bearer token or a client certificate that the cluster's API server takes"}
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
		return nil, &UnauthenticatedError{err.Error()}
	}
	if leaf.Subject.CommonName == "" {
		return nil, &UnauthenticatedError{"the client certificate has no common name"}
	}
	return &authenticationv1.UserInfo{Username: leaf.Subject.CommonName, Groups: append([]string{groupAuthenticated}, leaf.Subject.Organization...)}, nil
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
		return nil, &UnauthenticatedError{"the API server does not take the token " + review.Status.Error}
	}
	return &review.Status.User, nil
}

// Allowed asks whether a user may do something with what a function or an agent of
// that name has. nil says yes. It is an *InvalidNameError where no object can have the
// names.
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
		return &ForbiddenError{resource, user.Username, verb, namespace, name, review.Status.Reason}
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
