package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events/sink"
)

// maxAudits that wait for the sink. What comes on top is only logged.
const maxAudits = 1000

// audits tell who looked at or changed dead letters: always in the log, and to the
// lifecycle sink where there is one.
type audits struct {
	client    *http.Client
	config    func() *config.Events
	functions functions
	waiting   chan *event.Event
}

func newAudits(client *http.Client, cfg func() *config.Events, f functions) *audits {
	return &audits{client, cfg, f, make(chan *event.Event, maxAudits)}
}

func (a *audits) tell(ctx context.Context, user, action string, function types.NamespacedName) {
	slog.InfoContext(ctx, "dead letters", "action", action, "user", user, "function", function.String())
	if a.config().LifecycleSink == "" {
		return
	}
	now := time.Now().UTC()
	audit := events.Audit{Object: events.Object{Kind: "LambdaFunction", Namespace: function.Namespace, Name: function.Name}, Action: action, Actor: user, Time: now.Format(time.RFC3339)}
	if f, err := a.functions.Get(function); err == nil {
		audit.UID, audit.Generation = string(f.UID), f.Generation
	}
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetType(events.NotificationAuditAccess)
	e.SetSource(events.Source("receiver", function.Namespace, function.Name))
	e.SetSubject(function.String())
	e.SetTime(now)
	if err := e.SetData(event.ApplicationJSON, audit); err != nil {
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
