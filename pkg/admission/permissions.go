package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/grant"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// agent verifies that the user holds the permissions that the agent gains by the change:
// those that the old spec did not give to the same ServiceAccount, whatever is withdrawn
// at the moment, and those that the user restores. Then it signs all of them.
//
// Permissions that the old spec gives without a proof do not make a change fail. They are
// signed if the user holds them, and stay without a proof if not.
func (m *Mutation) agent(ctx context.Context, c *change) error {
	old, now, err := c.agents()
	if err != nil {
		return err
	}
	restored, err := m.record(c, old, now)
	if err != nil {
		return err
	}
	granted := now.Spec.Permissions.Granted()
	if len(granted) == 0 {
		c.write(lambda.VerifiedAnnotationKey, "")
		return nil
	}
	if now.DeletionTimestamp != nil {
		c.write(lambda.VerifiedAnnotationKey, annotation(c.old, lambda.VerifiedAnnotationKey))
		return nil
	}
	proof, proven := grant.Proof{}, false
	if old != nil {
		proof, proven = grant.Verify(m.Keys.Newest(), old)
	}
	had := givenBefore(old, now)
	signed, missing := true, []string(nil)
	for _, p := range granted {
		gained := !slices.Contains(had, p) || slices.Contains(restored, p)
		if !gained && proven {
			continue
		}
		lacks, err := m.lacks(ctx, c, now.Namespace, p)
		if err != nil {
			return err
		}
		if len(lacks) == 0 {
			continue
		}
		if gained {
			return m.refused(c, now, p, lacks, slices.Contains(restored, p))
		}
		signed, missing = false, append(missing, string(p))
	}
	if !signed {
		c.write(lambda.VerifiedAnnotationKey, "")
		c.warnings = append(c.warnings, fmt.Sprintf("spec.permissions: user %q does not hold the permissions %s, and no user who holds them has written the agent: the agent gains none of them", c.request.UserInfo.Username, strings.Join(missing, ", ")))
		return nil
	}
	m.prove(c, old, now, proof, proven)
	return nil
}

// givenBefore are the permissions that the old spec gives to the same ServiceAccount.
func givenBefore(old, now *v1alpha1.LambdaAgent) []v1alpha1.Permission {
	if old == nil || old.Spec.ServiceAccountName != now.Spec.ServiceAccountName {
		return nil
	}
	return old.Spec.Permissions.Granted()
}

// lacks returns what the user of the change may not do of a permission. The operator's
// own users give nothing: the controller holds all, and must not vouch for what another
// user wrote where admission did not see it.
func (m *Mutation) lacks(ctx context.Context, c *change, namespace string, p v1alpha1.Permission) ([]string, error) {
	user := &c.request.UserInfo
	if user.Username == m.Controller || user.Username == m.Receiver {
		return []string{"anything"}, nil
	}
	return rights{m.Kube}.missing(ctx, user, namespace, p)
}

func (m *Mutation) refused(c *change, now *v1alpha1.LambdaAgent, p v1alpha1.Permission, lacks []string, restored bool) error {
	user := c.request.UserInfo.Username
	if restored {
		return fmt.Errorf("metadata.annotations[%s]: restores the right to %s in namespace %q, which user %q does not hold: leave %s out, or ask a user who holds it",
			lambda.RestoreAnnotationKey, strings.Join(lacks, ", "), now.Namespace, user, p)
	}
	return fmt.Errorf("spec.permissions.%s: false gives the agent the right to %s in namespace %q, which user %q does not hold: set it to true, or ask a user who holds it",
		p.Field(), strings.Join(lacks, ", "), now.Namespace, user)
}

// prove writes the proof for the agent as it will be stored, or keeps one that holds for
// that already.
func (m *Mutation) prove(c *change, old, now *v1alpha1.LambdaAgent, proof grant.Proof, proven bool) {
	keys, at := m.Keys.Newest(), m.Now().Truncate(time.Second)
	if now.Annotations == nil {
		now.Annotations = map[string]string{}
	}
	if text, ok := c.set[lambda.WithdrawnAnnotationKey]; ok {
		now.Annotations[lambda.WithdrawnAnnotationKey] = text
	}
	if old == nil {
		c.write(lambda.VerifiedAnnotationKey, grant.Sign(keys, now, "", 1, at))
		return
	}
	now.Annotations[lambda.VerifiedAnnotationKey] = old.Annotations[lambda.VerifiedAnnotationKey]
	now.Generation, now.UID, now.CreationTimestamp, now.Status = c.generation(old.Generation), old.UID, old.CreationTimestamp, old.Status
	if kept, ok := grant.Verify(keys, now); ok {
		text, _ := grant.Renew(keys, now, kept)
		c.write(lambda.VerifiedAnnotationKey, text)
		return
	}
	// A proof is never older than the one before it, whatever the clocks of replicas say.
	if proven && proof.Time.After(at) {
		at = proof.Time
	}
	if s := old.Status.Permissions; s != nil && s.VerifiedTime != nil && s.VerifiedTime.After(at) {
		at = s.VerifiedTime.Time
	}
	c.write(lambda.VerifiedAnnotationKey, grant.Sign(keys, now, old.UID, now.Generation, at))
}

// Check is a callback of validation. It refuses an agent that gains permissions without
// a proof: another admission webhook has changed it after Mutation.
func Check(keys *keyring.Store[keyring.Keyring]) func(context.Context, *unstructured.Unstructured) error {
	return func(ctx context.Context, o *unstructured.Unstructured) error {
		if apis.GetUserInfo(ctx) == nil || apis.IsInStatusUpdate(ctx) || apis.IsInDelete(ctx) || o.GetDeletionTimestamp() != nil {
			return nil
		}
		now := &v1alpha1.LambdaAgent{}
		data, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, now); err != nil {
			return err
		}
		old, _ := apis.GetBaseline(ctx).(*v1alpha1.LambdaAgent)
		had := givenBefore(old, now)
		gains := slices.ContainsFunc(now.Spec.Permissions.Granted(), func(p v1alpha1.Permission) bool { return !slices.Contains(had, p) })
		if !gains {
			return nil
		}
		if now.CreationTimestamp.IsZero() { // the API server sets it before validation, older ones after
			return nil
		}
		if _, ok := grant.Verify(keys.Newest(), now); !ok {
			return fmt.Errorf("spec.permissions: gives the agent permissions that the webhook webhook.lambda.knative.io has not verified: another admission webhook changes spec.permissions or spec.serviceAccountName: exclude LambdaAgents from it")
		}
		return nil
	}
}
