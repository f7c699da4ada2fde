package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	typedlambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/typed/lambda/v1alpha1"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
)

// Retention is how long a request is kept after its outcome was told, so that an
// event that comes again is known, and people can see what was decided.
const Retention = time.Hour

// decider brings requests to an end. Every step is in the status before the next,
// written only if nobody else has written meanwhile: of two decisions the first
// stands, whoever makes them.
type decider struct {
	reconciler.LeaderAwareFuncs

	requests listers.ApprovalRequestLister
	agents   listers.LambdaAgentLister
	client   typedlambda.LambdaV1alpha1Interface
	calls    *calls
	recorder record.EventRecorder
	clock    clock.PassiveClock
	// after enqueues a request again.
	after func(types.NamespacedName, time.Duration)
}

var _ controller.Reconciler = (*decider)(nil)
var _ reconciler.LeaderAware = (*decider)(nil)

// errChanged says that somebody else has changed a request meanwhile.
var errChanged = errors.New("the request has changed")

// Reconcile implements controller.Reconciler.
func (d *decider) Reconcile(ctx context.Context, name string) error {
	namespace, object, err := cache.SplitMetaNamespaceKey(name)
	if err != nil {
		return controller.NewPermanentError(err)
	}
	key := types.NamespacedName{Namespace: namespace, Name: object}
	if !d.IsLeaderFor(key) {
		return controller.NewSkipKey(name)
	}
	r, agent, err := d.load(key)
	if err != nil {
		return err
	}
	if r == nil {
		d.calls.Forget(key)
		return nil
	}
	switch {
	case r.Status.Decision == "":
		err = d.wait(ctx, r, agent)
	case r.Status.ToldTime == nil:
		err = d.tell(ctx, r, agent)
	default:
		d.calls.Forget(key)
		err = d.forget(ctx, r)
	}
	if errors.Is(err, errChanged) {
		return nil // its newer version is enqueued when it comes
	}
	return err
}

// load a copy of a request and its agent; nil where there is nothing to do for it: it is
// deleted, or goes with its agent.
func (d *decider) load(key types.NamespacedName) (*v1alpha1.ApprovalRequest, *v1alpha1.LambdaAgent, error) {
	r, err := d.requests.ApprovalRequests(key.Namespace).Get(key.Name)
	if err != nil {
		return nil, nil, ignoreNotFound(err)
	}
	agent, err := d.agents.LambdaAgents(key.Namespace).Get(r.Spec.Agent)
	if err != nil {
		return nil, nil, ignoreNotFound(err)
	}
	if r.DeletionTimestamp != nil || !owned(r, agent) {
		return nil, nil, nil
	}
	return r.DeepCopy(), agent, nil
}

func ignoreNotFound(err error) error {
	if apierrs.IsNotFound(err) {
		return nil
	}
	return err
}

func owned(r *v1alpha1.ApprovalRequest, agent *v1alpha1.LambdaAgent) bool {
	return slices.ContainsFunc(r.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == agent.UID })
}

// expire decides a request whose deadline has passed.
func (d *decider) expire(ctx context.Context, r *v1alpha1.ApprovalRequest) error {
	decision := v1alpha1.ApprovalDenied
	if r.Spec.TimeoutAction == v1alpha1.ApprovalTimeoutApprove {
		decision = v1alpha1.ApprovalGranted
	}
	approval.Decide(r, decision, approval.ByTimeout, "no decision before the timeout", d.clock.Now())
	_, err := d.write(ctx, r)
	return err
}

