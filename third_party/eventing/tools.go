//go:build tools

// Package eventing pins the Knative Eventing that the local cluster runs.
package eventing

import (
	_ "knative.dev/eventing/cmd/controller"
	_ "knative.dev/eventing/cmd/mtping"
	_ "knative.dev/eventing/cmd/webhook"
	_ "knative.dev/eventing/config/core"
)
