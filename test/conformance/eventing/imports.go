//go:build tools

// Package eventing runs Knative Eventing's own tests against the Broker class of this
// project: those of knative.dev/eventing/test/rekt, unmodified, from the module cache,
// and its feature set of filters, which has no test there for other classes than
// Knative's own. hack/rekt.sh runs both.
package eventing

// What the tests of knative.dev/eventing/test/rekt import, and no other package here.
import (
	_ "knative.dev/eventing/pkg/apis/duck/v1"
	_ "knative.dev/eventing/test/experimental/features/delivery_timeout"
	_ "knative.dev/eventing/test/rekt/features/apiserversource"
	_ "knative.dev/eventing/test/rekt/features/authz"
	_ "knative.dev/eventing/test/rekt/features/broker"
	_ "knative.dev/eventing/test/rekt/features/channel"
	_ "knative.dev/eventing/test/rekt/features/containersource"
	_ "knative.dev/eventing/test/rekt/features/eventtransform"
	_ "knative.dev/eventing/test/rekt/features/integrationsink"
	_ "knative.dev/eventing/test/rekt/features/integrationsource"
	_ "knative.dev/eventing/test/rekt/features/jobsink"
	_ "knative.dev/eventing/test/rekt/features/new_trigger_filters"
	_ "knative.dev/eventing/test/rekt/features/oidc"
	_ "knative.dev/eventing/test/rekt/features/parallel"
	_ "knative.dev/eventing/test/rekt/features/pingsource"
	_ "knative.dev/eventing/test/rekt/features/sequence"
	_ "knative.dev/eventing/test/rekt/features/sinkbinding"
	_ "knative.dev/eventing/test/rekt/features/trigger"
	_ "knative.dev/eventing/test/rekt/resources/broker"
	_ "knative.dev/eventing/test/rekt/resources/channel"
	_ "knative.dev/eventing/test/rekt/resources/channel_impl"
	_ "knative.dev/eventing/test/rekt/resources/channel_template"
	_ "knative.dev/eventing/test/rekt/resources/delivery"
	_ "knative.dev/eventing/test/rekt/resources/integrationsink"
	_ "knative.dev/eventing/test/rekt/resources/jobsink"
	_ "knative.dev/eventing/test/rekt/resources/parallel"
	_ "knative.dev/eventing/test/rekt/resources/pingsource"
	_ "knative.dev/eventing/test/rekt/resources/sequence"
	_ "knative.dev/eventing/test/rekt/resources/sinkbinding"
	_ "knative.dev/eventing/test/rekt/resources/subscription"
	_ "knative.dev/eventing/test/rekt/resources/trigger"
	_ "knative.dev/pkg/system/testing"
	_ "knative.dev/reconciler-test/cmd/eventshub" // the image of senders and receivers
	_ "knative.dev/reconciler-test/pkg/environment"
	_ "knative.dev/reconciler-test/pkg/eventshub"
	_ "knative.dev/reconciler-test/pkg/feature"
	_ "knative.dev/reconciler-test/pkg/k8s"
	_ "knative.dev/reconciler-test/pkg/knative"
	_ "knative.dev/reconciler-test/pkg/manifest"
	_ "knative.dev/reconciler-test/pkg/resources/deployment"
	_ "knative.dev/reconciler-test/pkg/resources/service"
	_ "knative.dev/reconciler-test/pkg/tracing"
)