// wait for a decision: have the providers asked in the background, and record what came
// of it. A provider that fails is asked again in the background, too.
func (d *decider) wait(ctx context.Context, r *v1alpha1.ApprovalRequest, agent *v1alpha1.LambdaAgent) error {
	if !d.clock.Now().Before(r.Spec.Deadline.Time) {
		return d.expire(ctx, r) // deadlines does so as well: whichever comes first
	}
	key := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
	var open []call
	for _, p := range r.Spec.Providers {
		if !asked(r, p) {
			open = append(open, askCall(r, agent, p))
		}
	}
	d.calls.Retain(key, open...)
	question := job{request: r.DeepCopy(), agent: agent}
	for _, id := range open {
		if r.Status.Decision != "" {
			break
		}
		p := id.provider
		got, ok := d.calls.Check(key, id, question)
		if !ok {
			continue
		}
		first := len(r.Status.Notices) == 0
		before := r.DeepCopy()
		if err := d.note(r, p, got.vote, got.err); err != nil && got.err == nil {
			d.calls.Again(id, firstRetry) // its vote cannot be counted
		}
		if equality.Semantic.DeepEqual(r.Status, before.Status) {
			continue // the same error as the last time
		}
		if first {
			d.recorder.Eventf(agent, corev1.EventTypeNormal, "ApprovalRequested", "Asked for approval of %q, request %q", r.Spec.Action, r.Spec.ID)
		}
		var err error
		if r, err = d.write(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// asked tells whether a provider has taken the question.
func asked(r *v1alpha1.ApprovalRequest, p v1alpha1.ApprovalProvider) bool {
	return slices.ContainsFunc(r.Status.Notices, func(n v1alpha1.ApprovalNotice) bool { return n.Provider == p && n.Time != nil })
}

// note what came of asking a provider, and its decision where it gave one at once.
func (d *decider) note(r *v1alpha1.ApprovalRequest, p v1alpha1.ApprovalProvider, vote *approval.Vote, err error) error {
	n := v1alpha1.ApprovalNotice{Provider: p}
	if err == nil && vote != nil {
		err = approval.Cast(r, *vote, d.clock.Now())
	}
	if err != nil {
		n.Error = approval.Shorten(err.Error())
		err = fmt.Errorf("asking provider %s: %w", p, err)
	} else {
		now := metav1.NewTime(d.clock.Now().Truncate(time.Second))
		n.Time = &now
	}
	if i := slices.IndexFunc(r.Status.Notices, func(was v1alpha1.ApprovalNotice) bool { return was.Provider == p }); i >= 0 {
		r.Status.Notices[i] = n
	} else {
		r.Status.Notices = append(r.Status.Notices, n)
	}
	return err
}

// tell has the outcome delivered to the agent's broker in the background, until the
// broker has accepted it, and records that.
func (d *decider) tell(ctx context.Context, r *v1alpha1.ApprovalRequest, agent *v1alpha1.LambdaAgent) error {
	if agent.Status.Broker == nil || agent.Status.Broker.URL == nil {
		return fmt.Errorf("the broker of agent %s/%s has no address yet", agent.Namespace, agent.Name)
	}
	e, err := approval.Event(r.Namespace, r.Spec.Agent, approval.Outcome(r), r.Spec.Hops, r.Status.DecidedTime.Time)
	if err != nil {
		return controller.NewPermanentError(err)
	}
	key, id := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, deliveryCall(r, agent.Status.Broker.URL)
	d.calls.Retain(key, id)
	got, ok := d.calls.Check(key, id, job{url: agent.Status.Broker.URL.String(), event: e})
	switch {
	case !ok:
		return nil // it is enqueued when the delivery has ended
	case got.err != nil:
		logging.FromContext(ctx).Warnw("The agent's broker did not accept the outcome of an approval; it is retried", "agent", agent.Namespace+"/"+agent.Name, "error", got.err)
		return nil //nolint:nilerr // logged above; async repeats the call after its backoff
	}
	now := metav1.NewTime(d.clock.Now().Truncate(time.Second))
	r.Status.ToldTime = &now
	if _, err := d.write(ctx, r); err != nil {
		return err
	}
	reason := map[v1alpha1.ApprovalDecision]string{v1alpha1.ApprovalGranted: "ApprovalGranted", v1alpha1.ApprovalDenied: "ApprovalDenied"}[r.Status.Decision]
	d.recorder.Eventf(agent, corev1.EventTypeNormal, reason, "%q, request %q, was %s by %s", r.Spec.Action, r.Spec.ID, r.Status.Decision, r.Status.DecidedBy)
	return nil
}

// forget removes a request when nothing asks for it any more.
func (d *decider) forget(ctx context.Context, r *v1alpha1.ApprovalRequest) error {
	if left := r.Status.ToldTime.Add(Retention).Sub(d.clock.Now()); left > 0 {
		d.after(types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, left)
		return nil
	}
	uid := r.UID
	return changed(d.client.ApprovalRequests(r.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}))
}

func (d *decider) write(ctx context.Context, r *v1alpha1.ApprovalRequest) (*v1alpha1.ApprovalRequest, error) {
	written, err := d.client.ApprovalRequests(r.Namespace).UpdateStatus(ctx, r, metav1.UpdateOptions{})
	return written, changed(err)
}

func changed(err error) error {
	if apierrs.IsConflict(err) || apierrs.IsNotFound(err) {
		return errChanged
	}
	return err
}
