package resources

import (
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// Sinks of a function's program; nil is none.
type Sinks struct {
	// Replies to events.
	Replies *apis.URL
	// Calls that are to be answered before they are handled.
	Calls *apis.URL
}

// AddSinks sets for the function's program where its replies and its errors go. A
// ready-made image gets the name that Knative's own sources use. Errors never go
// to the function's broker by themselves: each retry would be an event more, and
// functions that take every event would fail on each other's errors.
func AddSinks(service *servingv1.Service, f *v1alpha1.LambdaFunction, sinks Sinks, cfg *config.Eventing) {
	container := &service.Spec.Template.Spec.Containers[0]
	add := func(name, value string) {
		container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: value})
	}
	switch {
	case f.Spec.Source.Image != nil && sinks.Replies != nil:
		add("K_SINK", sinks.Replies.String())
	case sinks.Replies != nil:
		add("LAMBDA_REPLY_SINK", sinks.Replies.String())
	}
	if sinks.Calls != nil && f.Spec.Source.Image == nil {
		add("LAMBDA_CALLS_URL", sinks.Calls.String())
	}
	if cfg.ResponseSink != "" && f.Spec.Source.Image == nil {
		add("LAMBDA_RESPONSE_SINK", cfg.ResponseSink)
	}
}
