package lifecycle

import (
	"fmt"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/build"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// told is what the sink was told of an object.
type told struct {
	// Count of events; it tells which of two records is newer.
	Count      int64  `json:"count"`
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
	// Ready is the last status of the condition Ready that was told, with its
	// generation; empty before the first.
	Ready    string    `json:"ready,omitempty"`
	Build    toldBuild `json:"build,omitzero"`
	Created  string    `json:"created,omitempty"`
	Serves   string    `json:"serves,omitempty"`
	Replicas int32     `json:"replicas,omitempty"`
}

// toldBuild is what the sink was told of the newest build.
type toldBuild struct {
	Reference string `json:"reference,omitempty"`
	Rebuild   string `json:"rebuild,omitempty"`
	Settings  string `json:"settings,omitempty"`
	Attempt   int32  `json:"attempt,omitempty"`
	Waits     string `json:"waits,omitempty"` // reason
	Ended     bool   `json:"ended,omitempty"`
}

// news is an event that the sink is to be told, and what it has been told then.
type news struct {
	eventType string
	// detail makes the event's id: the same each time the event is made.
	detail string
	time   time.Time
	data   any
	then   told
}

// writer collects what is new.
type writer struct {
	*snapshot
	now  time.Time
	t    told
	list []news
}

func (w *writer) add(eventType, detail string, when time.Time, data any) {
	w.t.Count++
	w.list = append(w.list, news{eventType, detail, when, data, w.t})
}

// lifecycle is the platform's type of an entity's event.
func lifecycle(entity, action string) string {
	return events.Prefix + "lifecycle." + entity + "." + action
}

// transitions from what the sink was told to what the object says; the last that it
// said before its deletion, too.
func transitions(s *snapshot, t told, now time.Time) []news {
	w := &writer{snapshot: s, now: now, t: t}
	w.spec()
	if s.observed {
		w.builds()
		w.services()
		w.readiness()
	}
	if !s.deletedAt.IsZero() {
		w.deleted()
		return w.list
	}
	if s.replicas != w.t.Replicas {
		w.t.Replicas = s.replicas
		w.add(events.LifecycleServiceScaled, fmt.Sprint(w.t.Count, s.replicas), now, w.serviceData(s.serves, true))
	}
	return w.list
}

func (w *writer) spec() {
	action, generation := "updated", fmt.Sprint(w.generation)
	switch {
	case w.t.UID != string(w.GetUID()):
		action = "created"
		created := w.GetCreationTimestamp()
		w.t = told{UID: string(w.GetUID()), Generation: w.generation, Count: w.t.Count}
		w.add(lifecycle(w.noun, action), "", at(&created, w.now), events.Lifecycle{Object: w.object(), URL: w.url})
		w.audit(action, "", w.GetAnnotations()[lambda.CreatorAnnotationKey], at(&created, w.now))
	case w.t.Generation != w.generation:
		w.t.Generation = w.generation
		w.add(lifecycle(w.noun, action), generation, w.now, events.Lifecycle{Object: w.object(), URL: w.url})
		w.audit(action, generation, w.GetAnnotations()[lambda.LastModifierAnnotationKey], w.now)
	}
}

func (w *writer) audit(action, detail, actor string, when time.Time) {
	w.add(events.NotificationAuditChange, action+detail, when, events.Audit{Object: w.object(), Action: action, Actor: actor, Time: when.UTC().Format(time.RFC3339)})
}

// deleted does not say who did it: Kubernetes keeps that only in its own audit log.
func (w *writer) deleted() {
	when := w.deletedAt
	if w.created != "" {
		w.add(events.LifecycleServiceDeleted, "", when, w.serviceData(w.created, false))
	}
	w.add(lifecycle(w.noun, "deleted"), "", when, events.Lifecycle{Object: w.object(), URL: w.url})
	w.audit("deleted", "", "", when)
}

func (w *writer) services() {
	if w.created != "" && w.created != w.t.Created {
		eventType := events.LifecycleServiceUpdated
		if w.t.Created == "" {
			eventType = events.LifecycleServiceCreated
		}
		w.t.Created = w.created
		w.add(eventType, w.created, w.now, w.serviceData(w.created, false))
	}
	if w.serves != "" && w.serves != w.t.Serves && w.service.IsTrue() {
		w.t.Serves = w.serves
		w.add(events.LifecycleServiceReady, w.serves, at(&w.service.LastTransitionTime.Inner, w.now), w.serviceData(w.serves, false))
	}
}

func (w *writer) serviceData(revision string, scaled bool) events.ServiceLifecycle {
	data := events.ServiceLifecycle{Object: w.object(), Revision: revision, URL: w.url}
	if scaled {
		data.Replicas = &w.replicas
	}
	return data
}

// readiness is told for each generation anew; what is not known is not told.
func (w *writer) readiness() {
	if w.ready == nil || w.ready.IsUnknown() {
		return
	}
	is := fmt.Sprintf("%s@%d", w.ready.Status, w.generation)
	if is == w.t.Ready {
		return
	}
	w.t.Ready = is
	action, data := "ready", events.Lifecycle{Object: w.object(), URL: w.url}
	if w.ready.IsFalse() {
		action, data.Reason, data.Message = "degraded", w.ready.Reason, w.ready.Message
	}
	since := w.ready.LastTransitionTime.Inner
	w.add(lifecycle(w.noun, action), is+text(&since), at(&since, w.now), data)
}

func (w *writer) builds() {
	b, t := w.build, &w.t.Build
	if b == nil || b.Reference == "" {
		w.abandoned()
		*t = toldBuild{}
		return
	}
	if t.Reference != b.Reference || t.Rebuild != b.Rebuild || t.Settings != b.Settings {
		w.abandoned()
		*t = toldBuild{Reference: b.Reference, Rebuild: b.Rebuild, Settings: b.Settings}
	}
	if t.Ended {
		return
	}
	if b.StartTime != nil && b.Attempts > t.Attempt {
		t.Attempt = b.Attempts
		w.tellBuild(events.LifecycleBuildStarted, at(b.StartTime, w.now), "", "", "")
	}
	switch {
	case b.Image != "":
		t.Ended = true
		w.tellBuild(events.LifecycleBuildCompleted, at(b.CompletionTime, w.now), "", "", "")
	case w.building == nil:
	case w.building.IsFalse() && b.Failure != nil:
		t.Ended = true
		w.tellBuild(failures[b.Failure.Reason], at(b.CompletionTime, w.now), b.Failure.Step, b.Failure.Reason, b.Failure.Message)
	case w.building.IsUnknown() && waits[w.building.Reason] && t.Waits != fmt.Sprint(w.building.Reason, t.Attempt):
		t.Waits = fmt.Sprint(w.building.Reason, t.Attempt)
		w.tellBuild(events.LifecycleBuildProgressing, w.now, "", w.building.Reason, w.building.Message)
	}
}

// failures that are not just failed.
var failures = map[string]string{build.ReasonTimeout: events.LifecycleBuildTimeout, v1alpha1.ReasonBuildCancelled: events.LifecycleBuildCancelled}

// waits are reasons of a build that goes on.
var waits = map[string]bool{v1alpha1.ReasonQueued: true, v1alpha1.ReasonRetrying: true, v1alpha1.ReasonSharedBuild: true}

// abandoned tells of a build that was begun and made pointless.
func (w *writer) abandoned() {
	t := &w.t.Build
	if t.Attempt == 0 || t.Ended {
		return
	}
	t.Ended = true
	w.add(events.LifecycleBuildCancelled, fmt.Sprint(t.Reference, t.Rebuild, t.Settings, t.Attempt), w.now, events.BuildLifecycle{
		Object: w.object(), Reference: t.Reference, Attempt: t.Attempt, Reason: "Superseded", Message: "A newer spec made the build pointless.",
	})
}

func (w *writer) tellBuild(eventType string, when time.Time, step, reason, message string) {
	b := w.build
	if eventType == "" {
		eventType = events.LifecycleBuildFailed
	}
	w.add(eventType, fmt.Sprint(b.Reference, b.Rebuild, b.Settings, w.t.Build.Attempt, reason), when, events.BuildLifecycle{
		Object: w.object(), Reference: b.Reference, Image: b.Image, Job: b.JobName, Strategy: string(b.Strategy), Attempt: b.Attempts,
		StartTime: text(b.StartTime), CompletionTime: text(b.CompletionTime), Step: step, Reason: reason, Message: message,
	})
}
