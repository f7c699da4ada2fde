package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// maxAudits that wait for the sink. What comes on top is only logged.
const maxAudits = 1000

// audits tell who looked at or changed dead letters, decided approvals, and changed
// permissions: always in the log, and to the
// lifecycle sink where there is one.
type audits struct {
	client    *http.Client
	config    func() *config.Events
	functions functions
	agents    agentCache
	waiting   chan *event.Event
}

func newAudits(client *http.Client, cfg func() *config.Events, f functions, agents agentCache) *audits {
	return &audits{client, cfg, f, agents, make(chan *event.Event, maxAudits)}
}

// tell who looked at or changed the dead letters of a function or an agent.
func (a *audits) tell(ctx context.Context, user, action string, owner deadletter.Owner) {
	object := events.Object{Kind: "LambdaFunction", Namespace: owner.Namespace, Name: owner.Name}
	if owner.Kind == deadletter.KindAgent {
		object.Kind = "LambdaAgent"
		if agent, err := a.agents.Get(owner.NamespacedName); err == nil {
			object = objectOf(agent)
		}
	} else if f, err := a.functions.Get(owner.NamespacedName); err == nil {
		object.UID, object.Generation = string(f.UID), f.Generation
	}
	a.send(ctx, events.NotificationAuditAccess, "dead letters", user, action, object)
}

// changed tells which event changed the permissions of an agent, by its source.
func (a *audits) changed(ctx context.Context, source, action string, agent *v1alpha1.LambdaAgent) {
	a.send(ctx, events.NotificationAuditChange, "permissions", source, action, objectOf(agent))
}

// decided tells who decided an approval of an agent.
func (a *audits) decided(ctx context.Context, user, action string, agent *v1alpha1.LambdaAgent) {
	a.send(ctx, events.NotificationAuditAccess, "approval", user, action, objectOf(agent))
}

func objectOf(agent *v1alpha1.LambdaAgent) events.Object {
	return events.Object{Kind: "LambdaAgent", Namespace: agent.Namespace, Name: agent.Name, UID: string(agent.UID), Generation: agent.Generation}
}

func (a *audits) send(ctx context.Context, eventType, about, actor, action string, object events.Object) {
	subject := object.Namespace + "/" + object.Name
	slog.InfoContext(ctx, about, "action", action, "by", actor, "kind", object.Kind, "of", subject)
	if a.config().LifecycleSink == "" {
		return
	}
	now := time.Now().UTC()
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetType(eventType)
	e.SetSource(events.Source("receiver", object.Namespace, object.Name))
	e.SetSubject(subject)
	e.SetTime(now)
	if err := e.SetData(event.ApplicationJSON, events.Audit{Object: object, Action: action, Actor: actor, Time: now.Format(time.RFC3339)}); err != nil {
		slog.ErrorContext(ctx, "an audit event could not be made", "error", err)
		return
	}
	select {
	case a.waiting <- &e:
	default:
		slog.WarnContext(ctx, "too many audit events wait for the lifecycle sink: this one is only logged")
	}
}

func (a *audits) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-a.waiting:
			url := a.config().LifecycleSink
			if url == "" {
				continue
			}
			if err := sink.Deliver(ctx, a.client, url, e); err != nil {
				slog.WarnContext(ctx, "the lifecycle sink did not take an audit event", "sink", url, "error", err)
			}
		}
	}
}
