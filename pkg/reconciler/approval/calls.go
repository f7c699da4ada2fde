package approval

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/async"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
)

const (
	// parallel calls are made at once, of them perNamespace for one namespace and
	// perHost to one server.
	parallel, perNamespace, perHost = 32, 4, 16
	// slackHost stands for the host of Slack's webhooks, whose URL is in a Secret.
	slackHost = "hooks.slack.com"
)

// calls are made in the background, so that no request waits for another's provider or
// broker: questions to providers, and deliveries of outcomes to brokers.
type calls = async.Poller[call, job, reply]

// call identifies one: a question to the provider, or without one the delivery of the
// request's outcome. Another host makes it another call, which is made at once.
type call struct {
	request  types.UID
	provider v1alpha1.ApprovalProvider
	host     string
}

// job is what a call needs: request and agent for a question, url and event for a
// delivery.
type job struct {
	request *v1alpha1.ApprovalRequest
	agent   *v1alpha1.LambdaAgent
	url     string
	event   *event.Event
}

// reply to a call; vote is nil unless the provider decided at once.
type reply struct {
	vote *approval.Vote
	err  error
}

// newCalls returns what makes calls while it runs. post sends an event to a broker.
func newCalls(a *asker, post func(ctx context.Context, url string, e *event.Event) error, c clock.WithTicker, enqueue func(types.NamespacedName), leads func(types.NamespacedName) bool) *calls {
	return async.New(async.Options[call, job, reply]{
		Name: "approvals", Clock: c, Parallel: parallel, PerNamespace: perNamespace, PerHost: perHost,
		Call: func(ctx context.Context, id call, jobs []job) reply {
			j := jobs[0] // a call belongs to one request
			if id.provider == "" {
				return reply{err: post(ctx, j.url, j.event)}
			}
			ctx, cancel := context.WithTimeout(ctx, j.request.Spec.Deadline.Sub(c.Now()))
			defer cancel()
			vote, err := a.ask(ctx, id.provider, j.request, j.agent)
			return reply{vote, err}
		},
		Host:   func(id call) string { return id.host },
		Failed: func(r reply) bool { return r.err != nil },
		Changed: func(_ job, before *reply, after reply) bool {
			return before == nil || after.err == nil || before.err == nil || before.err.Error() != after.err.Error()
		},
		Next: func(_ []job, r reply, failures int) (async.Then, time.Duration) {
			if r.err == nil {
				return async.Keep, 0
			}
			return async.Repeat, min(firstRetry<<min(failures-1, 10), maxRetry)
		},
		Enqueue: enqueue, Leads: leads,
	})
}

// askCall is the question to a provider.
func askCall(r *v1alpha1.ApprovalRequest, agent *v1alpha1.LambdaAgent, p v1alpha1.ApprovalProvider) call {
	id := call{request: r.UID, provider: p, host: slackHost}
	if spec := agent.Spec.Approval; p == v1alpha1.ApprovalByCustom && spec != nil && spec.Custom != nil {
		id.host = ""
		if u, err := url.Parse(spec.Custom.Endpoint); err == nil {
			id.host = strings.ToLower(u.Hostname())
		}
	}
	return id
}

// deliveryCall is the delivery of a request's outcome.
func deliveryCall(r *v1alpha1.ApprovalRequest, broker *apis.URL) call {
	return call{request: r.UID, host: broker.URL().Hostname()}
}
