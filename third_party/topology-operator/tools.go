//go:build tools

// Package topology pins the operator of RabbitMQ's queues, exchanges and
// bindings, and the CRD of RabbitMQ clusters that it reads.
package topology

import (
	_ "github.com/rabbitmq/cluster-operator/api/v1beta1"
	_ "github.com/rabbitmq/messaging-topology-operator"
)
