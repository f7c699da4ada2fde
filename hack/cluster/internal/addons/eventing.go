package addons

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/hack/cluster/internal/env"
)

// eventingConfig makes a Broker that names no class one of the event plane. Names of images stand for what the controller insists on and nothing
// here runs: sources, transformations and integrations.
const eventingConfig = `apiVersion: v1
kind: ConfigMap
metadata: {name: eventing-transformations-images, namespace: knative-eventing}
data: {transform-jsonata: unused}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: eventing-integrations-images, namespace: knative-eventing}
data:
  timer-source: unused
  aws-s3-source: unused
  aws-sqs-source: unused
  aws-ddb-streams-source: unused
  aws-eventbridge-sink: unused
  aws-s3-sink: unused
  aws-sqs-sink: unused
  aws-sns-sink: unused
  log-sink: unused
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-br-defaults, namespace: knative-eventing}
data:
  default-br-config: |
    clusterDefault:
      brokerClass: LambdaBroker
      delivery: {retry: 5, backoffPolicy: exponential, backoffDelay: PT1S}
      brokerClasses:
        RabbitMQBroker:
          apiVersion: eventing.knative.dev/v1alpha1
          kind: RabbitmqBrokerConfig
          name: rabbitmq
          namespace: rabbitmq
          delivery: {retry: 5, backoffPolicy: exponential, backoffDelay: PT1S}
`

// upEventing installs Knative Eventing's controller and webhook, with the adapter of
// PingSources and no other source or sink.
func upEventing(ctx context.Context, e *env.Env) error {
	const config = "config/core/"
	manifests, err := read(ctx, e, "eventing", files{"knative.dev/eventing", []string{
		config + "100-namespace.yaml", config + "200-eventing-serviceaccount.yaml", config + "200-webhook-serviceaccount.yaml",
		config + "200-pingsource-mt-adapter-serviceaccount.yaml", config + "configmaps", config + "resources",
		config + "roles", config + "webhooks", config + "deployments/controller.yaml", config + "deployments/webhook.yaml",
		config + "deployments/pingsource-mt-adapter.yaml"}})
	if err != nil {
		return err
	}
	const programs = "ko://knative.dev/eventing/cmd/"
	manifests = strings.NewReplacer(programs+"apiserver_receive_adapter", "unused", programs+"auth_proxy", "unused").Replace(manifests)
	if err := install(ctx, e, "eventing", env.Join([]string{manifests, eventingConfig})); err != nil {
		return err
	}
	return e.Available(ctx, "knative-eventing", "eventing-controller", "eventing-webhook")
}

// brokerConfig is for brokers of every namespace.
const brokerConfig = `apiVersion: eventing.knative.dev/v1alpha1
kind: RabbitmqBrokerConfig
metadata: {name: rabbitmq, namespace: rabbitmq}
spec:
  rabbitmqClusterReference: {name: rabbitmq, namespace: rabbitmq}
  queueType: quorum
`

// firstVariable of a program of Knative's, before which others can be put.
var firstVariable = regexp.MustCompile(`(?m)^( +)- name: SYSTEM_NAMESPACE$`)

// hurried lets the programs of the broker ask the API server more often than client-go's
// own 15 times a second: the webhook asks for the Broker of each Trigger that is made
// or changed, in the whole cluster.
func hurried(manifests string) (string, error) {
	const more = "${1}- {name: KUBE_API_QPS, value: \"200\"}\n${1}- {name: KUBE_API_BURST, value: \"400\"}\n$0"
	if !firstVariable.MatchString(manifests) {
		return "", errors.New("eventing-rabbitmq: no container has the variable SYSTEM_NAMESPACE; expected that of the broker's controller and webhook")
	}
	return firstVariable.ReplaceAllString(manifests, more), nil
}

// upBroker installs the broker on RabbitMQ.
func upBroker(ctx context.Context, e *env.Env) error {
	manifests, err := read(ctx, e, "eventing-rabbitmq", files{"knative.dev/eventing-rabbitmq", []string{"config/broker"}})
	if err != nil {
		return err
	}
	if manifests, err = hurried(manifests); err != nil {
		return err
	}
	if err := install(ctx, e, "eventing-rabbitmq", manifests); err != nil {
		return err
	}
	if err := e.Available(ctx, "knative-eventing", "rabbitmq-broker-controller", "rabbitmq-broker-webhook"); err != nil {
		return err
	}
	return apply(ctx, e, "broker", brokerConfig)
}
