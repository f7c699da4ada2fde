// Package admission holds what the webhook asks the API server before it lets a
// change in.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// parallel questions to the API server for one admission.
const parallel = 8

// Permissions lets nobody give an agent a right that they do not have: the operator
// has them all, and would give them for everybody who may write an agent.
type Permissions struct {
	Kube kubernetes.Interface
	// Receiver is the user as which the receiver notes what events withdrew and gave
	// back. It may change nothing else.
	Receiver string
	// Now is the time.
	Now func() time.Time
}

// Check is a callback of validation. It looks only at what an agent gains: permissions
// that it did not have, those that somebody gives back by taking them off the record
// of what is withdrawn, and all where they go to another ServiceAccount.
func (p *Permissions) Check(ctx context.Context, o *unstructured.Unstructured) error {
	user := apis.GetUserInfo(ctx)
	if user == nil || apis.IsInStatusUpdate(ctx) || apis.IsInDelete(ctx) {
		return nil
	}
	// By way of JSON: what converts without does not know the types that read themselves.
	agent := &v1alpha1.LambdaAgent{}
	data, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, agent); err != nil {
		return err
	}
	old, _ := apis.GetBaseline(ctx).(*v1alpha1.LambdaAgent)
	if user.Username == p.Receiver {
		return onlyWithdrawals(agent, old)
	}
	allowed, _ := agent.PermissionsAt(p.Now())
	if old != nil && old.Spec.ServiceAccountName == agent.Spec.ServiceAccountName {
		had, _ := old.PermissionsAt(p.Now())
		allowed = slices.DeleteFunc(allowed, func(g v1alpha1.Permission) bool { return slices.Contains(had, g) })
	}
	for _, gained := range allowed {
		missing, err := p.missing(ctx, user, agent.Namespace, gained)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("spec.permissions.%s: false gives the agent the right to %s in namespace %q, which user %q has not: nobody can give what they do not have; set it to true, or ask somebody who has it",
				gained.Field(), strings.Join(missing, ", "), agent.Namespace, user.Username)
		}
	}
	return nil
}

// onlyWithdrawals: the receiver carries out what events say that anybody may send. It
// cannot be made to change what an agent is.
func onlyWithdrawals(agent, old *v1alpha1.LambdaAgent) error {
	if old == nil || !equality.Semantic.DeepEqual(old.Spec, agent.Spec) {
		return errors.New("the receiver may note what events withdrew and gave back, and change nothing else of an agent")
	}
	return nil
}

// missing are the rights of a permission that a user does not have, for a person.
func (p *Permissions) missing(ctx context.Context, user *authenticationv1.UserInfo, namespace string, permission v1alpha1.Permission) ([]string, error) {
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
					review, err := p.Kube.AuthorizationV1().SubjectAccessReviews().Create(asking, &authorizationv1.SubjectAccessReview{
						Spec: authorizationv1.SubjectAccessReviewSpec{
							User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
							ResourceAttributes: &authorizationv1.ResourceAttributes{Group: rule.APIGroups[0], Version: "*", Resource: resource, Verb: verb, Namespace: namespace},
						},
					}, metav1.CreateOptions{})
					if err != nil {
						return fmt.Errorf("asking what user %q may do: %w", user.Username, err)
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
