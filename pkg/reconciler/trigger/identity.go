package trigger

import (
	"context"
	"fmt"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	"knative.dev/eventing/pkg/auth"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/system"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/plane"
)

// ReasonNoTokens says that the event plane may not make tokens of the Trigger's ServiceAccount.
const ReasonNoTokens = "TokensNotAllowed"

// rightsTTL is how long an answer about the rights of the event plane counts.
const rightsTTL = time.Minute

// identities are the ServiceAccounts of Triggers, where Knative's feature asks for them.
type identities interface {
	ensure(context.Context, *eventingv1.Trigger) error
}

// serviceAccounts makes the ServiceAccounts of Triggers.
type serviceAccounts struct {
	kube   kubernetes.Interface
	lister corev1listers.ServiceAccountLister
	clock  clock.PassiveClock

	mu      sync.Mutex
	checked time.Time
	allowed bool
}

var _ identities = (*serviceAccounts)(nil)

func (s *serviceAccounts) ensure(ctx context.Context, t *eventingv1.Trigger) error {
	flags := feature.FromContextOrDefaults(ctx)
	kind := eventingv1.SchemeGroupVersion.WithKind("Trigger")
	err := auth.SetupOIDCServiceAccount(ctx, flags, s.lister, s.kube, kind, t.ObjectMeta, &t.Status, func(as *duckv1.AuthStatus) { t.Status.Auth = as })
	if err != nil || !flags.IsOIDCAuthentication() {
		return err
	}
	allowed, err := s.tokens(ctx)
	if err == nil && !allowed {
		t.Status.MarkOIDCIdentityCreatedFailed(ReasonNoTokens,
			"ServiceAccount %s/%s may not create tokens of ServiceAccounts: install the overlay of the feature authentication-oidc.", system.Namespace(), plane.Service)
	}
	return err
}

// tokens says whether the event plane may make tokens. That right is that to act as any
// ServiceAccount of the cluster, so it is not installed by default.
func (s *serviceAccounts) tokens(ctx context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.checked.IsZero() && s.clock.Since(s.checked) < rightsTTL {
		return s.allowed, nil
	}
	review, err := s.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + system.Namespace() + ":" + plane.Service,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "serviceaccounts", Subresource: "token"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("failed to find out whether the event plane may create tokens: %w", err)
	}
	s.checked, s.allowed = s.clock.Now(), review.Status.Allowed
	return s.allowed, nil
}
