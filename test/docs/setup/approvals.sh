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
for _ in {1..60}; do # the URL is the agent's own: only the operator can make it
  path=$(kubectl get ksvc "$agent" -o jsonpath='{.spec.template.spec.containers[0].env[?(@.name=="LAMBDA_AGENT_APPROVALS_URL")].value}' 2>/dev/null || true)
  [[ -z $path ]] || break
  sleep 1
done
for id; do
  test/docs/setup/post.sh knative-lambda knative-lambda-receiver "/${path#http://*/}" "$id" \
    io.knative.lambda.approval.requested "/$NAMESPACE/$agent" '{"action": "restart node a"}'
done
