#!/usr/bin/env bash
# Makes a supervised agent that asks for approvals: approvals.sh agent id…
set -euo pipefail
agent=$1
shift
kubectl apply -f - <<EOF
apiVersion: lambda.knative.io/v1alpha1
kind: LambdaAgent
metadata: {name: $agent}
spec:
  image: {repository: registry.invalid/nothing, tag: "1"}
  operationMode: supervised
  eventing: {enabled: true}
  approval:
    custom: {endpoint: "http://169.254.169.254"}
    timeout: 30m
EOF
for id; do
  test/docs/setup/post.sh knative-lambda knative-lambda-receiver "/agents/$NAMESPACE/$agent/approvals" "$id" \
    io.knative.lambda.approval.requested "/$NAMESPACE/$agent" '{"action": "restart node a"}'
done
