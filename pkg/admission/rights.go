// Package admission holds what the webhook checks beyond the objects themselves: which
// rights users have, and what only the operator may write.
package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// parallel is the number of concurrent access reviews of one admission.
const parallel = 8

// rights asks the API server what users may do.
type rights struct{ kube kubernetes.Interface }

// missing returns the verbs and resources of a permission that the user may not use in
// the namespace, for a message. It returns an error if the API server does not answer.
func (r rights) missing(ctx context.Context, user *authenticationv1.UserInfo, namespace string, permission v1alpha1.Permission) ([]string, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	var verbs []*[]string
	var resources []string
	for _, rule := range permission.Rules() {
		for _, resource := range rule.Resources {
			lacks := make([]string, len(rule.Verbs))
			verbs, resources = append(verbs, &lacks), append(resources, resource+"."+rule.APIGroups[0])
			for i, verb := range rule.Verbs {
				group.Go(func() error {
					review, err := r.kube.AuthorizationV1().SubjectAccessReviews().Create(asking, &authorizationv1.SubjectAccessReview{
						Spec: authorizationv1.SubjectAccessReviewSpec{
							User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
							ResourceAttributes: &authorizationv1.ResourceAttributes{Group: rule.APIGroups[0], Version: "*", Resource: resource, Verb: verb, Namespace: namespace},
						},
					}, metav1.CreateOptions{})
					if err != nil {
						return fmt.Errorf("reviewing the access of user %q: %w", user.Username, err)
					}
					if !review.Status.Allowed {
						lacks[i] = verb
					}
					return nil
				})
			}
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []string
	for i := range resources {
		if lacks := slices.DeleteFunc(*verbs[i], func(v string) bool { return v == "" }); len(lacks) > 0 {
			missing = append(missing, strings.Join(lacks, ", ")+" "+resources[i])
		}
	}
	return missing, nil
}
