// Package approval is what receiver and controller both know of approvals: how a
// request is named, what deciding it means, and the event that tells the outcome.
package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// MaxData bounds the data of a request, in bytes.
	MaxData = 64 << 10
	// MaxReason bounds what is kept of a reason, in characters, as the others do.
	MaxReason = 1024
	// MaxID bounds the id of a request.
	MaxID = 256
	// MaxAction bounds what a request says that it is.
	MaxAction = 1024
)

const (
	// ByTimeout is who decides where nobody did in time.
	ByTimeout = "timeout"
	// ByCustom is the custom provider, where its endpoint decides at once.
	ByCustom = "custom provider"
	// ByReceiver is who denies what cannot be asked.
	ByReceiver = "receiver"
)

// Name of the ApprovalRequest of an agent's event. An agent that was deleted and made
// anew asks anew.
func Name(agent *v1alpha1.LambdaAgent, id string) string {
	sum := sha256.Sum256([]byte(string(agent.UID) + "\x00" + id))
	return kmeta.ChildName(agent.Name, "-"+hex.EncodeToString(sum[:8]))
}

// New makes the request of an agent as its approval asks for it now.
func New(agent *v1alpha1.LambdaAgent, id string, asked *events.ApprovalRequest, data []byte, hops int32, now time.Time) *v1alpha1.ApprovalRequest {
	a := agent.Spec.Approval.Effective()
	return &v1alpha1.ApprovalRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: agent.Namespace, Name: Name(agent, id),
			Labels: map[string]string{lambda.ManagedByLabelKey: lambda.ManagedBy, lambda.AgentLabelKey: agent.Name},
			// Without blockOwnerDeletion, which would take a right on the agent.
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: agent.GetGroupVersionKind().Kind, Name: agent.Name, UID: agent.UID,
			}},
		},
		Spec: v1alpha1.ApprovalRequestSpec{
			Agent: agent.Name, ID: id, Action: asked.Action, Data: string(data), Hops: hops,
			Providers: a.Providers, RequireAll: a.RequireAll, TimeoutAction: a.TimeoutAction,
			Deadline: metav1.NewTime(now.Add(a.Timeout.Value() + time.Second - 1).Truncate(time.Second)), // the API has seconds
		},
	}
}

// Vote is what somebody says of a request.
type Vote struct {
	Decision v1alpha1.ApprovalDecision
	// Provider for which it is said; empty is the first of the request's that has not
	// consented.
	Provider v1alpha1.ApprovalProvider
	By       string
	Reason   string
}

// ErrVote says that a vote cannot be taken.
var ErrVote = errors.New("the decision cannot be taken")

// DecidedError says that a request has been decided already.
type DecidedError struct {
	Decision v1alpha1.ApprovalDecision
	By       string
}

func (e *DecidedError) Error() string {
	return fmt.Sprintf("the request was %s before, by %s", e.Decision, e.By)
}

// Cast takes a vote into the request's status. The first decision stands; a denial
// is one, and a consent where one is enough or all have consented. Whoever writes
// the status must do so only if nobody else has meanwhile.
func Cast(r *v1alpha1.ApprovalRequest, v Vote, now time.Time) error {
	s := &r.Status
	if s.Decision != "" {
		return &DecidedError{s.Decision, s.DecidedBy}
	}
	if !now.Before(r.Spec.Deadline.Time) {
		return fmt.Errorf("%w: the request's time was over at %s", ErrVote, r.Spec.Deadline.UTC().Format(time.RFC3339))
	}
	if v.Provider != "" && !slices.Contains(r.Spec.Providers, v.Provider) {
		return fmt.Errorf("%w: provider %q is not asked; asked are %v", ErrVote, v.Provider, r.Spec.Providers)
	}
	if v.Decision == v1alpha1.ApprovalDenied || !r.Spec.RequireAll {
		Decide(r, v.Decision, v.By, v.Reason, now)
		return nil
	}
	return consent(r, v, now)
}

// consent notes one of several consents that are needed.
func consent(r *v1alpha1.ApprovalRequest, v Vote, now time.Time) error {
	s := &r.Status
	given := func(p v1alpha1.ApprovalProvider) bool {
		return slices.ContainsFunc(s.Consents, func(c v1alpha1.ApprovalConsent) bool { return c.Provider == p })
	}
	if v.Provider == "" {
		v.Provider = r.Spec.Providers[max(0, slices.IndexFunc(r.Spec.Providers, func(p v1alpha1.ApprovalProvider) bool { return !given(p) }))]
	}
	for _, c := range s.Consents {
		switch {
		case c.Provider == v.Provider && c.By == v.By:
			return nil // said again
		case c.Provider == v.Provider:
			return fmt.Errorf("%w: %s has consented for provider %s before", ErrVote, c.By, c.Provider)
		case c.By == v.By:
			return fmt.Errorf("%w: %s has consented for provider %s; somebody else has to for %s", ErrVote, c.By, c.Provider, v.Provider)
		}
	}
	s.Consents = append(s.Consents, v1alpha1.ApprovalConsent{Provider: v.Provider, By: v.By, Time: metav1.NewTime(now.Truncate(time.Second))})
	if len(s.Consents) == len(r.Spec.Providers) {
		Decide(r, v1alpha1.ApprovalGranted, v.By, v.Reason, now)
	}
	return nil
}

// Decide notes the decision.
func Decide(r *v1alpha1.ApprovalRequest, d v1alpha1.ApprovalDecision, by, reason string, now time.Time) {
	at := metav1.NewTime(now.Truncate(time.Second))
	r.Status.Decision, r.Status.DecidedBy, r.Status.Reason, r.Status.DecidedTime = d, by, Shorten(reason), &at
}

// Shorten a reason to what is kept of it.
func Shorten(reason string) string {
	if runes := []rune(reason); len(runes) > MaxReason {
		return string(runes[:MaxReason-1]) + "…"
	}
	return reason
}

// Outcome is what the agent is told of a request that was decided.
func Outcome(r *v1alpha1.ApprovalRequest) *events.ApprovalOutcome {
	sum := sha256.Sum256([]byte(r.Spec.Data))
	o := &events.ApprovalOutcome{
		Request: r.Spec.ID, Action: r.Spec.Action, Digest: hex.EncodeToString(sum[:]),
		Decision: string(r.Status.Decision), DecidedBy: r.Status.DecidedBy, Reason: r.Status.Reason,
	}
	if t := r.Status.DecidedTime; t != nil {
		o.Time = t.UTC().Format(time.RFC3339)
	}
	return o
}

// Event tells an outcome, the same each time it is made.
func Event(namespace, agent string, o *events.ApprovalOutcome, hops int32, now time.Time) (*event.Event, error) {
	e := event.New()
	e.SetType(events.ApprovalDenied)
	if o.Decision == string(v1alpha1.ApprovalGranted) {
		e.SetType(events.ApprovalGranted)
	}
	sum := sha256.Sum256([]byte(namespace + "\x00" + agent + "\x00" + o.Request + "\x00" + o.Time + "\x00" + o.Decision))
	e.SetID(hex.EncodeToString(sum[:16]))
	e.SetSource(events.Source("receiver", namespace, agent))
	e.SetSubject(namespace + "/" + agent)
	e.SetTime(now.UTC())
	e.SetExtension(events.CausationExtension, o.Request)
	e.SetExtension(events.HopsExtension, hops+1)
	return &e, e.SetData(event.ApplicationJSON, o)
}
