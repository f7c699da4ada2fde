package testing

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// Objects of a row.
func Objects(all ...runtime.Object) []runtime.Object { return all }

// Normal is a Kubernetes event as rows want it.
func Normal(reason, message string) string {
	return fmt.Sprintf("%s %s %s", corev1.EventTypeNormal, reason, message)
}

// Warning is likewise one of the other type.
func Warning(reason, message string) string {
	return fmt.Sprintf("%s %s %s", corev1.EventTypeWarning, reason, message)
}

// NotOwned is what is said of a child whose name somebody else has taken.
func NotOwned(kind, key string) string {
	return kind + " " + key + " exists already and is not owned by this resource: delete or rename one of the two"
}

// Failing are the events of a write that fails: verb is create, update or
// delete, resource its plural.
func Failing(verb, resource, kind, name, cause string) []string {
	title := map[string]string{"create": "CreateFailed", "update": "UpdateFailed", "delete": "DeleteFailed"}[verb]
	if cause == "" {
		cause = "inducing failure for " + verb + " " + resource
	}
	message := fmt.Sprintf("ailed to %s %s %q: %s", verb, kind, name, cause)
	return []string{Warning(title, "F"+message), Warning("InternalError", "f"+message)}
}

// WithRevision gives a Service the status that Knative Serving gives it when its
// newest and its newest ready revision are so.
func WithRevision(created, ready string, condition apis.Condition) func(*servingv1.Service) {
	condition.Type = servingv1.ServiceConditionReady
	return func(s *servingv1.Service) {
		s.Generation, s.Status.ObservedGeneration = 1, 1
		s.Status.LatestCreatedRevisionName, s.Status.LatestReadyRevisionName = created, ready
		s.Status.SetConditions(apis.Conditions{condition})
	}
}
