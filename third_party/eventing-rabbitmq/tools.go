//go:build tools

// Package eventingrabbitmq pins the broker of Knative Eventing that the local
// cluster runs.
package eventingrabbitmq

import (
	_ "knative.dev/eventing-rabbitmq/cmd/controller/broker"
	_ "knative.dev/eventing-rabbitmq/cmd/dispatcher"
	_ "knative.dev/eventing-rabbitmq/cmd/ingress"
	_ "knative.dev/eventing-rabbitmq/cmd/webhook/broker"
)
